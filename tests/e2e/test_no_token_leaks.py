"""Canaries in tokens, proofs and secrets, searched for in all that a gateway writes, logs and answers."""

import hashlib
import itertools
import logging
import re
import socket
import time
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import orjson
import pytest

from tests.e2e.token_attacks.behind import BREAKS, BREAKS_LATE, SAFE, create_app
from tests.e2e.token_attacks.gates import Publisher
from tests.e2e.token_attacks.minting import base64url, content_of, joined, jwk, private_key, signature
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.raw import LEGACY_HEADERS, LIMIT, Canned, as_json, call_of, request_of
from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate_app.gateway import create_gateway

ROOT = Path(__file__).parents[2]
LOGGERS = (
    "",
    "uvicorn",
    "uvicorn.error",
    "asyncio",
    "httpx2",
    "httpcore2",
    "authlib",
    "joserfc",
    "tunnelgate",
)
DOMAIN = "canary.example.com"
PLAIN, OPAQUE, EXCHANGE, DPOP = "plain", "opaque", "exchange", "dpop"  # the routes
SCOPE = "mcp:call"
PUBLIC_CALLS = 2
DENIED = "tool_that_nobody_listed"
Phase = Literal["up", "down", "lying", "lying about its keys"]
PHASES: Sequence[Phase] = ("up", "down", "lying", "lying about its keys")

STEM = "Canary5b1f0c9e7d"  # in Base64 it is made of letters and digits alone

_serial = itertools.count()


class Secrets:
    """Makes canaries, and finds them and what else is hidden, in whatever form."""

    def __init__(self) -> None:
        self._hidden: set[bytes] = set()
        self._stems = [form.lower() for form in _forms(STEM.encode())]

    def new(self, what: str) -> str:
        """Return a text that stands nowhere else, and in which no octet has another form in a URL."""
        return f"{STEM}{what}{next(_serial)}"

    def hide(self, text: str) -> None:
        """Let ``text`` be something that must not be found either."""
        self._hidden.add(text.encode().lower())

    def found_in(self, octets: bytes) -> list[bytes]:
        """Return what is in ``octets`` and should not be."""
        lowered = octets.lower()
        return [needle for needle in (*self._stems, *self._hidden) if needle in lowered]


def _forms(octets: bytes) -> Iterable[bytes]:
    yield octets
    yield octets.hex().encode()
    # In Base64 a text looks different at each of three places; its ends depend on what is around it.
    for shift in range(3):
        yield b64encode(b"\0" * shift + octets).rstrip(b"=")[4:-2]


def test_what_is_searched_for_is_found_in_every_form() -> None:
    secrets = Secrets()
    text = secrets.new("Control")
    secrets.hide("signature-1")
    around = f'{{"a": "{text}", "b": 1}}'

    assert secrets.found_in(f"x {text} x".encode())
    assert secrets.found_in(text.upper().encode())
    assert secrets.found_in(quote(around).encode())
    assert secrets.found_in(around.encode().hex().encode())
    for start in range(3):
        assert secrets.found_in(b64encode((" " * start + around).encode()))
        assert secrets.found_in(urlsafe_b64encode((" " * start + around).encode()))
    assert secrets.found_in(b"x.SIGNATURE-1.x")
    assert secrets.found_in(b"x" + text[2:].encode()) == []


# ------------------------------------------------------------------------------------- the issuer


