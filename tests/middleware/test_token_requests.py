from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.token_endpoint import (
    CLIENT,
    TOKEN_ENDPOINT,
    Asked,
    ScriptedIssuer,
    answered,
    issued,
    refused,
)
from tests.support.tokens import ISSUER
from tunnelgate import (
    ClientSecret,
    CredentialUnavailable,
    Discovery,
    Fetched,
    IssuerUnavailable,
    Reason,
    TokenEndpoint,
)
from tunnelgate.reading.bearer import MAX_TOKEN
from tunnelgate.reading.fault import Fault
from tunnelgate.token_requests import IssuedToken

CALLERS = b"eyJ0eXAiOiJhdCtqd3QifQ.callers-token.c2lnbmF0dXJl"
BASIC = {"authorization": f"Basic {b64encode(b'gate:s3cr3t-of-the-gate').decode()}"}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
EXCHANGED = {
    "grant_type": EXCHANGE,
    "subject_token": CALLERS.decode(),
    "subject_token_type": ACCESS_TOKEN,
    "requested_token_type": ACCESS_TOKEN,
}


def endpoint(*script: Fetched | Exception, **options: Any) -> tuple[TokenEndpoint, ScriptedIssuer]:
    issuer = ScriptedIssuer(*script)
    client = options.pop("client", CLIENT)
    return TokenEndpoint(TOKEN_ENDPOINT, issuer.fetch, client, **options), issuer


async def broken(*script: Fetched | Exception, exchange: bool = False) -> str:
    """Return the sentence of the failure that this answer is."""
    tokens, _ = endpoint(*script)
    with pytest.raises(CredentialUnavailable) as caught:
        await (tokens.exchanged_token(CALLERS) if exchange else tokens.own_token())
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"scopes": ["a b"]}, "is not one scope", id="two scopes in one"),
        pytest.param({"scopes": [""]}, "is not one scope", id="an empty scope"),
        pytest.param({"scopes": ["good", 'a"b']}, "is not one scope", id="a quote in the second scope"),
        pytest.param({"resource": "wiki"}, "is not a URL", id="a resource that is no URL"),
        pytest.param({"resource": ""}, "is not a URL", id="an empty resource"),
        pytest.param({"resource": "https://a.example/#b"}, "has a query, a fragment", id="a fragment"),
        pytest.param({"resource": "https://a.example/?b"}, "has a query, a fragment", id="a query"),
    ],
)
def test_what_no_token_could_name_is_refused_at_construction(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        endpoint(issued(), **options)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param({}, {}, id="nothing in particular"),
        pytest.param({"scopes": ["wiki:read"]}, {"scope": "wiki:read"}, id="a scope"),
        pytest.param(
            {"scopes": iter(["wiki:read", "wiki:write"])}, {"scope": "wiki:read wiki:write"}, id="two scopes"
        ),
        pytest.param(
            {"resource": "https://wiki.example.com/mcp"},
            {"resource": "https://wiki.example.com/mcp"},
            id="a resource",
        ),
        pytest.param({"audience": "wiki & more"}, {"audience": "wiki & more"}, id="an audience"),
        pytest.param({"audience": "", "scopes": []}, {}, id="nothing, written out"),
        pytest.param(
            {"scopes": ["a"], "resource": "https://b.example/", "audience": "c"},
            {"scope": "a", "resource": "https://b.example/", "audience": "c"},
            id="all three",
        ),
    ],
)
@pytest.mark.promise("own-credentials")
@pytest.mark.anyio
async def test_a_token_is_asked_for_with_what_it_is_for(
    options: dict[str, Any], wanted: dict[str, str]
) -> None:
    tokens, issuer = endpoint(issued(), **options)

    own = await tokens.own_token()
    exchanged = await tokens.exchanged_token(CALLERS)

    assert own == exchanged == IssuedToken("upstream-token", 600)
    assert issuer.asked == [
        Asked(TOKEN_ENDPOINT, {"grant_type": "client_credentials", **wanted}, BASIC),
        Asked(TOKEN_ENDPOINT, {**EXCHANGED, **wanted}, BASIC),
    ]


