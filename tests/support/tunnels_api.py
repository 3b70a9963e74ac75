"""Anthropic's Tunnels API as its reference describes it, and the exchange of identity tokens, on loopback.

Where the reference is silent, the choice of this stand-in is marked as such.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, key
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.reading.strict_json import is_object

BETA = "mcp-tunnels-2026-06-22"
SCOPE = "workspace:manage_tunnels"
AUDIENCE = "https://api.anthropic.com"
RULE = "fdrl_011CZkZaBF1tNoB5wlCeusgy"
ORGANIZATION = "7b0f2b5e-5d1a-4f5c-9f0e-0f6a3c1d2e4b"
WORKSPACE = "wrkspc_011CZkZaBF1tNoB5wlCeusgy"
MAX_TUNNELS = 10
MAX_CERTIFICATES = 2
MAX_ROTATIONS = 3  # of a relay token; the reference names no number

START = datetime(2026, 9, 1, 12, tzinfo=UTC)

Document = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """An error in Anthropic's envelope."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error: Document = {"type": kind, "message": message}
        if code is not None:
            self.error["details"] = {"error_code": code}


@dataclass(frozen=True)
class Grant:
    """What a token may do."""

    scopes: frozenset[str] = frozenset({SCOPE})
    workspace_id: str = WORKSPACE
    is_exchanged: bool = False


