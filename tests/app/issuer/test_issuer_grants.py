import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import jwt
import orjson
import pytest

from tests.app.issuer.flows import Documents
from tunnelgate import Principal, StaticKeys, TrustedIssuer
from tunnelgate.reading.fault import Fault
from tunnelgate.verifier import TokenVerifier
from tunnelgate_app.issuer import SigningKey
from tunnelgate_app.issuer.clients import Client, ClientRegistry
from tunnelgate_app.issuer.documents import ClientDocuments
from tunnelgate_app.issuer.ledger import Ledger
from tunnelgate_app.issuer.messages import ClientRequest, Reply
from tunnelgate_app.issuer.resources import Resources
from tunnelgate_app.issuer.server import DevelopmentServer
from tunnelgate_app.issuer.subjects import SubjectClaims
from tunnelgate_app.issuer.tokens import TOKEN_LIFETIME, TokenGenerator

ISSUER = "http://login.tunnel.localhost:8080"
DOCS = "http://docs.tunnel.localhost:8080/mcp"
TICKETS = "http://tickets.tunnel.localhost:8080/mcp"
RESOURCES = {DOCS: ["docs:read", "docs:full"], TICKETS: ["tickets:read"]}
CLIENT_ID = "demo"
SECRET = "s3cret"

KEY = SigningKey.generate()
LEDGER = Ledger(TOKEN_LIFETIME, time.time)
GENERATOR = TokenGenerator(
    issuer=ISSUER,
    key=KEY,
    ledger=LEDGER,
    lifetime=TOKEN_LIFETIME,
    clock=time.time,
    claims=SubjectClaims({}, [CLIENT_ID]),
)
SERVER = DevelopmentServer(
    issuer=ISSUER,
    registry=ClientRegistry(
        [Client.configured(CLIENT_ID, SECRET)], ClientDocuments(Documents(), time.time), time.time
    ),
    resources=Resources(RESOURCES),
    ledger=LEDGER,
    tokens=GENERATOR,
    clock=time.time,
)


def basic(user: str | bytes, password: str | bytes = b"") -> dict[str, str]:
    user, password = (part.encode() if isinstance(part, str) else part for part in (user, password))
    return {"Authorization": f"Basic {b64encode(user + b':' + password).decode()}"}


AUTHENTICATED = basic(CLIENT_ID, SECRET)
FORM = {"grant_type": "client_credentials", "resource": DOCS}


def asked(form: Mapping[str, str] = FORM, headers: Mapping[str, str] = AUTHENTICATED) -> Reply:
    return SERVER.answer_token(ClientRequest(form, headers))


def claims_of(reply: Reply, audience: str = DOCS) -> dict[str, Any]:
    """Return the claims of the token, read by a library that neither the issuer nor the gate uses."""
    assert reply.status == 200, reply
    (published,) = orjson.loads(KEY.public_set())["keys"]
    claims: dict[str, Any] = jwt.decode(
        str(reply.body["access_token"]),
        jwt.PyJWK(published),
        algorithms=["ES256"],
        audience=audience,
        issuer=ISSUER,
        options={"require": ["aud", "client_id", "exp", "iat", "iss", "jti", "sub"]},
    )
    return claims


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        pytest.param(FORM, AUTHENTICATED, id="client_secret_basic"),
        pytest.param(
            FORM,
            {"Authorization": AUTHENTICATED["Authorization"].replace("Basic", "bAsIc")},
            id="basic in other letters",
        ),
        pytest.param({**FORM, "client_id": CLIENT_ID, "client_secret": SECRET}, {}, id="client_secret_post"),
    ],
)
def test_the_client_gets_a_token_in_either_way_of_authenticating(
    form: Mapping[str, str], headers: Mapping[str, str]
) -> None:
    before = int(time.time())

    reply = asked(form, headers)

    claims = claims_of(reply)
    assert (claims["iss"], claims["aud"]) == (ISSUER, DOCS)
    assert (claims["sub"], claims["client_id"]) == (CLIENT_ID, CLIENT_ID)
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == TOKEN_LIFETIME
    assert dict(reply.body) == {
        "access_token": reply.body["access_token"],
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME,
        "scope": "docs:read docs:full",
    }
    assert reply.headers["Cache-Control"] == "no-store"


def test_the_token_says_what_it_is_and_which_key_signed_it() -> None:
    header = jwt.get_unverified_header(str(asked().body["access_token"]))

    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": KEY.key.kid}


def test_no_two_tokens_have_the_same_name() -> None:
    assert claims_of(asked())["jti"] != claims_of(asked())["jti"]


def verifier(resource: str) -> TokenVerifier:
    trusted = TrustedIssuer(ISSUER, StaticKeys(KEY.public_set()))
    return TokenVerifier(resource=resource, issuers=[trusted], clock=time.time)


@pytest.mark.anyio
async def test_the_token_passes_the_verifier_of_the_gate() -> None:
    token = str(asked({**FORM, "scope": "docs:read"}).body["access_token"])

    principal = await verifier(DOCS).verify(token.encode())

    assert principal == Principal(
        issuer=ISSUER,
        subject=CLIENT_ID,
        client_id=CLIENT_ID,
        scopes=frozenset({"docs:read"}),
        claims=principal.claims,
    )


@pytest.mark.promise("token-for-this-server")
@pytest.mark.anyio
async def test_the_token_for_one_resource_does_not_pass_at_another() -> None:
    token = str(asked().body["access_token"])

    with pytest.raises(Fault, match="aud"):
        await verifier(TICKETS).verify(token.encode())


