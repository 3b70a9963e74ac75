from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from authlib.oauth2 import rfc8414
from mcp.shared.auth import OAuthMetadata

from tests.support.asgi import Reply, call, http_scope
from tunnelgate.asgi import ASGIApp, Message
from tunnelgate_app.issuer import SigningKey, create_app
from tunnelgate_app.issuer.app import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    METADATA_PATH,
    OPENID_METADATA_PATH,
    PATHS,
    REGISTER_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
)

ISSUER = "http://login.tunnel.localhost:8080"
DOCS = "http://docs.tunnel.localhost:8080/mcp"
RESOURCES = {DOCS: ["docs:read", "docs:full"], "http://other.tunnel.localhost:8080/mcp": ["docs:read", "a"]}
FORM = {
    "grant_type": "client_credentials",
    "resource": DOCS,
    "client_id": "demo",
    "client_secret": "s3cret",
}
URL_ENCODED = "application/x-www-form-urlencoded"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    SigningKey.generate().write(path)
    return path


@pytest.fixture
def issuer(key_file: Path) -> ASGIApp:
    return create_app(
        issuer=ISSUER, key_file=key_file, client_id="demo", client_secret="s3cret", resources=RESOURCES
    )


async def ask_for_token(issuer: ASGIApp, body: bytes, media_type: str = URL_ENCODED) -> Reply:
    scope = http_scope("POST", TOKEN_PATH, [("host", "x"), ("content-type", media_type)])
    return await call(issuer, scope, body)


@pytest.mark.promise("development-only")
@pytest.mark.anyio
@pytest.mark.parametrize("path", [METADATA_PATH, OPENID_METADATA_PATH])
async def test_the_metadata_is_that_of_the_specification_and_says_development(
    issuer: ASGIApp, path: str
) -> None:
    reply = await call(issuer, http_scope("GET", path))

    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert reply.json() == {
        "issuer": ISSUER,
        "authorization_endpoint": ISSUER + AUTHORIZE_PATH,
        "token_endpoint": ISSUER + TOKEN_PATH,
        "jwks_uri": ISSUER + JWKS_PATH,
        "registration_endpoint": ISSUER + REGISTER_PATH,
        "introspection_endpoint": ISSUER + INTROSPECT_PATH,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint": ISSUER + REVOKE_PATH,
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": ["a", "docs:full", "docs:read"],
        "tunnelgate_environment": "development",
    }


@pytest.mark.anyio
async def test_two_libraries_can_read_the_metadata_and_find_nothing_wrong(key_file: Path) -> None:
    app = create_app(
        issuer="https://login.localhost",
        key_file=key_file,
        client_id="demo",
        client_secret="s3cret",
        resources=RESOURCES,
    )
    document = (await call(app, http_scope("GET", METADATA_PATH))).body

    rfc8414.AuthorizationServerMetadata(orjson.loads(document)).validate()
    metadata = OAuthMetadata.model_validate_json(document)
    assert str(metadata.issuer) == "https://login.localhost"


@pytest.mark.promise("development-only")
@pytest.mark.anyio
async def test_the_keys_are_those_of_the_file_without_the_private_part(
    issuer: ASGIApp, key_file: Path
) -> None:
    reply = await call(issuer, http_scope("GET", JWKS_PATH))

    assert (reply.status, reply.header("content-type")) == (200, "application/jwk-set+json")
    assert reply.body == SigningKey.from_file(key_file).public_set()
    (key,) = reply.json()["keys"]
    assert "d" not in key