class Issuer:
    """An issuer's server, which is up, down, or lies and says again whatever it was told."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets
        self.upstream_token = secrets.new("IssuedUpstreamToken")
        self.publisher = Publisher({})
        self.site = ""
        self._phase: Phase = "up"
        self._lie = itertools.count()

    def become(self, phase: Phase) -> None:
        """Publish what belongs to a phase, whatever is asked about."""
        self._phase = phase
        up = self._answers()
        if phase == "down":
            up.update(dict.fromkeys(up, Canned([], [b"broken"], status=500)))
        self.publisher.documents = up
        if phase == "lying about its keys":
            secret = self.secrets.new("PublishedPrivateKey")
            keys = [{**jwk("e1"), "d": secret, "x": secret}, {"kty": "oct", "kid": "e1", "k": secret}]
            self.publisher.documents["/jwks"] = as_json(orjson.dumps({"keys": keys, "error": secret}))

    def expect(self, token: str, claims: Mapping[str, Any], *, is_exchanged: bool = False) -> None:
        """Prepare for being asked about a token, whichever way."""
        if self._phase in ("up", "lying about its keys"):
            self.publisher.documents["/introspect"] = as_json(orjson.dumps(claims))
        if self._phase == "lying":
            lie = self._lie_about(token)
            # Where nothing of an answer is true, nobody comes as far as the token endpoint.
            about = as_json(orjson.dumps(claims)) if is_exchanged else lie
            self.publisher.documents.update({"/introspect": about, "/token": lie})

    def _answers(self) -> dict[str, Canned | None]:
        issued = {"access_token": self.upstream_token, "token_type": "Bearer", "expires_in": 300}
        return {
            "/jwks": as_json(orjson.dumps({"keys": [jwk("e1")]})),
            "/introspect": as_json(b'{"active":false}'),
            "/token": as_json(orjson.dumps(issued)),
        }

    def _lie_about(self, token: str) -> Canned:
        secret = self.secrets.new("LyingIssuer")
        html = [(b"content-type", b"text/html")]
        forms: Sequence[Canned] = (
            as_json(orjson.dumps({"active": token, "error": token})),
            as_json(orjson.dumps({"error": token, "error_description": secret})),
            Canned([(b"content-type", b"application/json")], [orjson.dumps({"error": token})], status=400),
            Canned([(b"content-type", b"application/json")], [orjson.dumps({"error": token})], status=401),
            Canned(html, [f"<html>{token} {secret}</html>".encode()]),
            Canned([(b"content-type", f"text/{token}".encode())], [b"x"]),
            Canned([(b"location", f"/{token}?{secret}".encode())], [], status=302),
            as_json(f'{{"active":true,"{token}":NaN}}'.encode()),
            as_json(f'{{"active":true,"x":"{token}","x":"{secret}"}}'.encode()),
            as_json(orjson.dumps({"active": True, "iss": token, "aud": secret, "exp": secret})),
            as_json(orjson.dumps({"active": True, "client_id": secret, "aud": token, "token_type": token})),
            as_json(
                orjson.dumps({"active": True, "client_id": "x", "aud": [token], "exp": time.time() + 60})
            ),
            as_json(orjson.dumps({"access_token": f"{secret}\n", "token_type": token})),
            as_json(orjson.dumps({"access_token": secret, "token_type": token})),
            as_json(orjson.dumps({"access_token": secret, "token_type": "Bearer", "expires_in": token})),
        )
        return forms[next(self._lie) % len(forms)]


# -------------------------------------------------------------------------------------- the gateway


@dataclass(frozen=True)
class Files:
    """The files of one gateway."""

    folder: Path

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"

    @property
    def seen(self) -> Path:
        return self.folder / "seen.jsonl"

    @property
    def forwarded(self) -> list[dict[str, str]]:
        """The headers of each request that reached the application."""
        lines = self.seen.read_bytes().splitlines() if self.seen.exists() else []
        return [orjson.loads(line) for line in lines]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.audit.read_bytes().splitlines()]


def configuration(
    files: Files, issuer: Issuer, secrets: Secrets, port: int = 0, *, remote: int | None = None
) -> dict[str, Any]:
    """Return a configuration that has a secret wherever one can stand, each with a canary.

    ``remote`` is the port of the application where it runs by itself.
    """

    def secret(what: str) -> str:
        file = files.folder / what
        text = secrets.new(what)
        file.write_text(f"{text} +/%\u00e9" if what.endswith("Secret") else text, "utf-8")
        return str(file)

    site = issuer.site
    mount = {"mount": "tests.e2e.token_attacks.behind:create_app", "options": {"seen": str(files.seen)}}
    behind: dict[str, Any] = {
        **(mount if remote is None else {"upstream": upstream_at(remote)}),
        "scopes": [SCOPE],
        "tools": [SAFE, BREAKS, BREAKS_LATE],
        "public_paths": ["/public"],
    }
    client = {"token_endpoint": f"{site}/token", "client_id": "gate"}
    introspection = {
        "endpoint": f"{site}/introspect",
        "client_id": "gate",
        "client_secret_file": secret("IntrospectionSecret"),
    }
    own = {**client, "client_secret_file": secret("ClientCredentialsSecret"), "scopes": ["x"]}
    exchange = {
        **client,
        "client_secret_file": secret("ExchangeSecret"),
        "client_authentication": "client_secret_post",
    }
    sealing = files.folder / "sealing.key"
    sealing.write_text(secrets.new("SealingKey") * 2, "utf-8")
    return {
        "listen_addr": f"127.0.0.1:{port}",
        "log_level": "debug",
        "tunnel_domain": DOMAIN,
        "clients": {"allowed_ips": ["127.0.0.0/8"]},
        "dpop": {"require_nonce": True},
        "sealing_keys": [str(sealing)],
        "audit": {"file": str(files.audit)},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {
            "allowed_ips": ["127.0.0.1"],
            "issuers": [
                {"issuer": "https://as.example", "jwks_uri": f"{site}/jwks"},
                {
                    "issuer": "https://opaque.example",
                    "token_formats": ["opaque"],
                    "introspection": introspection,
                },
            ],
        },
        "routes": {
            PLAIN: {
                **behind,
                "issuers": ["https://as.example"],
                "credentials": {"bearer_file": secret("StaticUpstreamToken")},
            },
            OPAQUE: {
                **behind,
                "issuers": ["https://opaque.example"],
                "credentials": {"client_credentials": own},
            },
            EXCHANGE: {
                **behind,
                "issuers": ["https://opaque.example"],
                "credentials": {"token_exchange": exchange},
            },
            DPOP: {
                **behind,
                "issuers": ["https://as.example"],
                "proof": "dpop",
                "credentials": {"token_exchange": exchange},
            },
        },
    }


def upstream_at(port: int) -> dict[str, Any]:
    """Return the application as a remote server, which is asked on however often it breaks."""
    return {"url": f"http://127.0.0.1:{port}", "preserve_host": True, "max_failures": 1000}


# -------------------------------------------------------------------------------- what is sent to it


class Client:
    """A client that presents good and bad tokens to a gateway, and keeps every octet that comes back."""

    def __init__(self, port: int, secrets: Secrets, issuer: Issuer) -> None:
        self.port = port
        self.secrets = secrets
        self.issuer = issuer
        self.answers: list[bytes] = []

    def ask(
        self, route: str, headers: Sequence[tuple[str, str]], *, tool: str = SAFE, path: str = "/mcp"
    ) -> int:
        """Send one call and return the status of its answer, or 0 where the connection just ended."""
        arguments = {"text": self.secrets.new("Argument")}
        message = orjson.loads(call_of(tool))
        message["params"]["arguments"] = arguments
        pairs = [("host", f"{route}.{DOMAIN}"), *LEGACY_HEADERS[1:], *headers]
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as connection:
            connection.sendall(request_of(orjson.dumps(message), pairs, path=path))
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        # Who asks for a tool that is not there reads its name again, and nobody else does.
        self.answers.append(received.replace(tool.encode(), b""))
        return int(received[9:12]) if received else 0

    def token(self, header: Mapping[str, Any] | None = None, /, *, signer: str = "e1", **claims: Any) -> str:
        """Return an access token with a canary wherever nobody is meant to look."""
        now = int(time.time())
        base_header = {"alg": "ES256", "typ": "at+jwt", "kid": "e1"}
        base = {
            "jti": self.secrets.new("TokenId"),  # first, so that it is in any beginning of a token
            "iss": "https://as.example",
            "aud": f"https://{PLAIN}.{DOMAIN}/mcp",
            "sub": "alice",
            "client_id": "agent",
            "iat": now,
            "exp": now + 300,
            "scope": SCOPE,
            "email": self.secrets.new("Email"),
        }
        content = content_of(
            orjson.dumps({**base_header, **(header or {})}), orjson.dumps({**base, **claims})
        )
        raw = joined(content, base64url(signature("ES256", private_key(signer), content))).decode()
        self.secrets.hide(raw.rpartition(".")[2])
        return raw

    def short(self) -> str:
        """Return what looks like a token, and is short enough for the name of a tool."""
        claims = {"jti": self.secrets.new("TokenForAName")}
        return joined(content_of(b'{"alg":"ES256"}', orjson.dumps(claims)), b"c2ln").decode()

    def opaque(self, route: str = OPAQUE) -> str:
        """Return an opaque token for a route, of which the issuer says that it is good when it is up."""
        raw = self.secrets.new("OpaqueToken")
        said = {
            "active": True,
            "aud": f"https://{route}.{DOMAIN}/mcp",
            "sub": "alice",
            "client_id": "agent",
            "scope": SCOPE,
            "exp": time.time() + 300,
            "jti": self.secrets.new("OpaqueTokenId"),
        }
        self.issuer.expect(raw, said, is_exchanged=route == EXCHANGE)
        return raw

    def bound(self, **claims: Any) -> str:
        members = {name: value for name, value in jwk("e5").items() if name in ("crv", "kty", "x", "y")}
        thumbprint = base64url(hashlib.sha256(orjson.dumps(dict(sorted(members.items())))).digest()).decode()
        usual: dict[str, Any] = {"aud": f"https://{DPOP}.{DOMAIN}/mcp", "cnf": {"jkt": thumbprint}}
        return self.token(None, **{**usual, **claims})

    def proof(self, access: str, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a proof with a canary for its id."""
        members = {name: value for name, value in jwk("e5").items() if name in ("crv", "kty", "x", "y")}
        base = {
            "jti": self.secrets.new("ProofId"),
            "htm": "POST",
            "htu": f"https://{DPOP}.{DOMAIN}/mcp",
            "iat": int(time.time()),
            "ath": base64url(hashlib.sha256(access.encode()).digest()).decode(),
        }
        base_header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": members}
        content = content_of(
            orjson.dumps({**base_header, **(header or {})}), orjson.dumps({**base, **claims})
        )
        raw = joined(content, base64url(signature("ES256", private_key("e5"), content))).decode()
        self.secrets.hide(raw.rpartition(".")[2])
        return raw

    def nonce(self) -> str:
        """Return the nonce of the last answer."""
        found = re.search(rb"(?i)\ndpop-nonce: ([^\r]+)", self.answers[-1])
        return found[1].decode() if found else self.secrets.new("ForgedNonce")


