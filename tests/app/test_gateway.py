import http.client
import importlib
import re
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import orjson
import pytest

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tests.support.resolving import Names, listening
from tests.support.servers import serve
from tests.support.tokens import ISSUER, RESOURCE, Token, jwks
from tunnelgate import ConfigurationError, Policy, Reason
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.upstream.health import HealthReport
from tunnelgate_app.gateway import create_gateway

Write = Callable[[str, str], None]

ECHO = '''
    import json

    def create_app(**options):
        """Return an application that answers with its options."""

        async def app(scope, receive, send):
            if scope["type"] != "http":
                raise NotImplementedError
            start = {"type": "http.response.start", "status": 200}
            await send({**start, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": json.dumps(options).encode()})

        return app
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Write]:
    """Give a function that writes a module to be imported, which is forgotten with the test."""
    folder = tmp_path / "modules"
    folder.mkdir()
    before = set(sys.modules)

    def write(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(dedent(source), "utf-8")
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]


def policy(routes: Mapping[str, Mapping[str, Any]], **more: Any) -> Policy:
    given = {name: {"public_paths": ["/x"], **route} for name, route in routes.items()}
    return Policy.from_mapping(
        {
            "tunnel_domain": "tunnel.localhost",
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "routes": given,
            **more,
        }
    )


async def ask(gateway: Any, host: str, path: str = "/x") -> Any:
    reply = await call(gateway, http_scope("GET", path, [("host", host)]))
    assert reply.status == 200, reply
    return reply.json()


@pytest.mark.anyio
async def test_each_route_leads_to_its_own_application_which_got_its_own_options(module: Write) -> None:
    module("echo", ECHO)
    routes: dict[str, dict[str, Any]] = {
        "docs": {"mount": "echo:create_app", "options": {"folder": "/srv/docs", "limit": 3}},
        "wiki": {"mount": "echo:create_app"},
    }

    gateway = create_gateway(policy(routes), audit=Records())

    assert await ask(gateway, "docs.tunnel.localhost") == {"folder": "/srv/docs", "limit": 3}
    assert await ask(gateway, "wiki.tunnel.localhost") == {}


def test_the_log_says_where_each_hostname_leads(module: Write, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tunnelgate")
    module("echo", ECHO)

    gateway = create_gateway(policy({"docs": {"mount": "echo:create_app"}}), audit=Records())

    assert caplog.messages == [
        "route configured: docs.tunnel.localhost to echo:create_app",
        f"revision of the configuration: {gateway.revision}",
    ]


def test_the_log_has_the_warnings_about_the_configuration(
    module: Write, caplog: pytest.LogCaptureFixture
) -> None:
    module("echo", ECHO)
    every: dict[str, Any] = {"mount": "echo:create_app", "tools": "*", "allow_all_tools": True}
    docs = {"mount": "echo:create_app", "tools": ["search_docs"], "resource": RESOURCE}
    routes = {"docs": docs, "wiki": {**docs, **every}}
    oauth = {"issuers": [{"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}]}
    made = policy(routes, oauth=oauth)

    create_gateway(made, audit=Records())

    warned = [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.getMessage().startswith("routes.")
    ]
    assert warned == list(made.warnings)
    assert [each.partition(":")[0] for each in warned] == ["routes.wiki.tools", "routes.wiki.resource"]


@pytest.mark.anyio
async def test_decisions_go_to_the_file_that_the_policy_names(module: Write, tmp_path: Path) -> None:
    module("echo", ECHO)
    file = tmp_path / "audit.jsonl"
    gateway = create_gateway(policy({"docs": {"mount": "echo:create_app"}}, audit={"file": str(file)}))

    await ask(gateway, "docs.tunnel.localhost")

    (record,) = map(orjson.loads, file.read_bytes().splitlines())
    assert (record["verdict"], record["route"]) == ("allow", "docs")


def test_a_file_for_decisions_that_cannot_be_opened_is_a_fault(module: Write, tmp_path: Path) -> None:
    module("echo", ECHO)
    file = tmp_path / "missing" / "audit.jsonl"

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs": {"mount": "echo:create_app"}}, audit={"file": str(file)}))

    (fault,) = refused.value.faults
    assert (fault.path, fault.value) == ("audit.file", repr(str(file)))
    assert "No such file or directory" in fault.sentence


BROKEN_MODULES = {
    "has_syntax_error": "def create_app(:",
    "imports_what_is_not_there": "from os import no_such_thing",
    "imports_a_module_that_is_not_there": "import no_such_library.part",
    "raises": "raise RuntimeError('no licence')",
    "exits": "raise SystemExit(3)",
    "factories": """
        value = 3

        def raises():
            raise LookupError("no such table")

        def raises_without_a_word():
            raise ValueError

        def exits():
            raise SystemExit(3)

        def returns_nothing():
            pass

        async def is_asynchronous():
            return lambda *_: None

        def takes_a_folder(*, folder):
            return lambda *_: None
    """,
}


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        pytest.param(
            None, "is missing, and so is upstream: there is nothing to pass requests on to", id="nothing"
        ),
        pytest.param(
            "no_such_module:create_app",
            "cannot be imported: No module named 'no_such_module'",
            id="a module that is not there",
        ),
        pytest.param(
            "factories.part:create_app",
            "cannot be imported: No module named 'factories.part'.*",
            id="a part of a module that has none",
        ),
        pytest.param(
            "imports_a_module_that_is_not_there:create_app",
            "cannot be imported: No module named 'no_such_library'",
            id="a module that needs another",
        ),
        pytest.param(
            "imports_what_is_not_there:create_app",
            "cannot be imported: .*no_such_thing.*",
            id="a module that needs a name that is not there",
        ),
        pytest.param("raises:create_app", "cannot be imported: .*no licence.*", id="a module that raises"),
        pytest.param("exits:create_app", "cannot be imported: .+", id="a module that would end the process"),
        pytest.param(
            "has_syntax_error:create_app", "cannot be imported: .*syntax.*", id="a module that is no Python"
        ),
        pytest.param("factories:no_such", "has no function no_such", id="a function that is not there"),
        pytest.param(
            "factories:value", "does not start: .*not callable.*", id="something that is no function"
        ),
        pytest.param("factories:raises", "does not start: .*no such table.*", id="a factory that raises"),
        pytest.param(
            "factories:takes_a_folder", "does not start: .*'folder'.*", id="a factory without its options"
        ),
        pytest.param(
            "factories:raises_without_a_word",
            "does not start: .*ValueError.*",
            id="a factory that raises without a word",
        ),
        pytest.param("factories:exits", "does not start: .+", id="a factory that would end the process"),
        pytest.param("factories:returns_nothing", "does not .+", id="a factory that returns nothing"),
        pytest.param(
            "factories:is_asynchronous", "does not .+", id="a factory that would have to be awaited"
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_what_cannot_be_mounted_is_a_fault_with_its_path_and_value(
    module: Write, mount: str | None, sentence: str
) -> None:
    for name, source in BROKEN_MODULES.items():
        module(name, source)

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs": {} if mount is None else {"mount": mount}}), audit=Records())

    (fault,) = refused.value.faults
    assert (fault.path, fault.value) == ("routes.docs.mount", repr(mount))
    assert re.fullmatch(sentence, fault.sentence), fault.sentence


@pytest.mark.parametrize("library", ["fastapi", "mcp"])
def test_a_mount_that_needs_an_extra_names_it(
    module: Write, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module("needs_an_extra", f"import {library}.part")
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # what is not installed cannot be imported either

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs": {"mount": "needs_an_extra:create_app"}}), audit=Records())

    (fault,) = refused.value.faults
    assert fault.sentence == f"needs {library}: pip install 'tunnelgate[servers]'"


def test_a_fault_of_a_full_hostname_has_the_path_that_other_faults_of_it_have(module: Write) -> None:
    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs.example.com": {"mount": "no_such_module:create_app"}}), audit=Records())

    assert [fault.path for fault in refused.value.faults] == ['routes."docs.example.com".mount']


@pytest.mark.promise("whole-configuration")
def test_everything_that_is_wrong_is_named_at_once(module: Write, tmp_path: Path) -> None:
    module("factories", BROKEN_MODULES["factories"])
    (tmp_path / "no-keys.json").write_text("{}")
    issuers = [
        {"issuer": "https://a.example.com", "jwks_file": str(tmp_path / "missing.json")},
        {"issuer": "https://b.example.com", "jwks_file": str(tmp_path / "no-keys.json")},
    ]
    keys = [tmp_path / "missing.key", tmp_path / "short.key"]
    keys[1].write_bytes(b"k" * 31)
    routes: dict[str, dict[str, Any]] = {
        "docs": {"mount": "no_such_module:create_app", "credentials": {"bearer_file": tmp_path / "missing"}},
        "wiki": {"mount": "factories:no_such"},
        "tickets": {"mount": "factories:raises"},
    }
    made = policy(routes, oauth={"issuers": issuers}, sealing_keys=keys, audit={"file": str(tmp_path)})

    with pytest.raises(ConfigurationError, match=r"^gateway: 9 faults") as refused:
        create_gateway(made)

    assert {(fault.path, fault.value) for fault in refused.value.faults} == {
        ("routes.docs.mount", "'no_such_module:create_app'"),
        ("routes.wiki.mount", "'factories:no_such'"),
        ("routes.tickets.mount", "'factories:raises'"),
        ("oauth.issuers[0].jwks_file", repr(str(tmp_path / "missing.json"))),
        ("oauth.issuers[1].jwks_file", repr(str(tmp_path / "no-keys.json"))),
        ("sealing_keys[0]", repr(str(keys[0]))),
        ("sealing_keys[1]", repr(str(keys[1]))),
        ("routes.docs.credentials.bearer_file", repr(str(tmp_path / "missing"))),
        ("audit.file", repr(str(tmp_path))),
    }


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        pytest.param(None, "No such file or directory", id="a file that is not there"),
        pytest.param(b"", "bad.key holds a key of fewer than 32 octets", id="an empty file"),
        pytest.param(b"k" * 31 + b"\n", "bad.key holds a key of fewer than 32 octets", id="31 octets"),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_a_file_without_a_sealing_key_is_a_fault(
    module: Write, tmp_path: Path, octets: bytes | None, sentence: str, position: int
) -> None:
    module("echo", ECHO)
    good, bad = tmp_path / "good.key", tmp_path / "bad.key"
    good.write_bytes(b"g" * 32)
    if octets is not None:
        bad.write_bytes(octets)
    files = [good]
    files.insert(position, bad)

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs": {"mount": "echo:create_app"}}, sealing_keys=files), audit=Records())

    (fault,) = refused.value.faults
    assert (fault.path, fault.value) == (f"sealing_keys[{position}]", repr(str(bad)))
    assert fault.sentence == sentence


@pytest.mark.promise("token-stays-here")
def test_a_secret_that_was_written_where_its_variable_should_be_named_is_not_shown(module: Write) -> None:
    module("echo", ECHO)
    secret = "THE_SECRET_ITSELF"
    own = {
        "token_endpoint": "https://login.example.com/token",
        "client_id": "gate",
        "client_secret_env": secret,
    }
    routes: dict[str, dict[str, Any]] = {
        "docs": {"mount": "echo:create_app", "credentials": {"bearer_env": secret}},
        "wiki": {"mount": "echo:create_app", "credentials": {"client_credentials": own}},
    }

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy(routes), audit=Records())

    assert [(fault.path, fault.sentence) for fault in refused.value.faults] == [
        ("routes.docs.credentials.bearer_env", "names no variable that is set in the environment"),
        (
            "routes.wiki.credentials.client_credentials.client_secret_env",
            "names no variable that is set in the environment",
        ),
    ]
    assert secret not in str(refused.value)


SESSIONS = """
    def create_app():
        async def app(scope, receive, send):
            if scope["type"] != "http":
                raise NotImplementedError
            headers = [(b"content-type", b"application/json"), (b"mcp-session-id", b"upstream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":{}}'})

        return app
"""


@pytest.mark.promise("session-bound")
@pytest.mark.anyio
async def test_gateways_with_the_same_sealing_key_know_the_same_sessions(
    module: Write, tmp_path: Path
) -> None:
    module("sessions", SESSIONS)
    jwks_file, shared, other = (tmp_path / name for name in ("jwks.json", "shared.key", "other.key"))
    jwks_file.write_bytes(jwks("ES256"))
    for file in (shared, other):
        file.write_text(f"{file.name:x<40}\n")
    route = {"mount": "sessions:create_app", "tools": ["search_docs"]}
    gateways = [
        create_gateway(
            policy(
                {"docs.example.com": route},
                oauth={"issuers": [{"issuer": ISSUER, "jwks_file": jwks_file}]},
                sealing_keys=[key] if key else [],
            ),
            audit=Records(),
        )
        for key in (shared, shared, other, None)
    ]
    headers, body = legacy("ping")
    headers = [*headers, ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}")]
    session = (await call(gateways[0], http_scope("POST", "/mcp", headers), body)).header("mcp-session-id")
    assert session is not None

    headers = [*headers, ("mcp-session-id", session)]
    replies = [await call(gateway, http_scope("POST", "/mcp", headers), body) for gateway in gateways]

    assert [reply.status for reply in replies] == [200, 200, 404, 404]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(None, "No such file or directory", id="a file that is not there"),
        pytest.param(b"{}", 'is not a JWK set: it has no list "keys"', id="a file without keys"),
        pytest.param(b'{"keys":[]}', "has no key that tokens may be signed with", id="an empty list of keys"),
        pytest.param(b"\x00", "is not a JWK set: ", id="a file that is no JSON"),
    ],
)
def test_a_file_without_usable_keys_is_a_fault(
    module: Write, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    module("echo", ECHO)
    file = tmp_path / "jwks.json"
    if content is not None:
        file.write_bytes(content)
    oauth = {"issuers": [{"issuer": ISSUER, "jwks_file": file}]}

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy({"docs": {"mount": "echo:create_app"}}, oauth=oauth), audit=Records())

    (fault,) = refused.value.faults
    assert (fault.path, fault.value) == ("oauth.issuers[0].jwks_file", repr(str(file)))
    assert fault.sentence.startswith(sentence)


@pytest.mark.anyio
async def test_the_keys_of_an_issuer_are_fetched_from_its_url(module: Write) -> None:
    module("echo", ECHO.replace("json.dumps(options)", '\'{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}\''))
    publisher = Spy(jwks("ES256"))
    with serve(publisher) as port:
        gateway = create_gateway(
            policy(
                {"docs.example.com": {"mount": "echo:create_app", "tools": ["search_docs"]}},
                oauth={
                    "issuers": [{"issuer": ISSUER, "jwks_uri": f"http://127.0.0.1:{port}/jwks"}],
                    "allowed_ips": ["127.0.0.1"],
                },
            ),
            audit=Records(),
        )
        headers, body = modern("tools/list")
        token = ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}")

        reply = await call(gateway, http_scope("POST", "/mcp", [*headers, token]), body)

    assert (reply.status, reply.json()["result"]["tools"]) == (200, [])
    assert [(scope["method"], scope["path"]) for scope in publisher.scopes] == [("GET", "/jwks")]


class Issuer:
    """An authorization server: its metadata, its keys, and tokens for the gate."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Spy()(scope, receive, send)
            return
        self.asked.append(scope["path"])
        origin = f"http://127.0.0.1:{self.port}"
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": origin,
                "jwks_uri": f"{origin}/keys",
                "token_endpoint": f"{origin}/token",
            },
            "/keys": orjson.loads(jwks("ES256")),
            "/token": {"access_token": "for-the-server", "token_type": "Bearer", "expires_in": 60},
        }
        document = documents.get(scope["path"])
        status = 404 if document is None else 200
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(document)})


SHOWS = """
    import json

    def create_app():
        async def app(scope, receive, send):
            sent = [value.decode() for name, value in scope["headers"] if name == b"authorization"]
            result = {"content": [], "structuredContent": {"sent": sent}}
            answer = {"jsonrpc": "2.0", "id": 1, "result": result}
            start = {"type": "http.response.start", "status": 200}
            await send({**start, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

        return app
"""


@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_an_issuer_named_by_its_identifier_alone_is_asked_for_all_that_it_has(
    module: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    module("shows", SHOWS)
    monkeypatch.setenv("GATE_SECRET", "s3cr3t")
    issuer = Issuer()
    with serve(issuer) as issuer.port:
        name = f"http://127.0.0.1:{issuer.port}"
        exchange = {"issuer": name, "client_id": "gate", "client_secret_env": "GATE_SECRET"}
        route = {
            "mount": "shows:create_app",
            "tools": ["search_docs"],
            "credentials": {"token_exchange": exchange},
        }
        gateway = create_gateway(
            policy(
                {"docs.example.com": route},
                oauth={"issuers": [{"issuer": name}], "allowed_ips": ["127.0.0.1"]},
            ),
            audit=Records(),
        )
        headers, body = legacy("tools/call", {"name": "search_docs", "arguments": {}})
        token = ("authorization", f"Bearer {Token(claims={'aud': RESOURCE, 'iss': name}).mint()}")

        replies = [await call(gateway, http_scope("POST", "/mcp", [*headers, token]), body) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert [reply.json()["result"]["structuredContent"] for reply in replies] == [
        {"sent": ["Bearer for-the-server"]}
    ] * 2
    assert issuer.asked == [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/keys",
        "/token",
    ]


def get(port: int, host: str, path: str = "/x") -> tuple[int, bytes]:
    """Ask a served gateway for a path of a route."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()


ON_THIS_MACHINE = {"allowed_ips": ["127.0.0.1"]}


@pytest.mark.promise("checked-is-dialled")
def test_a_route_leads_to_a_server_elsewhere_by_the_addresses_of_its_name() -> None:
    wiki, docs = Spy(b'"the wiki"'), Spy(b'"the docs"')
    with serve(wiki) as wiki_port, serve(docs) as docs_port:
        names = Names({"wiki.internal": ["127.0.0.1"]})
        routes: dict[str, dict[str, Any]] = {
            "wiki": {"upstream": f"http://wiki.internal:{wiki_port}"},
            "docs": {"upstream": {"url": f"http://127.0.0.1:{docs_port}", "preserve_host": True}},
        }
        gateway = create_gateway(policy(routes, upstream=ON_THIS_MACHINE), audit=Records(), resolve=names)
        before = gateway.health
        with serve(gateway) as port:
            answers = [get(port, f"{name}.tunnel.localhost") for name in ("wiki", "docs", "wiki")]
        after = gateway.health

    assert answers == [(200, b'"the wiki"'), (200, b'"the docs"'), (200, b'"the wiki"')]
    assert names.asked == ["wiki.internal"]  # the second request goes over the first one's connection
    assert [dict(scope["headers"])[b"host"].decode() for scope in (wiki.scopes[0], docs.scopes[0])] == [
        f"wiki.internal:{wiki_port}",
        "docs.tunnel.localhost",
    ]
    assert before == {name: HealthReport("unknown", 0, "") for name in routes}
    assert after == {name: HealthReport("answering", 0, "") for name in routes}


@pytest.mark.parametrize(
    ("addresses", "settings", "told"),
    [
        pytest.param(["127.0.0.1"], {}, "this machine", id="this machine, which nobody named"),
        pytest.param(["127.0.0.1", "169.254.169.254"], ON_THIS_MACHINE, "metadata", id="a metadata service"),
        pytest.param(["127.0.0.1"], {"allowed_ips": ["127.0.0.2"]}, "not in upstream", id="another address"),
    ],
)
@pytest.mark.promise("checked-is-dialled")
def test_a_server_at_an_address_that_is_not_allowed_is_not_connected_to(
    addresses: list[str], settings: dict[str, Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    records = Records()
    with listening() as upstream:
        routes = {"wiki": {"upstream": f"http://wiki.internal:{upstream.port}"}}
        made = policy(routes, upstream=settings)
        gateway = create_gateway(made, audit=records, resolve=Names({"wiki.internal": addresses}))
        with serve(gateway) as port:
            answer = get(port, "wiki.tunnel.localhost")

        assert upstream.connections == 0

    assert answer == (502, b'{"error":"upstream_not_allowed"}')
    assert records.verdicts == [("allow", None)]
    request_id = records.all[0]["request_id"]
    assert f"request {request_id} to wiki: upstream-not-allowed: wiki.internal: " in caplog.text


@pytest.mark.promise("checked-is-dialled")
def test_a_route_narrows_where_its_server_may_be() -> None:
    with listening() as upstream:
        url = f"http://wiki.internal:{upstream.port}"
        routes = {"wiki": {"upstream": {"url": url, "allowed_ips": ["127.0.0.2"]}}}
        made = policy(routes, upstream={"allowed_ips": ["127.0.0.0/8"]})
        gateway = create_gateway(made, audit=Records(), resolve=Names({"wiki.internal": ["127.0.0.1"]}))
        with serve(gateway) as port:
            answer = get(port, "wiki.tunnel.localhost")

        assert (answer[0], upstream.connections) == (502, 0)


def test_the_log_says_which_server_each_hostname_leads_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tunnelgate")

    create_gateway(policy({"wiki": {"upstream": "http://wiki.internal:9000"}}), audit=Records())

    assert caplog.messages[0] == "route configured: wiki.tunnel.localhost to http://wiki.internal:9000"


@pytest.mark.promise("whole-configuration")
def test_what_upstreams_and_mounts_lack_is_told_at_once_and_once(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    own = {"ca_file": missing, "cert_file": missing, "key_file": missing}
    routes: dict[str, dict[str, Any]] = {
        "wiki": {"upstream": "https://wiki.internal:9443"},
        "mail": {"upstream": {"url": "https://mail.internal:9443", "tls": own}},
        "docs": {"upstream": "https://docs.internal:9443"},
        "shop": {"mount": "no_such_module:create_app"},
    }

    with pytest.raises(ConfigurationError) as refused:
        create_gateway(policy(routes, upstream={"tls": {"ca_file": missing}}), audit=Records())

    assert [(fault.path, fault.value) for fault in refused.value.faults] == [
        ("upstream.tls.ca_file", repr(str(missing))),
        *((f"routes.mail.upstream.tls.{name}", repr(str(missing))) for name in own),
        ("routes.shop.mount", "'no_such_module:create_app'"),
    ]


@pytest.mark.anyio
async def test_issuers_are_looked_up_as_upstreams_are() -> None:
    names = Names({"login.internal": ["127.0.0.1"]})
    publisher = Spy(jwks("ES256"))
    with serve(publisher) as port:
        jwks_uri = f"http://login.internal:{port}/jwks"
        route = {"upstream": "http://wiki.internal:9000", "tools": ["search_docs"]}
        made = policy(
            {"docs.example.com": route},
            oauth={"issuers": [{"issuer": ISSUER, "jwks_uri": jwks_uri}], "allowed_ips": ["127.0.0.1"]},
        )
        headers, body = modern("tools/call", {"name": "delete_docs"})
        token = ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}")
        gateway = create_gateway(made, audit=Records(), resolve=names)

        reply = await call(gateway, http_scope("POST", "/mcp", [*headers, token]), body)

    assert (reply.status, reply.json()["error"]["code"]) == (200, -32602)
    assert [scope["path"] for scope in publisher.scopes] == ["/jwks"]
    assert names.asked == ["login.internal"]


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        pytest.param(None, "is this machine itself", id="unless somebody names it"),
        pytest.param(["10.0.0.0/8"], "is not in oauth.allowed_ips", id="nor by another"),
    ],
)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_issuers_are_not_asked_on_this_machine(
    allowed: list[str] | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    records = Records()
    with listening() as issuer:
        jwks_uri = f"http://127.0.0.1:{issuer.port}/jwks"
        oauth: dict[str, Any] = {"issuers": [{"issuer": ISSUER, "jwks_uri": jwks_uri}]}
        route: dict[str, Any] = {"upstream": "http://wiki.internal:9000", "tools": ["search_docs"]}
        made = policy(
            {"docs.example.com": route}, oauth=oauth if allowed is None else {**oauth, "allowed_ips": allowed}
        )
        headers, body = modern("tools/list")
        token = ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}")

        reply = await call(
            create_gateway(made, audit=records), http_scope("POST", "/mcp", [*headers, token]), body
        )

        assert issuer.connections == 0

    assert (reply.status, records.verdicts) == (503, [("broken", Reason.KEYS_UNAVAILABLE)])
    assert told in caplog.text


STATEFUL = """
    from contextlib import asynccontextmanager

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    DIARY = []

    def create_app(*, name):
        @asynccontextmanager
        async def lifespan(app):
            DIARY.append(f"start {name}")
            yield {"database": f"the database of {name}"}
            DIARY.append(f"stop {name}")

        async def show(request):
            return JSONResponse({"database": request.state.database})

        return Starlette(routes=[Route("/x", show)], lifespan=lifespan)
"""


def test_a_mounted_application_starts_and_stops_with_the_server_and_finds_its_state_in_requests(
    module: Write,
) -> None:
    module("stateful", STATEFUL)
    names = ("docs", "wiki")
    routes = {name: {"mount": "stateful:create_app", "options": {"name": name}} for name in names}
    gateway = create_gateway(policy(routes), audit=Records())

    answers: list[tuple[int, bytes]] = []
    with serve(gateway) as port:
        for name in names:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("GET", "/x", headers={"Host": f"{name}.tunnel.localhost"})
                response = connection.getresponse()
                answers.append((response.status, response.read()))

    assert importlib.import_module("stateful").DIARY == ["start docs", "start wiki", "stop wiki", "stop docs"]
    assert answers == [(200, b'{"database":"the database of %s"}' % name.encode()) for name in names]