@dataclass(frozen=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Scripted:
    """An answer that is given in place of what would be done, or after it where ``does_it``."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    does_it: bool = False


@dataclass
class TunnelsApi:
    """The service: its rules are in its handlers, what it knows in its members."""

    transport: str | None = "cloudflare"
    rule_scopes: frozenset[str] = frozenset({SCOPE})
    is_member: bool = True
    audience: str = AUDIENCE
    grants: dict[str, Grant] = field(default_factory=dict[str, Grant])
    tunnels: dict[str, Document] = field(default_factory=dict[str, Document])
    certificates: dict[str, Document] = field(default_factory=dict[str, Document])
    tokens: dict[str, Document] = field(default_factory=dict[str, Document])
    seen: list[Seen] = field(default_factory=list[Seen])
    issued: list[str] = field(default_factory=list[str])
    scripted: dict[str, list[Scripted]] = field(default_factory=dict[str, list[Scripted]])
    before_answering: Callable[[str], None] = lambda _: None
    rotations: dict[str, int] = field(default_factory=dict[str, int])
    count: int = 0

    @property
    def calls(self) -> list[str]:
        """The requests to the API, without the exchanges of identity tokens."""
        return [each.call for each in self.seen if each.path != "/v1/oauth/token"]

    def app(self) -> Starlette:
        """Return the service as an application."""
        one, ca = "/v1/tunnels/{tunnel_id}", "/v1/tunnels/{tunnel_id}/certificates"
        routes = {
            ("POST", "/v1/oauth/token"): self._exchange,
            ("POST", "/v1/tunnels"): self._create,
            ("GET", "/v1/tunnels"): self._list,
            ("GET", one): self._retrieve,
            ("POST", f"{one}/archive"): self._archive,
            ("POST", f"{one}/reveal_token"): self._reveal,
            ("POST", f"{one}/rotate_token"): self._rotate,
            ("POST", ca): self._add_certificate,
            ("GET", ca): self._list_certificates,
            ("GET", f"{ca}/{{certificate_id}}"): self._retrieve_certificate,
            ("POST", f"{ca}/{{certificate_id}}/archive"): self._archive_certificate,
        }
        return Starlette(
            routes=[
                Route(path, partial(self._answer, handler), methods=[method])
                for (method, path), handler in routes.items()
            ]
        )

    def secrets_in(self, text: str) -> list[str]:
        """Return the tokens of the service that ``text`` shows, or half of one."""
        known = [*self.issued, *self.grants]
        return [each for each in known if each in text or each[: len(each) // 2] in text]

    def grant(self, grant: Grant = Grant()) -> str:
        """Return a new token of the API."""
        token = f"sk-ant-oat01-{secrets.token_urlsafe(40)}"
        self.grants[token] = grant
        return token

    def identity_token(self, **claims: Any) -> str:
        """Return an identity token that the federation rule accepts, but for ``claims``."""
        return Token(claims={"aud": AUDIENCE, "sub": "system:serviceaccount:mcp:setup", **claims}).mint()

    def add_tunnel(self, display_name: str | None = None) -> str:
        """Make a tunnel, as somebody did in the Console; return its id."""
        return str(self._new_tunnel(display_name)["id"])

    def add_certificate(self, tunnel_id: str, pem: str, *, lifetime: timedelta = timedelta(days=30)) -> str:
        """Register a CA, as somebody did in the Console; return its id."""
        expires = datetime.now(UTC) + lifetime
        return str(
            self._new_certificate(tunnel_id, x509.load_pem_x509_certificate(pem.encode()), expires)["id"]
        )

    def script(self, call: str, *answers: Scripted) -> None:
        """Let the next requests like ``call``, such as ``POST /v1/tunnels``, be answered so."""
        self.scripted.setdefault(call, []).extend(answers)

    async def _answer(self, handler: Callable[[Request, bytes], Any], request: Request) -> Response:
        body = await request.body()
        seen = Seen(request.method, request.url.path, dict(request.query_params), dict(request.headers), body)
        self.seen.append(seen)
        request_id = f"req_{self._next():024d}"
        waiting = self.scripted.get(seen.call)
        scripted = waiting.pop(0) if waiting else None
        if scripted is not None and not scripted.does_it:
            return _scripted(scripted, request_id)
        try:
            document = handler(request, body)
            status = 200
        except RefusedError as error:
            document = {"type": "error", "error": error.error, "request_id": request_id}
            status = error.status
        self.before_answering(seen.call)
        if scripted is not None:
            return _scripted(scripted, request_id)
        return _json(document, status, request_id)

    def _exchange(self, request: Request, body: bytes) -> Document:
        betas = request.headers.get("anthropic-beta", "").split(",")
        if not {"oauth-2025-04-20", "oidc-federation-2026-04-01"} <= {*betas}:
            raise RefusedError(400, "invalid_request_error", "the beta headers are missing")
        asked = orjson.loads(body)
        if asked.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise RefusedError(400, "invalid_request_error", "unsupported grant type")
        try:
            claims = jwt.decode(asked["assertion"], key("ES256"), algorithms=["ES256"]).claims
        except JoseError:
            claims = {}
        known = (asked.get("federation_rule_id"), asked.get("organization_id")) == (RULE, ORGANIZATION)
        if not known or (claims.get("iss"), claims.get("aud")) != (ISSUER, self.audience):
            # What a careless service would say.
            raise RefusedError(401, "authentication_error", f"not accepted: {asked['assertion']}")
        workspace_id = asked.get("workspace_id", WORKSPACE)
        scopes = self.rule_scopes if self.is_member else frozenset[str]()
        token = self.grant(Grant(scopes, workspace_id, is_exchanged=True))
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

    def _create(self, request: Request, body: bytes) -> Document:
        self._authorize(request)
        asked = _asked(body, {"display_name"})
        name = asked.get("display_name")
        if name is not None and not (isinstance(name, str) and 1 <= len(name) <= 255):
            raise RefusedError(400, "invalid_request_error", "display_name: must have 1 to 255 characters")
        if sum(each["archived_at"] is None for each in self.tunnels.values()) >= MAX_TUNNELS:
            said = f"Organization already has the maximum of {MAX_TUNNELS} non-archived Tunnels"
            raise RefusedError(400, "invalid_request_error", said)
        tunnel = self._new_tunnel(name)
        if self.transport != "relay":
            return tunnel
        return {**tunnel, "transport": {"type": "relay", "token": self.tokens[tunnel["id"]]}}

    def _list(self, request: Request, body: bytes) -> Document:
        self._authorize(request)
        return _page(request, [*self.tunnels.values()])

    def _retrieve(self, request: Request, body: bytes) -> Document:
        return self._tunnel(request)

    def _archive(self, request: Request, body: bytes) -> Document:
        tunnel = self._tunnel(request)
        if tunnel["archived_at"] is None:
            tunnel["archived_at"] = self._now()
            del self.tokens[tunnel["id"]]
            for each in self._certificates_of(tunnel["id"]):
                each["archived_at"] = each["archived_at"] or tunnel["archived_at"]
        return tunnel

    def _reveal(self, request: Request, body: bytes) -> Document:
        tunnel = self._living(request)
        if self.transport == "relay":
            said = "The token of this tunnel cannot be revealed"
            raise RefusedError(400, "invalid_request_error", said, "tunnel_token_not_revealable")
        return self.tokens[tunnel["id"]]

    def _rotate(self, request: Request, body: bytes) -> Document:
        tunnel = self._living(request)
        _asked(body, {"reason"})
        self.rotations[tunnel["id"]] = self.rotations.get(tunnel["id"], 0) + 1
        if self.transport == "relay" and self.rotations[tunnel["id"]] > MAX_ROTATIONS:
            raise RefusedError(429, "rate_limit_error", "Too many rotations")
        return self._new_token(tunnel["id"])

    def _add_certificate(self, request: Request, body: bytes) -> Document:
        tunnel = self._living(request)
        pem = _asked(body, {"ca_certificate_pem"}).get("ca_certificate_pem")
        if not isinstance(pem, str) or len(pem) > 8192 or "PRIVATE KEY" in pem:
            raise RefusedError(400, "invalid_request_error", "ca_certificate_pem: not acceptable")
        try:
            (certificate,) = x509.load_pem_x509_certificates(pem.encode())
        except ValueError:
            raise RefusedError(400, "invalid_request_error", "ca_certificate_pem: not one") from None
        if len(self._certificates_of(tunnel["id"], living=True)) >= MAX_CERTIFICATES:
            said = f"Tunnel already has the maximum of {MAX_CERTIFICATES} non-archived certificates"
            raise RefusedError(400, "invalid_request_error", said)
        return self._new_certificate(tunnel["id"], certificate, certificate.not_valid_after_utc)

    def _list_certificates(self, request: Request, body: bytes) -> Document:
        return _page(request, self._certificates_of(self._tunnel(request)["id"]))

    def _retrieve_certificate(self, request: Request, body: bytes) -> Document:
        tunnel = self._tunnel(request)
        certificate = self.certificates.get(request.path_params["certificate_id"])
        if certificate is None or certificate["tunnel_id"] != tunnel["id"]:
            raise RefusedError(404, "not_found_error", "No such certificate")
        return certificate

    def _archive_certificate(self, request: Request, body: bytes) -> Document:
        certificate = self._retrieve_certificate(request, body)
        certificate["archived_at"] = certificate["archived_at"] or self._now()
        return certificate

    def _authorize(self, request: Request) -> Grant:
        headers = request.headers
        scheme, _, token = headers.get("authorization", "").partition(" ")
        grant = self.grants.get(token)
        if scheme != "Bearer" or grant is None or "x-api-key" in headers:
            raise RefusedError(401, "authentication_error", f"Invalid bearer token: {token}")
        betas = [each.strip() for each in headers.get("anthropic-beta", "").split(",")]
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", headers.get("anthropic-version", "")) or BETA not in betas:
            raise RefusedError(400, "invalid_request_error", "the version or beta header is missing")
        if grant.is_exchanged and "oauth-2025-04-20" not in betas:
            raise RefusedError(401, "authentication_error", "OAuth is not supported here")
        chosen = headers.get("anthropic-workspace-id", grant.workspace_id)
        if SCOPE not in grant.scopes or chosen != grant.workspace_id:
            raise RefusedError(403, "permission_error", "The token may not manage tunnels here")
        return grant

    def _tunnel(self, request: Request) -> Document:
        self._authorize(request)
        tunnel = self.tunnels.get(request.path_params["tunnel_id"])
        if tunnel is None:
            raise RefusedError(404, "not_found_error", "No such tunnel")
        return tunnel

    def _living(self, request: Request) -> Document:
        tunnel = self._tunnel(request)
        if tunnel["archived_at"] is not None:  # the reference does not say what comes then
            raise RefusedError(400, "invalid_request_error", "The tunnel is archived")
        return tunnel

    def _certificates_of(self, tunnel_id: str, *, living: bool = False) -> list[Document]:
        return [
            each
            for each in self.certificates.values()
            if each["tunnel_id"] == tunnel_id and not (living and each["archived_at"])
        ]

    def _new_tunnel(self, display_name: str | None) -> Document:
        number = self._next()
        transport = {} if self.transport is None else {"transport": {"type": self.transport}}
        tunnel: Document = {
            "id": f"tnl_{number:024d}",
            "archived_at": None,
            "created_at": self._now(),
            "display_name": display_name,
            "domain": f"{number:08x}.tunnel.anthropic.com",
            **transport,
            "type": "tunnel",
        }
        self.tunnels[tunnel["id"]] = tunnel
        self._new_token(tunnel["id"])
        return tunnel

    def _new_token(self, tunnel_id: str) -> Document:
        parts = {"a": secrets.token_hex(16), "t": secrets.token_hex(16), "s": secrets.token_hex(24)}
        cloudflare = base64.b64encode(orjson.dumps(parts)).decode()
        value = secrets.token_urlsafe(48) if self.transport == "relay" else cloudflare
        self.issued.append(value)
        token = {"id": f"ttkn_{self._next():024d}", "tunnel_token": value, "type": "tunnel_token"}
        self.tokens[tunnel_id] = token
        return token

    def _new_certificate(self, tunnel_id: str, certificate: x509.Certificate, expires: datetime) -> Document:
        new: Document = {
            "id": f"tcrt_{self._next():024d}",
            "archived_at": None,
            "created_at": self._now(),
            "expires_at": _written(expires),
            "fingerprint": hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
            "tunnel_id": tunnel_id,
            "type": "tunnel_certificate",
        }
        self.certificates[new["id"]] = new
        return new

    def _now(self) -> str:
        return _written(START + timedelta(minutes=self.count))

    def _next(self) -> int:
        self.count += 1
        return self.count


@dataclass
class Service:
    """A server that is the same for many tests, while each test has an API of its own."""

    url: str = ""

    def __post_init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> TunnelsApi:
        """Return a new API, which is what is served from now on."""
        api = TunnelsApi()
        self._app: ASGIApp = api.app()
        return api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@contextmanager
def serving() -> Generator[Service]:
    """Serve on loopback what tests set."""
    service = Service()
    with serve(service) as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service


def _asked(body: bytes, allowed: set[str]) -> Document:
    asked: Any = orjson.loads(body or b"{}")
    if not is_object(asked) or {*asked} - allowed:
        raise RefusedError(400, "invalid_request_error", "the body has members that are not known")
    return asked


def _page(request: Request, documents: list[Document]) -> Document:
    query = request.query_params
    shown = [
        each for each in reversed(documents) if _is_true(query, "include_archived") or not each["archived_at"]
    ]
    limit = query.get("limit", "20")
    if not re.fullmatch("[1-9][0-9]{0,3}", limit) or int(limit) > 1000:
        raise RefusedError(400, "invalid_request_error", "limit: must be from 1 to 1000")
    first = 0
    if "page" in query:
        first = int(base64.urlsafe_b64decode(query["page"]))
    last = first + int(limit)
    following = base64.urlsafe_b64encode(b"%d" % last).decode() if last < len(shown) else None
    return {"data": shown[first:last], "next_page": following}


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "false") == "true"


def _scripted(answer: Scripted, request_id: str) -> Response:
    headers = {"content-type": "application/json", "request-id": request_id, **answer.headers}
    return Response(answer.body, answer.status, headers)


def _json(document: Document, status: int, request_id: str) -> Response:
    return Response(
        orjson.dumps(document), status, {"content-type": "application/json", "request-id": request_id}
    )


def _written(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
