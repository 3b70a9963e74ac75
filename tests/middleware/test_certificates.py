import ssl
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import Records
from tests.support.certificates import Authority, Credential
from tests.support.mcp import legacy, modern
from tests.support.proofs import client_key, thumbprint
from tests.support.tokens import ISSUER, RESOURCE, Token, jwks, trusted_issuer
from tunnelgate import (
    AuditLog,
    BearerAuthentication,
    CertificateBinding,
    Clients,
    Issuer,
    OAuth,
    Policy,
    Principal,
    Reason,
    Route,
    StaticKeys,
    Tls,
    protect,
)
from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.certificates import client_certificate, thumbprint_of
from tunnelgate.exchange import exchange_of
from tunnelgate.reading.fault import Fault

NOW = 1_800_000_000
AUTHORITY = Authority("Agents")
AGENT = AUTHORITY.issue("agent")
METADATA = 'resource_metadata="https://docs.example.com/.well-known/oauth-protected-resource/mcp"'
CHALLENGE = f'Bearer error="invalid_token", {METADATA}'

# RFC 8705 appendix A
OF_THE_RFC = """-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
"""


def extension(*chain: str, error: str | None = None) -> Mapping[str, Any]:
    """Return the TLS extension of ASGI, as a server fills it in."""
    return {
        "tls": {
            "server_cert": None,
            "client_cert_chain": chain,
            "client_cert_name": "CN=agent" if chain else None,
            "client_cert_error": error,
            "tls_version": 0x0304,
            "cipher_suite": 0x1302,
        }
    }


def scope_with(extensions: Any) -> Scope:
    return {**http_scope(), "extensions": extensions}


def test_the_thumbprint_of_the_specifications_certificate_is_the_one_it_names() -> None:
    assert thumbprint_of(OF_THE_RFC) == "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


def test_another_library_finds_the_same_thumbprint() -> None:
    digest = AGENT.certificate.fingerprint(SHA256())

    assert thumbprint_of(AGENT.pem) == urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(AGENT.pem.strip(), id="no line end"),
        pytest.param(AGENT.pem + "\n\n", id="more line ends"),
        pytest.param(AGENT.pem.replace("\n", "\r\n"), id="the line ends of Windows"),
        pytest.param(
            f"-----BEGIN CERTIFICATE-----\n{b64encode(AGENT.der).decode()}\n-----END CERTIFICATE-----",
            id="one long line",
        ),
    ],
)
def test_a_certificate_is_the_same_however_its_lines_are_broken(spelled: str) -> None:
    assert thumbprint_of(spelled) == AGENT.thumbprint


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("-----BEGIN CERTIFICATE-----", id="a beginning alone"),
        pytest.param(AGENT.pem[:-20], id="one that is cut off"),
        pytest.param(" " + AGENT.pem, id="something before"),
        pytest.param(AGENT.pem + "x", id="something behind"),
        pytest.param(AGENT.pem.replace("CERTIFICATE", "PUBLIC KEY"), id="a key"),
        pytest.param("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----", id="no base64"),
        pytest.param("-----BEGIN CERTIFICATE-----\né\n-----END CERTIFICATE-----", id="beyond ASCII"),
        pytest.param(b64encode(AGENT.der).decode(), id="base64 alone"),
        pytest.param(AGENT.thumbprint, id="the thumbprint itself"),
    ],
)
def test_what_is_no_certificate_in_pem_has_no_thumbprint(text: str) -> None:
    with pytest.raises(Fault) as caught:
        thumbprint_of(text)

    assert (caught.value.reason, caught.value.detail) == (
        Reason.PROOF_MALFORMED,
        "the certificate is not PEM",
    )


@given(st.text() | st.text("-BEGINCRTFA \n=+/", max_size=80).map(lambda text: f"{AGENT.pem[:28]}{text}"))
def test_whatever_stands_for_a_certificate_nothing_but_a_fault_comes_out(text: str) -> None:
    try:
        shown = thumbprint_of(text)
    except Fault as fault:
        assert fault.reason is Reason.PROOF_MALFORMED  # noqa: PT017 - either may come out
    else:
        assert shown != AGENT.thumbprint