def bearer(raw: str, scheme: str = "Bearer") -> tuple[str, str]:
    return ("authorization", f"{scheme} {raw}")


def use_plain(client: Client) -> list[int]:
    """Present JWTs, good and bad; return the statuses of the calls that the issuer's state decides."""
    good = client.token()
    statuses = [client.ask(PLAIN, [bearer(good)], tool=tool) for tool in (SAFE, BREAKS, BREAKS_LATE)]
    statuses.append(client.ask(PLAIN, [bearer(client.token({"x": client.secrets.new("Header")}))]))
    unknown = {"kid": client.secrets.new("KeyId")}
    bad = (
        client.token(unknown),
        client.token(signer="e9"),
        client.token(exp=1),
        client.token(aud="https://x.example", nonce=client.secrets.new("Nonce")),
        client.token(scope="x"),
        client.token({"typ": "JWT"}),
        client.token(iat=client.secrets.new("Time")),
        client.token(cnf={"jkt": client.secrets.new("Thumbprint")}),
        good[:-4],
        good + "=",
        client.secrets.new("NoToken") * 300,
    )
    refused = [client.ask(PLAIN, [bearer(each)]) for each in bad]
    refused += [
        client.ask(PLAIN, [bearer(good)], tool=DENIED),
        client.ask(PLAIN, [bearer(good)], tool=client.short()),
        client.ask(PLAIN, [bearer(good), bearer(good)]),
        client.ask(PLAIN, [bearer(f"{good}, Bearer {good}")]),
        client.ask(PLAIN, [bearer(good, client.secrets.new("Scheme"))]),
        client.ask(PLAIN, [bearer(good, "Basic")]),
        client.ask(PLAIN, [bearer(f"{good}\0")]),
        client.ask(PLAIN, [("cookie", f"token={good}")]),
        client.ask(PLAIN, [("x-token", good)]),
        client.ask(PLAIN, [], path=f"/mcp?access_token={good}"),
        client.ask(PLAIN, [], path=f"/mcp/{good}"),
        client.ask("nobody", [bearer(good)]),
    ]
    assert 500 not in refused
    return statuses