@pytest.mark.promise("development-only")
def test_the_log_says_that_it_is_for_development(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    create_app(issuer=ISSUER, key_file=key_file, client_id="a", client_secret="b", resources={})

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tunnelgate.issuer", "WARNING")
    assert record.getMessage().startswith(f"development issuer: {ISSUER} ")


def test_without_its_key_there_is_no_issuer(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create_app(
            issuer=ISSUER, key_file=str(tmp_path / "none"), client_id="a", client_secret="b", resources={}
        )


@pytest.mark.anyio
async def test_a_form_gets_a_token(issuer: ASGIApp) -> None:
    reply = await ask_for_token(issuer, urlencode(FORM).encode())

    assert (reply.status, reply.json()["token_type"]) == (200, "Bearer")
    assert reply.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", METADATA_PATH, 405, id="a POST to the metadata"),
        pytest.param("POST", JWKS_PATH, 405, id="a POST to the keys"),
        pytest.param("GET", TOKEN_PATH, 405, id="a GET of a token, which would be in logs"),
        pytest.param("DELETE", AUTHORIZE_PATH, 405, id="an authorization by another method"),
        pytest.param("GET", REGISTER_PATH, 405, id="a GET of a registration"),
        pytest.param("GET", INTROSPECT_PATH, 405, id="a GET with a token in it"),
        pytest.param("GET", REVOKE_PATH, 405, id="a GET of a revocation"),
        pytest.param("OPTIONS", AUTHORIZE_PATH, 405, id="a question of a page about the authorization"),
        pytest.param("OPTIONS", INTROSPECT_PATH, 405, id="a question of a page about introspection"),
        pytest.param("GET", "/", 404, id="another path"),
        pytest.param("GET", f"{METADATA_PATH}/x", 404, id="a path below the metadata"),
        pytest.param("POST", f"{TOKEN_PATH}/", 307, id="a slash too many"),
    ],
)
@pytest.mark.anyio
async def test_nothing_else_is_served(issuer: ASGIApp, method: str, path: str, status: int) -> None:
    assert (await call(issuer, http_scope(method, path))).status == status


def test_the_paths_that_a_gate_must_leave_open_are_exactly_these() -> None:
    assert set(PATHS) == {
        METADATA_PATH,
        OPENID_METADATA_PATH,
        JWKS_PATH,
        AUTHORIZE_PATH,
        TOKEN_PATH,
        REGISTER_PATH,
        INTROSPECT_PATH,
        REVOKE_PATH,
    }


INSPECTOR = "http://localhost:6274"
OPEN = {
    METADATA_PATH: "GET",
    OPENID_METADATA_PATH: "GET",
    JWKS_PATH: "GET",
    TOKEN_PATH: "POST",
    REGISTER_PATH: "POST",
    REVOKE_PATH: "POST",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.anyio
async def test_a_client_in_a_browser_may_use_what_every_client_may(issuer: ASGIApp, path: str) -> None:
    headers = [
        ("host", "x"),
        ("origin", INSPECTOR),
        ("access-control-request-method", OPEN.get(path, "POST")),
        ("access-control-request-headers", "authorization,content-type,mcp-protocol-version"),
    ]

    asked = await call(issuer, http_scope("OPTIONS", path, headers))
    answered = await call(issuer, http_scope(OPEN.get(path, "POST"), path, headers[:2]))

    allowed = "*" if path in OPEN else None
    assert asked.header("access-control-allow-origin") == allowed
    assert answered.header("access-control-allow-origin") == allowed
    assert asked.status == (200 if path in OPEN else 405)
    assert asked.header("access-control-allow-credentials") is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"users": ["alice", "demo"]}, "'demo' cannot be", id="a user like the client"),
        pytest.param({"users": ["a b"]}, "'a b' cannot be", id="a user of two words"),
        pytest.param({"users": [""]}, "'' cannot be", id="a user without a name"),
        pytest.param({"users": []}, "[] is not a list of names", id="no users"),
        pytest.param({"users": "alice"}, "'alice' is not a list of names", id="a text of one user"),
        pytest.param({"token_lifetime": 0}, "0 is not a whole number", id="tokens that never live"),
        pytest.param({"token_lifetime": -1}, "-1 is not a whole number", id="tokens of the past"),
        pytest.param({"token_lifetime": 1.5}, "1.5 is not a whole number", id="half a second"),
        pytest.param({"token_lifetime": "60"}, "'60' is not a whole number", id="a text of seconds"),
        pytest.param({"token_lifetime": True}, "True is not a whole number", id="a word for seconds"),
        pytest.param({"resources": {DOCS: {"token": "jwt"}}}, f"{DOCS}: token: ", id="an unknown setting"),
        pytest.param({"resources": {DOCS: {"tokens": "x"}}}, f"{DOCS}: tokens: ", id="unknown tokens"),
        pytest.param({"resources": {DOCS: "docs:read"}}, f"{DOCS}: scopes: ", id="a text for a list"),
        pytest.param({"resources": {DOCS: ["a b"]}}, f"{DOCS}: scopes.0: ", id="two scopes in one"),
        pytest.param({"resources": {DOCS: ['"']}}, f"{DOCS}: scopes.0: ", id="a scope that is a quote"),
    ],
)
def test_what_no_issuer_can_have_is_refused_with_a_sentence(
    key_file: Path, options: dict[str, Any], sentence: str
) -> None:
    usual: dict[str, Any] = {"client_id": "demo", "client_secret": "s3cret", "resources": RESOURCES}

    with pytest.raises(ValueError, match=r"^(users|resources|token_lifetime)") as refused:
        create_app(issuer=ISSUER, key_file=key_file, **{**usual, **options})

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param(
            "https://login.example.com", "is not a name of this machine", id="a name of the internet"
        ),
        pytest.param("http://10.0.0.1:8080", "is not a name of this machine", id="an address of the network"),
        pytest.param(
            "http://localhost.evil.example",
            "is not a name of this machine",
            id="a name that only begins like ours",
        ),
        pytest.param(
            "http://evillocalhost", "is not a name of this machine", id="a name that ends like ours"
        ),
        pytest.param(
            "http://localhost@evil.example", "is not a name of this machine", id="our name for a user"
        ),
        pytest.param("ftp://login.localhost", "is not a name of this machine", id="another scheme"),
        pytest.param("login.localhost", "is not a name of this machine", id="no scheme"),
        pytest.param("", "is not a name of this machine", id="nothing"),
        pytest.param(None, "is not a name of this machine", id="no text"),
        pytest.param("http://login.localhost:8080/", "has more than a scheme", id="a slash"),
        pytest.param("http://login.localhost/oauth", "has more than a scheme", id="a path"),
        pytest.param("http://login.localhost?a", "has more than a scheme", id="a query"),
        pytest.param("http://login.localhost#a", "has more than a scheme", id="a fragment"),
        pytest.param("http://a@login.localhost", "has more than a scheme", id="a user"),
        pytest.param("http://login.localhost\n", "has more than a scheme", id="a line"),
        pytest.param("http://login.localhost:99999", "is no URL", id="no such port"),
        pytest.param("http://login.localhost:http", "is no URL", id="a word for a port"),
        pytest.param("http://[::1", "is no URL", id="half of an address"),
        pytest.param(5, "is no URL", id="a number"),
        pytest.param("http://a b.localhost", "is not a URL", id="a blank in the name"),
        pytest.param('http://a"b.localhost', "is not a URL", id="a quote in the name"),
        pytest.param("http://login.localhost:", "is not a URL", id="a colon without a port"),
        pytest.param("http://login.localhost:0", "is not a URL", id="the port zero"),
    ],
)
@pytest.mark.promise("development-only")
def test_an_issuer_has_a_name_of_this_machine_or_there_is_none(
    key_file: Path, name: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=r"^issuer: ") as refused:
        create_app(issuer=name, key_file=key_file, client_id="a", client_secret="b", resources=RESOURCES)

    assert f"{name!r} {sentence}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "http://localhost",
        "http://Login.LOCALHOST:8080",
        "https://login.tunnel.localhost:8443",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:8080",
    ],
)
@pytest.mark.anyio
async def test_the_names_of_this_machine_are_for_issuers(key_file: Path, name: str) -> None:
    app = create_app(issuer=name, key_file=key_file, client_id="a", client_secret="b", resources=RESOURCES)

    assert (await call(app, http_scope("GET", METADATA_PATH))).json()["issuer"] == name