def test_the_certificate_of_the_client_is_the_first_of_its_chain() -> None:
    scope = scope_with(extension(AGENT.pem, AUTHORITY.pem))

    assert client_certificate(scope) == AGENT.pem


NO_TLS = "the connection is not one of TLS"
NO_CERTIFICATE = "the client has shown no certificate"


@pytest.mark.parametrize(
    ("extensions", "detail"),
    [
        pytest.param(None, NO_TLS, id="null for the extensions"),
        pytest.param({}, NO_TLS, id="no extension"),
        pytest.param({"http.response.push": {}}, NO_TLS, id="another extension"),
        pytest.param({"TLS": extension(AGENT.pem)["tls"]}, NO_TLS, id="the name in capitals"),
        pytest.param({"tls": None}, NO_TLS, id="null for the extension"),
        pytest.param({"tls": {}}, NO_CERTIFICATE, id="an empty extension"),
        pytest.param(extension(), NO_CERTIFICATE, id="no certificate"),
        pytest.param({"tls": {"client_cert_chain": None}}, NO_CERTIFICATE, id="null for the chain"),
        pytest.param({"tls": {"client_cert_chain": []}}, NO_CERTIFICATE, id="an empty list"),
        pytest.param({"tls": {"client_cert_name": "CN=agent"}}, NO_CERTIFICATE, id="a name alone"),
        pytest.param({"tls": {"server_cert": AGENT.pem}}, NO_CERTIFICATE, id="the server's own"),
        pytest.param(
            extension(AGENT.pem, error="certificate has expired"), NO_CERTIFICATE, id="one that has an error"
        ),
        pytest.param(extension(error="cannot be read"), NO_CERTIFICATE, id="an error alone"),
    ],
)
def test_without_a_good_certificate_there_is_none(extensions: Any, detail: str) -> None:
    with pytest.raises(Fault) as caught:
        client_certificate(scope_with(extensions))

    assert (caught.value.reason, caught.value.detail) == (Reason.PROOF_MISSING, detail)


def test_a_server_that_says_nothing_of_extensions_has_shown_no_certificate() -> None:
    with pytest.raises(Fault, match=NO_TLS):
        client_certificate(http_scope())


# The check


def bound_to(credential: Credential, **cnf: Any) -> Mapping[str, Any]:
    return {"cnf": {"x5t#S256": credential.thumbprint, **cnf}}


def check(claims: Mapping[str, Any], extensions: Any) -> None:
    scope = scope_with(extensions)
    whose = Principal(ISSUER, "alice", "agent", frozenset(), claims)
    CertificateBinding().check(scope, exchange_of(scope), b"token", whose)


def test_a_token_passes_on_a_connection_of_the_client_it_was_made_for() -> None:
    check(bound_to(AGENT), extension(AGENT.pem, AUTHORITY.pem))


RENEWED = AUTHORITY.issue("agent", key=AGENT.key)
OTHER = AUTHORITY.issue("other")
WRONG = (Reason.PROOF_WRONG, "the token is bound to another certificate")
NOT_BOUND = (Reason.TOKEN_BINDING_WRONG, "the token is not bound by x5t#S256")