def use_opaque(client: Client) -> list[int]:
    """Present opaque tokens; return the statuses of the calls that the issuer's state decides."""
    statuses = [client.ask(OPAQUE, [bearer(client.opaque())], tool=tool) for tool in (SAFE, BREAKS)]
    statuses += [client.ask(OPAQUE, [bearer(client.opaque())]) for _ in range(20)]
    refused = [
        client.ask(OPAQUE, [bearer(client.token())]),
        client.ask(OPAQUE, [bearer(client.opaque() + "\u00e9")]),
        client.ask(OPAQUE, [], path=f"/mcp?access_token={client.opaque()}"),
    ]
    assert 500 not in refused
    return statuses


def use_exchange(client: Client) -> list[int]:
    """Present opaque tokens that are exchanged; return the statuses that the issuer's state decides."""
    return [client.ask(EXCHANGE, [bearer(client.opaque(EXCHANGE))]) for _ in range(20)]


def use_dpop(client: Client) -> list[int]:
    """Present bound tokens; return the statuses of the calls that the issuer's state decides."""

    def ask(access: str, *proofs: str, tool: str = SAFE) -> int:
        return client.ask(DPOP, [bearer(access, "DPoP"), *(("dpop", each) for each in proofs)], tool=tool)

    access = client.bound()
    ask(access, client.proof(access))
    nonce = client.nonce()
    statuses: list[int] = []
    for tool in (SAFE, BREAKS, *[SAFE] * 20):
        access = client.bound()
        client.issuer.expect(access, {})
        statuses.append(ask(access, client.proof(access, nonce=nonce), tool=tool))
    used = client.proof(access, nonce=nonce)
    unbound = client.bound(cnf={"x5t#S256": client.secrets.new("CertificateThumbprint")})
    ask(access, used)
    private = {**jwk("e5"), "d": client.secrets.new("PrivateKey")}
    odd = {**jwk("e5"), "x": client.secrets.new("Coordinate"), "kid": client.secrets.new("ProofKeyId")}
    refused = [
        ask(unbound, client.proof(unbound, nonce=nonce)),
        ask(access, used),
        ask(access, client.proof(access, jti=client.secrets.new("LongProofId") * 20)),
        ask(access),
        ask(access, client.proof(access, nonce=client.secrets.new("WrongNonce"))),
        ask(access, client.proof(access, htu=f"https://x.example/{client.secrets.new('Url')}")),
        ask(access, client.proof(access, htm=client.secrets.new("Method"))),
        ask(access, client.proof(access, ath=client.secrets.new("Hash"))),
        ask(access, client.proof(access, iat=client.secrets.new("ProofTime"))),
        ask(access, client.proof(access, {"jwk": private})),
        ask(access, client.proof(access, {"jwk": odd})),
        ask(access, client.proof(access, {"jwk": {"kty": "oct", "k": client.secrets.new("SharedKey")}})),
        ask(access, client.proof(access), client.proof(access)),
        ask(access, f"{client.proof(access)}, {client.proof(access)}"),
        ask(access, client.secrets.new("NoProof")),
        ask(client.proof(access), client.proof(access)),
        client.ask(DPOP, [bearer(access), ("dpop", client.proof(access))]),
    ]
    assert set(refused) <= {400, 401, 503}
    return statuses