@pytest.mark.anyio
async def test_tokens_live_as_long_as_the_issuer_is_told(key_file: Path) -> None:
    app = create_app(
        issuer=ISSUER,
        key_file=key_file,
        client_id="demo",
        client_secret="s3cret",
        resources=RESOURCES,
        token_lifetime=7,
    )

    assert (await ask_for_token(app, urlencode(FORM).encode())).json()["expires_in"] == 7


def part(name: str, value: str, more: str = "") -> str:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'


MULTIPART = "multipart/form-data; boundary=x"
GOOD = urlencode(FORM)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(f"{GOOD}&resource=http://evil.example/mcp", URL_ENCODED, id="two resources"),
        pytest.param(f"{GOOD}&grant_type=client_credentials", URL_ENCODED, id="the same grant twice"),
        pytest.param(f"{GOOD}&scope=docs:read&scope=docs:full", URL_ENCODED, id="two scopes"),
        pytest.param(
            "".join(part(*field) for field in FORM.items())
            + part("scope", "a", '; filename="a"')
            + "--x--\r\n",
            MULTIPART,
            id="a file for a field",
        ),
        pytest.param("x", MULTIPART, id="no parts where parts were announced"),
        pytest.param("x", "multipart/form-data", id="parts without a boundary"),
        pytest.param("&".join(["a=1"] * 5_000), URL_ENCODED, id="five thousand fields"),
        pytest.param(
            "&".join(f"a{number}=1" for number in range(5_000)),
            URL_ENCODED,
            id="five thousand different fields",
        ),
    ],
)
@pytest.mark.anyio
async def test_a_form_that_could_be_read_in_two_ways_is_an_invalid_request(
    issuer: ASGIApp, body: str, media_type: str
) -> None:
    reply = await ask_for_token(issuer, body.encode(), media_type)

    assert (reply.status, reply.header("content-type")) == (400, "application/json")
    assert reply.json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(b"", URL_ENCODED, id="no form"),
        pytest.param(b"{}", "application/json", id="JSON"),
        pytest.param(GOOD.encode(), "text/plain", id="a form by another name"),
        pytest.param(b"grant_type=%ff%fe&resource=%00", URL_ENCODED, id="octets that are no text"),
        pytest.param(b"\xff\xfe=\x00;&&=&=", URL_ENCODED, id="noise"),
        pytest.param(b"grant_type=%zz%", URL_ENCODED, id="a broken encoding"),
    ],
)
@pytest.mark.anyio
async def test_what_is_no_such_form_grants_nothing(issuer: ASGIApp, body: bytes, media_type: str) -> None:
    reply = await ask_for_token(issuer, body, media_type)

    assert reply.status == 400
    assert reply.json()["error"] in ("invalid_request", "unsupported_grant_type")


