import socket
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.certificates import Authority
from tests.support.processes import free_port
from tests.support.tunnels_api import (
    BETA,
    ORGANIZATION,
    RULE,
    WORKSPACE,
    Grant,
    Scripted,
    Service,
    TunnelsApi,
    serving,
)
from tunnelgate_app.administration.client import TunnelsClient
from tunnelgate_app.administration.credentials import Federation, StaticToken
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.records import RELAY

CA = Authority("Test CA")
TUNNELS = "/v1/tunnels"
AT_ONCE = {"retry-after-ms": "1"}
BROKEN = Scripted(500, b"{}", AT_ONCE)


@pytest.fixture(scope="module")
def service() -> Generator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def api(service: Service) -> TunnelsApi:
    return service.start_anew()


@pytest.fixture
def url(api: TunnelsApi, service: Service) -> str:
    return service.url


@pytest.fixture
def client(api: TunnelsApi, url: str) -> Generator[TunnelsClient]:
    with TunnelsClient(StaticToken(api.grant()), url) as opened:
        yield opened


def federation(token: str | None = None, file: Path | None = None, **members: Any) -> Federation:
    given: dict[str, Any] = {
        "rule_id": RULE,
        "organization_id": ORGANIZATION,
        "workspace_id": WORKSPACE,
        "service_account_id": None,
        "identity_token": token,
        "identity_token_file": file,
    }
    return Federation(**{**given, **members})


def refusal(ask: Callable[[], object]) -> str:
    """Return the sentence that ``ask`` ends with; nothing that a traceback could show is behind it."""
    with pytest.raises(AdministrationError) as raised:
        ask()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    shown = "".join(traceback.format_exception(raised.value))
    assert "Bearer" not in shown
    return str(raised.value)


def create(client: TunnelsClient, _: str) -> object:
    return client.create()


def add_certificate(client: TunnelsClient, tunnel_id: str) -> object:
    return client.add_certificate(tunnel_id, CA.pem)