@pytest.mark.parametrize(
    ("claims", "extensions", "why"),
    [
        pytest.param(bound_to(AGENT), extension(OTHER.pem), WRONG, id="another client of the same authority"),
        pytest.param(bound_to(AGENT), extension(RENEWED.pem), WRONG, id="a renewed certificate"),
        pytest.param(bound_to(RENEWED), extension(AGENT.pem), WRONG, id="the certificate before"),
        pytest.param(
            bound_to(AGENT), extension(OTHER.pem, AGENT.pem), WRONG, id="the certificate further up the chain"
        ),
        pytest.param(
            bound_to(AUTHORITY.credential), extension(AGENT.pem, AUTHORITY.pem), WRONG, id="the authority's"
        ),
        pytest.param(
            {"cnf": {"x5t#S256": AGENT.thumbprint + "="}}, extension(AGENT.pem), WRONG, id="padding"
        ),
        pytest.param(
            {"cnf": {"x5t#S256": AGENT.thumbprint[:-1]}},
            extension(AGENT.pem),
            WRONG,
            id="one that is cut off",
        ),
        pytest.param(
            {"cnf": {"x5t#S256": AGENT.thumbprint.swapcase()}}, extension(AGENT.pem), WRONG, id="other cases"
        ),
        pytest.param({"cnf": {"x5t#S256": "é"}}, extension(AGENT.pem), WRONG, id="beyond ASCII"),
        pytest.param(
            {"cnf": {"x5t#S256": AGENT.certificate.fingerprint(SHA256()).hex()}},
            extension(AGENT.pem),
            WRONG,
            id="hexadecimal digits",
        ),
        pytest.param({}, extension(AGENT.pem), NOT_BOUND, id="a token bound to nothing"),
        pytest.param(
            {"cnf": {"x5t": AGENT.thumbprint}}, extension(AGENT.pem), NOT_BOUND, id="the method with SHA-1"
        ),
        pytest.param({"cnf": {"jkt": thumbprint(client_key())}}, extension(AGENT.pem), NOT_BOUND, id="a key"),
        pytest.param(
            bound_to(AGENT, jkt="A" * 43),
            extension(AGENT.pem),
            (Reason.TOKEN_BINDING_WRONG, "the token is bound by more than x5t#S256"),
            id="a key as well",
        ),
        pytest.param(
            bound_to(AGENT),
            extension("no PEM"),
            (Reason.PROOF_MALFORMED, "the certificate is not PEM"),
            id="odd",
        ),
        pytest.param(
            bound_to(AGENT), extension(), (Reason.PROOF_MISSING, NO_CERTIFICATE), id="no certificate"
        ),
        pytest.param(bound_to(AGENT), None, (Reason.PROOF_MISSING, NO_TLS), id="no TLS"),
        pytest.param(
            bound_to(AGENT),
            extension(AGENT.pem, error="is not valid after 2026"),
            (Reason.PROOF_MISSING, NO_CERTIFICATE),
            id="the certificate with an error",
        ),
    ],
)
def test_on_any_other_connection_and_with_any_other_token_nothing_passes(
    claims: Mapping[str, Any], extensions: Any, why: tuple[Reason, str]
) -> None:
    with pytest.raises(Fault) as caught:
        check(claims, extensions)

    assert (caught.value.reason, caught.value.detail) == why


def test_who_comes_over_tls_is_told_of_no_algorithms() -> None:
    exchange = exchange_of(http_scope())

    CertificateBinding().prepare(exchange)

    assert (exchange.proof_algorithms, CertificateBinding().scheme) == ((), "bearer")


# As part of the layer, and of the whole gate

TOKEN = Token(claims=bound_to(AGENT)).mint(NOW)


def layer(spy: Spy) -> ASGIApp:
    return BearerAuthentication(
        spy,
        resource=RESOURCE,
        issuers=[trusted_issuer()],
        proof=CertificateBinding(),
        clock=lambda: float(NOW),
    )