@pytest.mark.anyio
@pytest.mark.promise("bounded")
async def test_a_form_of_a_million_octets_is_not_read(issuer: ASGIApp) -> None:
    reply = await ask_for_token(issuer, f"{GOOD}&padding={'x' * 1_000_000}".encode())

    assert (reply.status, reply.json()) == (413, {"error": "invalid_request"})


End = tuple[str, int | None] | None
LOCAL: End = ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param(("127.0.0.1", 5), LOCAL, id="IPv4 loopback"),
        pytest.param(("127.255.255.254", 5), ("127.9.9.9", 8080), id="the last of the loopback network"),
        pytest.param(("::1", 5), ("::1", 8080), id="IPv6 loopback"),
        pytest.param(("::ffff:127.0.0.1", 5), ("::ffff:127.0.0.1", 8080), id="IPv4 loopback, mapped to IPv6"),
    ],
)
@pytest.mark.promise("development-only")
@pytest.mark.anyio
async def test_this_machine_is_answered(issuer: ASGIApp, client: tuple[str, int], server: End) -> None:
    reply = await call(issuer, http_scope("GET", METADATA_PATH, client=client, server=server))

    assert reply.status == 200


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param(("10.0.0.1", 5), LOCAL, id="a client from elsewhere"),
        pytest.param(("128.0.0.1", 5), LOCAL, id="a client one past the loopback network"),
        pytest.param(("126.255.255.255", 5), LOCAL, id="a client one before the loopback network"),
        pytest.param(("::2", 5), ("::1", 8080), id="a client from elsewhere, IPv6"),
        pytest.param(("::ffff:10.0.0.1", 5), ("::1", 8080), id="a client from elsewhere, mapped"),
        pytest.param(("64:ff9b::7f00:1", 5), ("::1", 8080), id="a loopback address behind a translator"),
        pytest.param(("127.0.0.1", 5), ("10.0.0.1", 8080), id="a server that others can reach"),
        pytest.param(
            ("127.0.0.1", 5), ("::ffff:10.0.0.1", 8080), id="a server that others can reach, mapped"
        ),
        pytest.param(("127.0.0.1", 5), ("0.0.0.0", 8080), id="a server without an address of its own"),
        pytest.param(None, LOCAL, id="no client"),
        pytest.param(("127.0.0.1", 5), None, id="no server"),
        pytest.param(("localhost", 5), LOCAL, id="a name for a client"),
        pytest.param(("", 5), LOCAL, id="an empty client"),
        pytest.param(("127.0.0.1", 5), ("/run/gate.sock", None), id="a Unix socket"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.promise("development-only")
@pytest.mark.anyio
async def test_nobody_else_is_answered_and_the_log_says_so(
    issuer: ASGIApp,
    path: str,
    client: tuple[str, int] | None,
    server: End,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = await call(issuer, http_scope("GET", path, client=client, server=server))

    assert (reply.status, reply.json()) == (403, {"error": "loopback_only"})
    assert "refused a connection from beyond loopback" in caplog.text


@pytest.mark.anyio
async def test_the_lifespan_has_no_addresses_and_passes(issuer: ASGIApp) -> None:
    said: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    heard: list[str] = []

    async def receive() -> Message:
        return said.pop(0)

    async def send(message: Message) -> None:
        heard.append(message["type"])

    await issuer({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

    assert heard == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
