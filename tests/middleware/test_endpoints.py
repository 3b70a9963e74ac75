import pytest

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import AuditLog, Reason
from tunnelgate.endpoints import Endpoints, ReadOnly


@pytest.mark.parametrize(
    ("path", "root_path", "served"),
    [
        pytest.param("/mcp", "", "mcp", id="the first path"),
        pytest.param("/healthz", "", "healthz", id="the second path"),
        pytest.param("/", "", None, id="the root"),
        pytest.param("", "", None, id="an empty path"),
        pytest.param("/mcp/", "", None, id="a slash at the end"),
        pytest.param("//mcp", "", None, id="two slashes at the beginning"),
        pytest.param("/MCP", "", None, id="capitals"),
        pytest.param("/mcp/admin", "", None, id="a path below"),
        pytest.param("/mcp;x", "", None, id="a parameter of a segment"),
        pytest.param("/mc", "", None, id="a part of it"),
        pytest.param("/gate/mcp", "/gate", "mcp", id="the first path of a mounted gate"),
        pytest.param("/gate", "/gate", None, id="the root of a mounted gate"),
        pytest.param("/gateway/mcp", "/gate", None, id="a path that only begins like the mount"),
        pytest.param("/gate/gate/mcp", "/gate", None, id="the mount twice"),
        pytest.param("/mcp", "/gate", "mcp", id="a server that leaves the mount out of the path"),
    ],
)
@pytest.mark.anyio
async def test_each_path_leads_to_its_application_and_every_other_is_not_found(
    path: str, root_path: str, served: str | None
) -> None:
    spies = {"mcp": Spy(), "healthz": Spy(), "lifespan": Spy()}
    app = Endpoints({"/mcp": spies["mcp"], "/healthz": spies["healthz"]}, spies["lifespan"])

    reply = await call(app, http_scope(path=path, root_path=root_path))

    reached = [name for name, spy in spies.items() if spy.scopes]
    assert (reply.status, reached) == ((404, []) if served is None else (200, [served]))


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        pytest.param(b"/m%63p", "/mcp", id="a letter in its encoded form"),
        pytest.param(b"/%6D%63%70", "/mcp", id="all letters in their encoded form"),
        pytest.param(b"/mcp%2F", "/mcp/", id="an encoded slash at the end"),
        pytest.param(b"/x%2F..%2Fmcp", "/mcp", id="a path that a server has resolved"),
    ],
)
@pytest.mark.anyio
async def test_another_spelling_of_a_served_path_is_not_found(raw_path: bytes, path: str) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(Endpoints({"/mcp": spy}, spy), sink=records)

    reply = await call(app, http_scope(path=path, raw_path=raw_path))

    assert (reply.status, reply.json()) == (404, {"error": "not_found"})
    assert records.verdicts == [("deny", Reason.PATH_NOT_SERVED)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_server_that_keeps_no_raw_path_is_served_all_the_same() -> None:
    spy = Spy()

    reply = await call(Endpoints({"/mcp": spy}, spy), {**http_scope(), "raw_path": None})

    assert (reply.status, len(spy.scopes)) == (200, 1)


@pytest.mark.anyio
async def test_without_any_endpoint_nothing_is_found() -> None:
    spy = Spy()

    reply = await call(Endpoints({}, spy), http_scope())

    assert (reply.status, spy.scopes) == (404, [])


@pytest.mark.anyio
async def test_endpoints_that_are_added_afterwards_are_not_served() -> None:
    spy = Spy()
    applications = {"/mcp": spy}
    app = Endpoints(applications, spy)
    applications["/admin"] = spy

    reply = await call(app, http_scope(path="/admin"))

    assert (reply.status, spy.scopes) == (404, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.anyio
async def test_what_asks_for_a_document_goes_on(method: str) -> None:
    spy = Spy()

    reply = await call(ReadOnly(spy), http_scope(method))

    assert (reply.status, [scope["method"] for scope in spy.scopes]) == (200, [method])


@pytest.mark.parametrize(
    "method", ["POST", "DELETE", "PUT", "PATCH", "QUERY", "TRACE", "CONNECT", "get", "GETS", "", "G" * 40]
)
@pytest.mark.anyio
async def test_what_could_do_more_than_ask_for_a_document_is_refused(method: str) -> None:
    spy, records = Spy(), Records()

    reply = await call(AuditLog(ReadOnly(spy), sink=records), http_scope(method), b"{}")

    assert (reply.status, reply.json()) == (405, {"error": "method_not_allowed"})
    assert records.verdicts == [("deny", Reason.PATH_IS_READ_ONLY)]
    assert records.all[0]["detail"] == method[:20]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_who_is_refused_where_documents_are_is_told_the_methods_that_go_on() -> None:
    reply = await call(ReadOnly(Spy()), http_scope("POST"))

    assert reply.header("allow") == "GET, HEAD, OPTIONS"