@pytest.mark.parametrize(
    ("resource", "scope", "granted"),
    [
        pytest.param(DOCS, None, "docs:read docs:full", id="nothing asked for: all of the resource"),
        pytest.param(TICKETS, None, "tickets:read", id="nothing asked for at another resource: all of that"),
        pytest.param(DOCS, "", "docs:read docs:full", id="no value, which is like no parameter"),
        pytest.param(DOCS, "docs:read", "docs:read", id="one of two"),
        pytest.param(DOCS, "docs:full docs:read", "docs:full docs:read", id="both, in another order"),
    ],
)
def test_what_is_granted_is_what_was_asked_for_and_no_more(
    resource: str, scope: str | None, granted: str
) -> None:
    form = {**FORM, "resource": resource} if scope is None else {**FORM, "resource": resource, "scope": scope}

    reply = asked(form)

    assert claims_of(reply, resource)["scope"] == granted
    assert reply.body["scope"] == granted


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        pytest.param(FORM, basic(CLIENT_ID, "wrong"), 401, "invalid_client", id="a wrong secret"),
        pytest.param(FORM, basic(CLIENT_ID, "s3cre"), 401, "invalid_client", id="a part of the secret"),
        pytest.param(FORM, basic(CLIENT_ID, "sécret"), 401, "invalid_client", id="a secret beyond ASCII"),
        pytest.param(FORM, basic(CLIENT_ID), 401, "invalid_client", id="no secret"),
        pytest.param(FORM, basic("eve", SECRET), 401, "invalid_client", id="an unknown client"),
        pytest.param(FORM, {}, 401, "invalid_client", id="no client at all"),
        pytest.param(
            {**FORM, "client_id": CLIENT_ID}, {}, 401, "invalid_client", id="a client by name alone"
        ),
        pytest.param(
            {**FORM, "client_id": CLIENT_ID, "client_secret": "wrong"},
            {},
            401,
            "invalid_client",
            id="a wrong secret in the form",
        ),
        pytest.param(FORM, {"Authorization": "Bearer x"}, 401, "invalid_client", id="another scheme"),
        pytest.param(FORM, {"Authorization": "Basic %%%"}, 401, "invalid_client", id="not Base64"),
        pytest.param(FORM, {"Authorization": "Basic abc"}, 401, "invalid_client", id="Base64 cut short"),
        pytest.param(
            FORM, {"Authorization": "Basic \xe9\xe9"}, 401, "invalid_client", id="Base64 beyond ASCII"
        ),
        pytest.param(
            FORM, {"Authorization": "Basic \xa0"}, 401, "invalid_client", id="white space for Base64"
        ),
        pytest.param(
            FORM, {"Authorization": "Basic "}, 401, "invalid_client", id="a scheme and nothing else"
        ),
        pytest.param(FORM, {"Authorization": "Basic"}, 401, "invalid_client", id="a scheme without a space"),
        pytest.param(FORM, {"Authorization": " "}, 401, "invalid_client", id="nothing but a space"),
        pytest.param(FORM, basic(b"\xff", b"\xff"), 401, "invalid_client", id="octets that are no UTF-8"),
        pytest.param({"resource": DOCS}, AUTHENTICATED, 400, "unsupported_grant_type", id="no grant_type"),
        pytest.param(
            {**FORM, "grant_type": "password"},
            AUTHENTICATED,
            400,
            "unsupported_grant_type",
            id="another grant",
        ),
        pytest.param(
            {"grant_type": "client_credentials"}, AUTHENTICATED, 400, "invalid_target", id="no resource"
        ),
        pytest.param({**FORM, "resource": ""}, AUTHENTICATED, 400, "invalid_target", id="an empty resource"),
        pytest.param(
            {**FORM, "resource": "http://evil.example/mcp"},
            AUTHENTICATED,
            400,
            "invalid_target",
            id="an unknown resource",
        ),
        pytest.param(
            {**FORM, "resource": f"{DOCS}/"}, AUTHENTICATED, 400, "invalid_target", id="nearly ours"
        ),
        pytest.param(
            {**FORM, "scope": "docs:read admin"}, AUTHENTICATED, 400, "invalid_scope", id="more scopes"
        ),
        pytest.param(
            {**FORM, "scope": "tickets:read"},
            AUTHENTICATED,
            400,
            "invalid_scope",
            id="a scope of another resource",
        ),
    ],
)
@pytest.mark.promise("development-only")
def test_whoever_asks_wrongly_gets_the_error_of_the_specification_and_no_token(
    form: Mapping[str, str], headers: Mapping[str, str], status: int, error: str
) -> None:
    reply = asked(form, headers)

    assert (reply.status, reply.body["error"]) == (status, error)
    assert "access_token" not in reply.body
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_client_that_is_refused_is_told_how_to_authenticate() -> None:
    reply = asked(FORM, basic(CLIENT_ID, "wrong"))

    assert reply.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_wrong_secret_and_an_unknown_client_change_nothing_for_the_next_request() -> None:
    asked(FORM, basic("eve", "x"))
    asked({**FORM, "resource": TICKETS})

    assert claims_of(asked())["scope"] == "docs:read docs:full"


def test_no_token_is_made_for_a_client_before_anything_is_authorized() -> None:
    with pytest.raises(RuntimeError, match="before anything was authorized"):
        GENERATOR("client_credentials", Client.configured(CLIENT_ID, SECRET), scope="docs:read")