@contextmanager
def answering_badly(*, closes: bool) -> Generator[str]:
    """Listen on loopback, read each request, and answer nothing: close, or leave it open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(65536)
                kept.append(connection)
                if closes:
                    connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in kept:
                connection.close()
            assert not thread.is_alive()


def test_every_request_says_who_asks_and_for_which_version(api: TunnelsApi, client: TunnelsClient) -> None:
    tunnel, token = client.create("docs")
    client.tunnel(tunnel.id)
    client.tunnels()
    client.reveal_token(tunnel.id)
    client.rotate_token(tunnel.id, "a leak")
    certificate = client.add_certificate(tunnel.id, CA.pem)
    client.certificates(tunnel.id)
    client.archive_certificate(tunnel.id, certificate.id)
    client.archive(tunnel.id)

    one = f"{TUNNELS}/{tunnel.id}"
    assert token is None
    assert api.calls == [
        f"POST {TUNNELS}",
        f"GET {one}",
        f"GET {TUNNELS}",
        f"POST {one}/reveal_token",
        f"POST {one}/rotate_token",
        f"POST {one}/certificates",
        f"GET {one}/certificates",
        f"POST {one}/certificates/{certificate.id}/archive",
        f"POST {one}/archive",
    ]
    assert {each.headers["anthropic-beta"] for each in api.seen} == {BETA}
    assert {"anthropic-workspace-id" in each.headers for each in api.seen} == {False}
    assert orjson.loads(api.seen[0].body) == {"display_name": "docs"}
    assert orjson.loads(api.seen[4].body) == {"reason": "a leak"}
    assert orjson.loads(api.seen[5].body) == {"ca_certificate_pem": CA.pem}


def test_what_is_not_given_is_not_sent(api: TunnelsApi, client: TunnelsClient) -> None:
    tunnel, _ = client.create()
    client.rotate_token(tunnel.id)

    assert [orjson.loads(each.body) for each in api.seen] == [{}, {}]


def test_a_relay_tunnel_comes_with_its_token(api: TunnelsApi, client: TunnelsClient) -> None:
    api.transport = RELAY

    tunnel, token = client.create()

    assert token is not None
    assert (tunnel.transport, token.value) == (RELAY, api.issued[-1])
    assert client.tunnel(tunnel.id).transport == RELAY


def test_all_pages_are_read_in_their_order(api: TunnelsApi, client: TunnelsClient) -> None:
    made = [api.add_tunnel() for _ in range(230)]
    for each in api.tunnels.values():
        each["archived_at"] = each["created_at"]
    made.append(api.add_tunnel())

    assert [each.id for each in client.tunnels(archived=True)] == made[::-1]
    assert [each.id for each in client.tunnels()] == made[-1:]
    assert [each.query.get("limit") for each in api.seen] == ["100"] * 4


def test_pages_without_an_end_are_not_followed_for_ever(api: TunnelsApi, client: TunnelsClient) -> None:
    endless = Scripted(200, b'{"data": [], "next_page": "again"}')
    api.script(f"GET {TUNNELS}", *[endless] * 60)

    assert refusal(client.tunnels) == "the tunnels were not listed: the API has more than 50 pages of them"
    assert len(api.calls) == 50


def test_what_can_be_done_twice_is_tried_again(api: TunnelsApi, client: TunnelsClient) -> None:
    api.script(f"GET {TUNNELS}", BROKEN, Scripted(529, b"{}", AT_ONCE))

    assert client.tunnels() == ()
    assert api.calls == [f"GET {TUNNELS}"] * 3


@pytest.mark.parametrize(
    ("path", "ask", "doubt"),
    [
        ("", create, "whether the tunnel was created is not known: "),
        (
            "/rotate_token",
            TunnelsClient.rotate_token,
            "whether the token was rotated is not known: ",
        ),
        (
            "/certificates",
            add_certificate,
            "whether the CA was registered is not known: ",
        ),
    ],
    ids=["creating a tunnel", "rotating a token", "registering a CA"],
)
def test_what_would_be_done_twice_is_never_tried_again(
    path: str,
    ask: Callable[[TunnelsClient, str], object],
    doubt: str,
    api: TunnelsApi,
    client: TunnelsClient,
) -> None:
    tunnel_id = api.add_tunnel()
    call = f"POST {TUNNELS}/{tunnel_id}{path}" if path else f"POST {TUNNELS}"
    api.script(call, BROKEN, Scripted(200, b"[]"))

    assert refusal(lambda: ask(client, tunnel_id)).startswith(f"{doubt}the API answered with status 500; ")
    assert api.calls == [call]
    assert refusal(lambda: ask(client, tunnel_id)).startswith(f"{doubt}what answered is not the API: ")


def test_a_lost_answer_leaves_one_tunnel_and_the_doubt_is_said() -> None:
    with answering_badly(closes=True) as url, TunnelsClient(StaticToken("s3cr3t"), url) as client:
        told = refusal(client.create)

    assert told.startswith("whether the tunnel was created is not known: the API did not answer; look at")
    assert "it said: " in told


def test_an_api_that_does_not_answer_is_not_waited_for_without_an_end() -> None:
    with (
        answering_badly(closes=False) as url,
        TunnelsClient(StaticToken("s3cr3t"), url, timeout=0.2) as client,
    ):
        told = refusal(client.create)

    assert told.startswith("whether the tunnel was created is not known: the API did not answer; look at")


def test_an_api_that_cannot_be_reached_was_asked_for_nothing() -> None:
    with TunnelsClient(StaticToken("s3cr3t"), f"http://127.0.0.1:{free_port()}") as client:
        told = refusal(client.create)

    assert told.startswith(
        "the tunnel was not created: the API cannot be reached; allow outgoing TCP connections to its port"
    )


def test_a_redirect_is_not_followed(api: TunnelsApi, client: TunnelsClient) -> None:
    with serving() as elsewhere:
        other = elsewhere.start_anew()
        api.script(f"GET {TUNNELS}", Scripted(307, b"", {"location": f"{elsewhere.url}/v1/tunnels"}))

        told = refusal(client.tunnels)

    assert told.startswith("the tunnels were not listed: the API sent elsewhere with status 307")
    assert other.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Scripted(200, b"<html>log in</html>", {"content-type": "text/html"}), id="a login page"),
        pytest.param(Scripted(200, b"", {"content-type": "text/plain"}), id="nothing"),
    ],
)
def test_what_is_not_the_api_is_not_taken_for_it(
    answer: Scripted, api: TunnelsApi, client: TunnelsClient
) -> None:
    api.script(f"GET {TUNNELS}", answer)

    assert refusal(client.tunnels).startswith("the tunnels were not listed: what answered is not the API: ")


@pytest.mark.parametrize("body", [b'"no"', b"no", b'{"error": "no"}', b'{"error": {"message": 1}}'])
def test_an_error_without_the_envelope_is_told_by_its_status(
    body: bytes, api: TunnelsApi, client: TunnelsClient
) -> None:
    api.script(f"GET {TUNNELS}", Scripted(418, body))

    told = refusal(client.tunnels)

    assert told.startswith("the tunnels were not listed: the API refused with status 418 (request id req_")


@pytest.mark.parametrize(("header", "when"), [("7", "in 7 s"), ("soon", "later"), ("\u0667", "later")])
def test_too_many_rotations_are_told_with_the_time_to_wait(
    header: str, when: str, api: TunnelsApi, client: TunnelsClient
) -> None:
    tunnel_id = api.add_tunnel()
    answer = Scripted(429, b"{}", {"retry-after": header.encode().decode("latin-1")})
    api.script(f"POST {TUNNELS}/{tunnel_id}/rotate_token", answer)

    assert f"try again {when} (" in refusal(lambda: client.rotate_token(tunnel_id))


def test_the_token_is_not_told_though_the_api_says_it(url: str) -> None:
    with TunnelsClient(StaticToken("s3cr3t-of-mine"), url) as client:
        told = refusal(client.tunnels)

    assert "it said: Invalid bearer token: …; request id req_" in told
    assert "s3cr3t" not in told


def test_a_token_is_used_for_the_workspace_that_is_named(api: TunnelsApi, url: str) -> None:
    token = api.grant(Grant(workspace_id="wrkspc_2"))

    with TunnelsClient(StaticToken(token, "wrkspc_2"), url) as client:
        client.tunnels()
    with TunnelsClient(StaticToken(token, "wrkspc_3"), url) as client:
        told = refusal(client.tunnels)

    assert [each.headers["anthropic-workspace-id"] for each in api.seen] == ["wrkspc_2", "wrkspc_3"]
    assert "belongs to another workspace or organization than the tunnel" in told


def test_keys_of_the_environment_are_not_sent(
    api: TunnelsApi, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-s3cr3t")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "sk-ant-oat01-s3cr3t")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://elsewhere.example.com")

    with TunnelsClient(federation(api.identity_token()), url) as client:
        client.tunnels()

    assert all("s3cr3t" not in str(each.headers) for each in api.seen)


def test_an_identity_token_is_exchanged_once_for_all_requests(api: TunnelsApi, url: str) -> None:
    identity = api.identity_token()

    with TunnelsClient(federation(identity, service_account_id="svac_1"), url) as client:
        tunnel, _ = client.create()
        client.tunnel(tunnel.id)

    exchange, *asked = api.seen
    assert (exchange.call, [each.call for each in asked]) == (
        "POST /v1/oauth/token",
        [f"POST {TUNNELS}", f"GET {TUNNELS}/{tunnel.id}"],
    )
    assert orjson.loads(exchange.body) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": identity,
        "federation_rule_id": RULE,
        "organization_id": ORGANIZATION,
        "workspace_id": WORKSPACE,
        "service_account_id": "svac_1",
    }
    assert all("anthropic-workspace-id" not in each.headers for each in asked)


def test_an_identity_token_in_a_file_is_read_when_it_is_needed(
    api: TunnelsApi, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"

    with TunnelsClient(federation(file=file), url) as client:
        file.write_text(f"{api.identity_token()}\n")
        assert client.tunnels() == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "not found", id="no file"),
        pytest.param("", "is empty", id="an empty file"),
        pytest.param("x" * 20_000, "exceeds the 16384-byte limit", id="a file that is something else"),
    ],
)
def test_an_identity_token_that_cannot_be_had_is_told(
    content: str | None, words: str, api: TunnelsApi, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)

    with TunnelsClient(federation(file=file), url) as client:
        told = refusal(client.create)

    assert told.startswith("the tunnel was not created: the identity token was not exchanged (it said: ")
    assert words in told
    assert api.seen == []


def test_an_identity_token_that_is_not_accepted_is_told_and_not_shown(api: TunnelsApi, url: str) -> None:
    identity = api.identity_token(aud="api.anthropic.com")

    with TunnelsClient(federation(identity), url) as client:
        told = refusal(client.create)

    assert told.startswith(
        "the tunnel was not created: the federation rule does not accept the identity token; compare issuer,"
    )
    assert "(it said: authentication_error; request id req_" in told
    assert identity[:20] not in told
    assert api.calls == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            Scripted(403, b'{"error": "access_denied"}'),
            "the service account may not use the federation rule; fix the rule or the membership"
            " (it said: access_denied; request id",
            id="an account that may not",
        ),
        pytest.param(
            Scripted(503, b"<html>"),
            "the exchange of the identity token answered with status 503",
            id="broken",
        ),
        pytest.param(
            Scripted(200, b"s3cr3t"),
            "the exchange of the identity token answered with status 200",
            id="no JSON",
        ),
        pytest.param(
            Scripted(307, b"", {"location": "/v1/elsewhere"}),
            "the exchange of the identity token answered with status 307",
            id="sent elsewhere",
        ),
        pytest.param(
            Scripted(400, b'{"error": "s3cr3t 7"}'),
            "(api.anthropic.com is not https://api.anthropic.com), and name the workspace if the rule has"
            " several (request id req_",
            id="an error that is no code",
        ),
    ],
)
def test_an_exchange_that_fails_is_told(answer: Scripted, words: str, api: TunnelsApi, url: str) -> None:
    api.script("POST /v1/oauth/token", answer)

    with TunnelsClient(federation(api.identity_token()), url) as client:
        told = refusal(client.create)

    assert words in told
    assert "s3cr3t" not in told


def test_an_exchange_that_cannot_be_reached_is_told(api: TunnelsApi) -> None:
    with TunnelsClient(federation(api.identity_token()), f"http://127.0.0.1:{free_port()}") as client:
        told = refusal(client.create)

    assert "(it said: Failed to reach token endpoint" in told


def test_an_exchanged_token_that_may_not_manage_tunnels_is_told(api: TunnelsApi, url: str) -> None:
    api.is_member = False

    with TunnelsClient(federation(api.identity_token()), url) as client:
        told = refusal(client.tunnels)

    assert told.startswith(
        "the tunnels were not listed: the federation rule lacks the scope workspace:manage_tunnels, or its"
    )


def test_an_exchanged_token_that_is_revoked_is_exchanged_anew(api: TunnelsApi, url: str) -> None:
    with TunnelsClient(federation(api.identity_token()), url) as client:
        client.tunnels()
        api.grants.clear()

        assert client.tunnels() == ()

    assert [each.path for each in api.seen].count("/v1/oauth/token") == 2


def test_a_url_in_the_clear_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(AdministrationError, match="is no URL to send a token to"):
        TunnelsClient(StaticToken("s3cr3t"), "http://api.example.com")