@pytest.mark.parametrize(
    ("client", "form", "credentials"),
    [
        pytest.param(ClientSecret("gate", "secret"), {}, "gate:secret", id="in the header"),
        pytest.param(ClientSecret("ga:te", "a:b"), {}, "ga%3Ate:a%3Ab", id="with colons"),
        pytest.param(ClientSecret("g t", "ä+&%"), {}, "g+t:%C3%A4%2B%26%25", id="with what forms encode"),
        pytest.param(
            ClientSecret("gate", "a:b &ä", "client_secret_post"),
            {"client_id": "gate", "client_secret": "a:b &ä"},
            None,
            id="in the form",
        ),
    ],
)
@pytest.mark.anyio
async def test_the_gate_authenticates_as_the_issuer_takes_it(
    client: ClientSecret, form: dict[str, str], credentials: str | None
) -> None:
    tokens, issuer = endpoint(issued(), client=client)

    await tokens.own_token()

    (asked,) = issuer.asked
    assert asked.form == {"grant_type": "client_credentials", **form}
    assert asked.headers == (
        {}
        if credentials is None
        else {"authorization": f"Basic {b64encode(credentials.encode()).decode('ascii')}"}
    )


@pytest.mark.anyio
async def test_the_endpoint_is_the_one_that_the_issuers_metadata_names() -> None:
    issuer = ScriptedIssuer(answered({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/oauth/token"}), issued())
    tokens = TokenEndpoint(Discovery(ISSUER, issuer.fetch), issuer.fetch, CLIENT)

    assert (await tokens.own_token()).token == "upstream-token"
    assert (await tokens.own_token()).token == "upstream-token"
    assert [(asked.url, asked.form is None) for asked in issuer.asked] == [
        (f"{ISSUER}/.well-known/oauth-authorization-server", True),
        (f"{ISSUER}/oauth/token", False),
        (f"{ISSUER}/oauth/token", False),
    ]
    assert issuer.asked[0].headers == {}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param(answered({"issuer": ISSUER}), id="that names none"),
        pytest.param(
            answered({"issuer": ISSUER, "token_endpoint": "http://login.example.com/token"}),
            id="that names one in the clear",
        ),
        pytest.param(
            answered({"issuer": "https://evil.example", "token_endpoint": f"{ISSUER}/t"}), id="of another"
        ),
        pytest.param(OSError("connection refused"), id="that cannot be had"),
    ],
)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_metadata_without_an_endpoint_gets_no_secret(metadata: Fetched | Exception) -> None:
    issuer = ScriptedIssuer(metadata)
    tokens = TokenEndpoint(Discovery(ISSUER, issuer.fetch), issuer.fetch, CLIENT)

    for asking in (tokens.own_token(), tokens.exchanged_token(CALLERS)):
        with pytest.raises(IssuerUnavailable):
            await asking

    assert {(asked.form is None, len(asked.headers)) for asked in issuer.asked} == {(True, 0)}


@pytest.mark.parametrize(
    ("members", "made"),
    [
        pytest.param({}, IssuedToken("upstream-token", 600), id="as usual"),
        pytest.param({"token_type": "bearer"}, IssuedToken("upstream-token", 600), id="in small letters"),
        pytest.param({"token_type": "BEARER"}, IssuedToken("upstream-token", 600), id="in capitals"),
        pytest.param({"expires_in": None}, IssuedToken("upstream-token", None), id="without a lifetime"),
        pytest.param({"expires_in": 0}, IssuedToken("upstream-token", 0), id="that is over at once"),
        pytest.param({"expires_in": 0.5}, IssuedToken("upstream-token", 0.5), id="for half a second"),
        pytest.param({"expires_in": 10**15}, IssuedToken("upstream-token", 10**15), id="for ever"),
        pytest.param(
            {"issued_token_type": ACCESS_TOKEN}, IssuedToken("upstream-token", 600), id="for access"
        ),
        pytest.param({"issued_token_type": JWT}, IssuedToken("upstream-token", 600), id="a JWT"),
        pytest.param(
            {"scope": "a", "refresh_token": "b", "x": [1]},
            IssuedToken("upstream-token", 600),
            id="with more",
        ),
        pytest.param(
            {"access_token": "a" * MAX_TOKEN}, IssuedToken("a" * MAX_TOKEN, 600), id="as long as may be"
        ),
        pytest.param(
            {"access_token": "-._~+/Az09=="}, IssuedToken("-._~+/Az09==", 600), id="of all that one has"
        ),
    ],
)
@pytest.mark.anyio
async def test_a_good_answer_is_a_token_and_its_lifetime(members: dict[str, Any], made: IssuedToken) -> None:
    tokens, _ = endpoint(issued(**members))

    assert await tokens.own_token() == made


NO_TOKEN = "token endpoint: an answer without a token"
NO_BEARER = "token endpoint: a token that is not a bearer token"
NO_ACCESS = "token endpoint: a token that is not an access token"
NO_LIFETIME = "token endpoint: a token with a lifetime that is no number of seconds"
NO_OBJECT = "token endpoint: an answer that is no object"
NOT_READ = "token endpoint: an answer that cannot be read: "


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(issued(access_token=None), NO_TOKEN, id="no token"),
        pytest.param(issued(access_token=7), NO_TOKEN, id="a number"),
        pytest.param(issued(access_token=["a"]), NO_TOKEN, id="a list"),
        pytest.param(issued(""), NO_TOKEN, id="an empty token"),
        pytest.param(issued("a" * (MAX_TOKEN + 1)), NO_TOKEN, id="a token too long"),
        pytest.param(issued("canary canary"), NO_TOKEN, id="two tokens"),
        pytest.param(issued("canary\r\nx-admin: true"), NO_TOKEN, id="a token and a header"),
        pytest.param(issued("canary\n"), NO_TOKEN, id="a token and a line end"),
        pytest.param(issued("canärÿ"), NO_TOKEN, id="a token in Unicode"),
        pytest.param(issued("=canary"), NO_TOKEN, id="padding before"),
        pytest.param(issued("canary", token_type=None), NO_BEARER, id="no type"),
        pytest.param(issued("canary", token_type="DPoP"), NO_BEARER, id="a bound token"),
        pytest.param(issued("canary", token_type="N_A"), NO_BEARER, id="a token not for access"),
        pytest.param(issued("canary", token_type="mac"), NO_BEARER, id="another type"),
        pytest.param(issued("canary", token_type=["bearer"]), NO_BEARER, id="types in a list"),
        pytest.param(
            issued("canary", issued_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
            NO_ACCESS,
            id="a token to refresh with",
        ),
        pytest.param(
            issued("canary", issued_token_type="urn:ietf:params:oauth:token-type:id_token"),
            NO_ACCESS,
            id="a token about a login",
        ),
        pytest.param(issued("canary", issued_token_type=[ACCESS_TOKEN]), NO_ACCESS, id="a list of types"),
        pytest.param(issued("canary", issued_token_type={}), NO_ACCESS, id="a mapping for a type"),
        pytest.param(issued("canary", expires_in=-1), NO_LIFETIME, id="a lifetime before now"),
        pytest.param(issued("canary", expires_in=-0.5), NO_LIFETIME, id="half a second before now"),
        pytest.param(issued("canary", expires_in="600"), NO_LIFETIME, id="a lifetime in words"),
        pytest.param(issued("canary", expires_in=True), NO_LIFETIME, id="a lifetime that is true"),
        pytest.param(issued("canary", expires_in=[600]), NO_LIFETIME, id="lifetimes"),
        pytest.param(answered([{"access_token": "canary"}]), NO_OBJECT, id="a list of answers"),
        pytest.param(answered("canary"), NO_OBJECT, id="a text"),
        pytest.param(answered(None), NO_OBJECT, id="null"),
        pytest.param(answered(b""), NOT_READ, id="nothing"),
        pytest.param(answered(b"<html>canary</html>", media_type="text/html"), NOT_READ, id="a page"),
        pytest.param(answered(b"access_token=canary&token_type=bearer"), NOT_READ, id="a form"),
        pytest.param(
            answered(b'{"access_token":"canary","access_token":"canary","token_type":"bearer"}'),
            NOT_READ,
            id="a token twice",
        ),
        pytest.param(answered(b'{"access_token":"canary","token_type":"bearer"'), NOT_READ, id="half of it"),
        pytest.param(
            answered(b'{"access_token":"canary\xff","token_type":"bearer"}'), NOT_READ, id="no UTF-8"
        ),
        pytest.param(
            answered(b'{"access_token":"canary","token_type":"bearer","expires_in":NaN}'),
            NOT_READ,
            id="a lifetime that is not a number",
        ),
        pytest.param(
            answered(b'{"access_token":"canary","token_type":"bearer","expires_in":1e999}'),
            NOT_READ,
            id="a lifetime without end",
        ),
        pytest.param(answered(b"[" * 100_000), NOT_READ, id="lists without end"),
        pytest.param(
            OSError("no whole answer within 5 seconds"), "token endpoint: no whole answer", id="slow"
        ),
        pytest.param(ConnectionRefusedError(111, "Connection refused"), "token endpoint: ", id="down"),
    ],
)
@pytest.mark.parametrize("exchange", [pytest.param(False, id="its own"), pytest.param(True, id="exchanged")])
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_an_answer_that_cannot_be_believed_is_no_token_and_is_not_repeated(
    answer: Fetched | Exception,
    told: str,
    exchange: bool,  # noqa: FBT001
) -> None:
    said = await broken(answer, exchange=exchange)

    assert said.startswith(told)
    assert "canary" not in said
    assert CALLERS.decode() not in said


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("error", ["access_denied", "invalid_grant", "invalid_request", "invalid_token"])
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_an_exchange_that_is_refused_for_this_caller_is_a_refusal(error: str, status: int) -> None:
    tokens, _ = endpoint(refused(error, status))

    with pytest.raises(Fault) as caught:
        await tokens.exchanged_token(CALLERS)

    assert (caught.value.reason, caught.value.detail) == (Reason.CREDENTIAL_REFUSED, error)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(refused("invalid_client"), "status 400, invalid_client", id="the gate is not known"),
        pytest.param(refused("invalid_client", 401), "status 401, invalid_client", id="likewise, with 401"),
        pytest.param(
            refused("unauthorized_client"), "status 400, unauthorized_client", id="the gate may not"
        ),
        pytest.param(refused("unsupported_grant_type"), "unsupported_grant_type", id="nobody exchanges"),
        pytest.param(refused("invalid_scope"), "status 400, invalid_scope", id="a scope that there is not"),
        pytest.param(refused("invalid_target"), "status 400, invalid_target", id="a resource there is not"),
        pytest.param(refused("invalid_grant", 401), "status 401, invalid_grant", id="under another status"),
        pytest.param(
            refused("invalid_client", 403), "status 403, invalid_client", id="the gate is forbidden"
        ),
        pytest.param(answered(b"<html>", 403, "text/html"), "status 403", id="a page that forbids"),
        pytest.param(refused("access_denied", 500), "status 500, access_denied", id="a refusal that broke"),
        pytest.param(refused("invalid_grant", 302), "status 302, invalid_grant", id="a redirect"),
        pytest.param(refused(None), "status 400, no known error", id="null"),
        pytest.param(refused(["invalid_grant"]), "status 400, no known error", id="errors in a list"),
        pytest.param(refused(""), "status 400, no known error", id="an empty word"),
        pytest.param(refused("invalid_grant\n"), "status 400, no known error", id="a line end"),
        pytest.param(refused('a"b'), "status 400, no known error", id="a quote"),
        pytest.param(refused("a\\b"), "status 400, no known error", id="a backslash"),
        pytest.param(refused("\x1b[31m"), "status 400, no known error", id="a colour"),
        pytest.param(refused("a" * 81), "status 400, no known error", id="a long word"),
        pytest.param(answered({}, 400), "status 400, no known error", id="nothing said"),
        pytest.param(answered({}, 503), "status 503, no known error", id="a server that is down"),
        pytest.param(
            answered({"access_token": "canary", "token_type": "Bearer"}, 201),
            "status 201, no known error",
            id="a token under another status",
        ),
    ],
)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_an_exchange_that_is_refused_for_everybody_is_broken(answer: Fetched, told: str) -> None:
    assert told in await broken(answer, exchange=True)


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("error", ["access_denied", "invalid_grant", "invalid_request", "invalid_token"])
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_a_token_of_its_own_that_the_gate_does_not_get_is_no_fault_of_the_caller(
    error: str, status: int
) -> None:
    assert error in await broken(refused(error, status))