def use_all(client: Client) -> Mapping[str, list[int]]:
    """Present everything to every route."""
    statuses = {
        PLAIN: use_plain(client),
        OPAQUE: use_opaque(client),
        EXCHANGE: use_exchange(client),
        DPOP: use_dpop(client),
    }
    for scheme in ("Bearer", "DPoP"):
        assert client.ask(PLAIN, [bearer(client.token(), scheme)], path="/public") == 200
    return statuses


# ------------------------------------------------------------------------------------- the searching


class Everything(logging.Handler):
    """Keeps all that anybody logs, as text and as the arguments that it is made of."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("httpcore2") and "receive_response_headers.complete" in record.getMessage():
            return  # what an issuer says; the gateway lets this client log nothing below a warning
        self.lines.append(self.format(record))
        self.lines.append(repr(record.args))


@contextmanager
def everything_logged() -> Generator[Everything]:
    """Keep every line of every logger, at the level of debugging, until the block ends."""
    listener, loggers = Everything(), [logging.getLogger(name) for name in LOGGERS]
    before = [(each, each.level, each.propagate) for each in loggers]
    logging.getLogger().addHandler(listener)
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.propagate = True
    try:
        yield listener
    finally:
        logging.getLogger().removeHandler(listener)
        for each, level, propagate in before:
            each.setLevel(level)
            each.propagate = propagate


def check_what_was_let_through(
    phase: Phase, statuses: Mapping[str, list[int]], files: Files, *, broken: int
) -> None:
    """Check that nothing was let through that an issuer would have had to vouch for and did not.

    ``broken`` is how a call is answered of which the application breaks.
    """
    passed = {
        PLAIN: [200, broken, broken, 200],
        OPAQUE: [200, broken, *[200] * 20],
        EXCHANGE: [200] * 20,
        DPOP: [200, broken, *[200] * 20],
    }
    vouched: Mapping[Phase, set[str]] = {
        "up": {PLAIN, OPAQUE, EXCHANGE, DPOP},
        "down": set(),
        "lying": {PLAIN},
        "lying about its keys": {OPAQUE, EXCHANGE},
    }
    hosts = Counter(headers["host"] for headers in files.forwarded)
    for route, got in statuses.items():
        if route in vouched[phase]:
            assert got == passed[route]
        else:
            assert set(got) <= {401, 403, 503}
            assert hosts[f"{route}.{DOMAIN}"] == (PUBLIC_CALLS if route == PLAIN else 0)


def check_credentials(files: Files, issuer: Issuer) -> None:
    """Check that the application got its own tokens, so that there was something to be leaked."""
    static = (files.folder / "StaticUpstreamToken").read_text("utf-8")
    got = {headers.get("authorization") for headers in files.forwarded}
    assert got == {f"Bearer {static}", f"Bearer {issuer.upstream_token}", None}
    told = b"".join(asked.body for asked in issuer.publisher.asked)
    assert f"{STEM}OpaqueToken".encode() in told
    assert f"{STEM}ExchangeSecret".encode() in told


def check_silence(secrets: Secrets, places: Mapping[str, bytes]) -> None:
    """Check that nothing of what is secret stands in any of these places."""
    for place, octets in places.items():
        assert octets or place == "standard output", f"{place} is empty"
        for needle in secrets.found_in(octets):
            at = octets.lower().index(needle.lower())
            pytest.fail(f"{place}: …{octets[max(0, at - 200) : at + 200]!r}…")


def callers_part(files: Files, own: Iterable[str]) -> bytes:
    """Return what the application saw, without the tokens that were made for it."""
    seen = files.seen.read_bytes()
    for each in own:
        seen = seen.replace(each.encode(), b"")
    return seen


@pytest.mark.promise("token-stays-here")
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("parser", ["strict", "h11"])
@pytest.mark.parametrize("where", ["mounted", "remote"])
def test_a_gateway_that_logs_all_it_can_tells_nobody_what_was_presented_to_it(
    where: Literal["mounted", "remote"],
    parser: Literal["strict", "h11"],
    phase: Phase,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets, files = Secrets(), Files(tmp_path)
    issuer = Issuer(secrets)
    with everything_logged() as logged, ExitStack() as stack:
        issuer.site = f"http://127.0.0.1:{stack.enter_context(serve(issuer.publisher))}"
        issuer.become(phase)
        remote = stack.enter_context(serve(create_app(str(files.seen)))) if where == "remote" else None
        gateway = create_gateway(Policy.from_mapping(configuration(files, issuer, secrets, remote=remote)))
        with serve(gateway, parser) as port:
            client = Client(port, secrets, issuer)
            statuses = use_all(client)

    printed = capfd.readouterr()
    check_what_was_let_through(phase, statuses, files, broken=500 if where == "mounted" else 502)
    if phase == "up":
        check_credentials(files, issuer)
    static = (files.folder / "StaticUpstreamToken").read_text("utf-8")
    check_silence(
        secrets,
        {
            "the log": "\n".join(logged.lines).encode("utf-8", "surrogateescape"),
            "the audit": files.audit.read_bytes(),
            "the answers": b"\n".join(client.answers),
            "what the application saw": callers_part(files, (static, issuer.upstream_token)),
            "standard output": (printed.out + printed.err).encode("utf-8", "surrogateescape"),
        },
    )


@pytest.mark.promise("token-stays-here")
def test_the_command_prints_nothing_of_what_was_presented_to_it(tmp_path: Path) -> None:
    secrets, files = Secrets(), Files(tmp_path)
    issuer, port = Issuer(secrets), free_port()
    variables = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    with serve(issuer.publisher) as issuer_port:
        issuer.site = f"http://127.0.0.1:{issuer_port}"
        file = tmp_path / "tunnelgate.yaml"
        file.write_bytes(orjson.dumps(configuration(files, issuer, secrets, port)))
        command = [str(SCRIPTS / "tunnelgate"), "serve", "--config", str(file)]
        with running(command, environment(tmp_path, **variables), tmp_path) as program:
            client = Client(port, secrets, issuer)
            for phase in PHASES:
                issuer.become(phase)
                use_all(client)

    check_silence(
        secrets,
        {
            "what it printed": program.output.encode(),
            "the audit": files.audit.read_bytes(),
            "the answers": b"\n".join(client.answers),
        },
    )