def gate(spy: Spy, records: Records) -> ASGIApp:
    policy = Policy(
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        tls=Tls(cert_file="server.pem", key_file="server.key", client_ca_file="clients.pem"),
        oauth=OAuth(issuers=[Issuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/keys")]),
        routes={"docs.example.com": Route(tools=["search_docs"], proof="mtls")},
    )
    return protect(
        spy,
        policy,
        audit=records,
        keys_of=lambda issuer: StaticKeys(jwks("ES256")),
        clock=lambda: float(NOW),
    )


async def ask(
    app: ASGIApp,
    extensions: Any,
    token: str = TOKEN,
    scheme: str = "Bearer",
    more: Headers = (),
    era: Any = legacy,
) -> Reply:
    headers, body = era("tools/call", {"name": "search_docs"})
    scope = http_scope(headers=[*headers, *more, ("authorization", f"{scheme} {token}")])
    return await call(app, {**scope, "extensions": extensions}, body)


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_a_route_with_mtls_takes_a_token_on_the_connection_of_its_client(era: Any) -> None:
    spy, records = Spy(), Records()

    reply = await ask(gate(spy, records), extension(AGENT.pem), era=era)

    assert (reply.status, records.verdicts) == (200, [("allow", None)])
    assert "authorization" not in spy.seen_headers
    assert TOKEN.split(".")[2] not in f"{spy.scopes!r} {records.all!r}"


FORGED = ssl.DER_cert_to_PEM_cert(AGENT.der).replace("\n", " ")


@pytest.mark.parametrize(
    ("extensions", "scheme", "token", "more", "reason"),
    [
        pytest.param(None, "Bearer", TOKEN, [], Reason.PROOF_MISSING, id="stolen"),
        pytest.param(extension(), "Bearer", TOKEN, [], Reason.PROOF_MISSING, id="no certificate"),
        pytest.param(extension(OTHER.pem), "Bearer", TOKEN, [], Reason.PROOF_WRONG, id="another client"),
        pytest.param(extension(RENEWED.pem), "Bearer", TOKEN, [], Reason.PROOF_WRONG, id="a renewed one"),
        pytest.param(extension("odd"), "Bearer", TOKEN, [], Reason.PROOF_MALFORMED, id="an odd one"),
        pytest.param(
            extension(AGENT.pem, error="expired"), "Bearer", TOKEN, [], Reason.PROOF_MISSING, id="an error"
        ),
        pytest.param(
            extension(AGENT.pem), "DPoP", TOKEN, [], Reason.TOKEN_MALFORMED, id="the scheme of another proof"
        ),
        pytest.param(
            extension(AGENT.pem),
            "Bearer",
            Token().mint(NOW),
            [],
            Reason.TOKEN_BINDING_WRONG,
            id="a token bound to nothing",
        ),
        *(
            pytest.param(extension(), "Bearer", TOKEN, [(name, value)], Reason.PROOF_MISSING, id=name)
            for name, value in (
                ("client-cert", f":{b64encode(AGENT.der).decode()}:"),
                ("x-forwarded-client-cert", f"Hash={AGENT.thumbprint};Cert={FORGED}"),
                ("x-client-cert", FORGED),
                ("x-ssl-client-cert", FORGED),
                ("ssl-client-verify", "SUCCESS"),
                ("cf-client-cert-der-base64", b64encode(AGENT.der).decode()),
                ("x-tls-client-cert-thumbprint", AGENT.thumbprint),
            )
        ),
    ],
)
@pytest.mark.parametrize("is_whole", [pytest.param(False, id="the layer"), pytest.param(True, id="the gate")])
@pytest.mark.anyio
async def test_anybody_else_is_refused_whatever_a_header_says_about_the_connection(
    extensions: Any,
    scheme: str,
    token: str,
    more: Headers,
    reason: Reason,
    is_whole: bool,  # noqa: FBT001
) -> None:
    spy, records = Spy(), Records()
    app = gate(spy, records) if is_whole else AuditLog(layer(spy), sink=records)

    reply = await ask(app, extensions, token, scheme, more)

    assert (reply.status, reply.json()) == (401, {"error": "invalid_token"})
    assert reply.header("www-authenticate") == CHALLENGE
    assert records.verdicts == [("deny", reason)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_token_that_was_found_genuine_needs_its_connection_each_time() -> None:
    spy, records = Spy(), Records()
    app = gate(spy, records)

    statuses = [
        (await ask(app, extensions)).status
        for extensions in (extension(AGENT.pem), extension(OTHER.pem), None, extension(AGENT.pem))
    ]

    assert statuses == [200, 401, 401, 200]