@pytest.mark.anyio
async def test_of_an_answer_that_cannot_be_read_the_status_is_told() -> None:
    assert "502" in await broken(answered(b"<html>bad gateway</html>", 502, "text/html"))


@pytest.mark.parametrize(
    "echoed",
    [
        pytest.param("sl.opaque-token.of-the-caller", id="the caller's token"),
        pytest.param("s3cr3t-of-the-gate", id="the gate's own secret"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 500])
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_an_error_that_is_no_word_of_the_specification_is_not_repeated(
    echoed: str, status: int
) -> None:
    tokens, _ = endpoint(refused(echoed, status))

    with pytest.raises((CredentialUnavailable, Fault)) as caught:
        await tokens.exchanged_token(b"sl.opaque-token.of-the-caller")

    assert echoed not in f"{caught.value!r} {caught.value} {getattr(caught.value, 'detail', '')}"


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_a_caller_that_gets_its_own_token_back_gets_none() -> None:
    assert "caller" in await broken(issued(CALLERS.decode()), exchange=True)


def test_neither_a_secret_nor_a_token_shows() -> None:
    tokens, _ = endpoint(issued())

    shown = f"{IssuedToken('canary', 60)} {CLIENT} {tokens!r} {vars(tokens)}"

    assert "IssuedToken(expires_in=60)" in shown
    assert "canary" not in shown
    assert CLIENT.client_secret not in shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "access_token": JSON | st.just("good"),
        "token_type": JSON | st.just("Bearer"),
        "issued_token_type": JSON | st.just(JWT),
        "expires_in": JSON,
        "error": JSON | st.just("invalid_grant"),
    },
)


@given(
    status=st.sampled_from([200, 201, 301, 400, 401, 403, 429, 500]),
    document=st.binary(max_size=40) | MEMBERS | JSON,
)
@pytest.mark.anyio
async def test_whatever_is_answered_is_a_token_a_refusal_or_broken(status: int, document: Any) -> None:
    try:
        answer = answered(document, status)
    except TypeError:  # an integer that this JSON writer does not have
        return
    tokens, _ = endpoint(answer)

    try:
        made = await tokens.exchanged_token(CALLERS)
    except CredentialUnavailable as error:
        assert str(error).startswith("token endpoint: ")  # noqa: PT017 - most answers are no tokens
    except Fault as fault:
        assert fault.reason is Reason.CREDENTIAL_REFUSED  # noqa: PT017 - and a few are refusals
        assert status in (400, 403)
    else:
        assert status == 200
        assert made.token.isascii()
