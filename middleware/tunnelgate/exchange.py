"""What travels between the layers: one typed record per request, under one private key of the scope.

A layer fills in what it found out and reads what the layers around it found out.
Nothing else is shared between them.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from tunnelgate.asgi import Scope
from tunnelgate.reading.head import RequestHead, read_head
from tunnelgate.reading.message import Message
from tunnelgate.verdict import Verdict

if TYPE_CHECKING:
    from tunnelgate.asking import Asked

_EXCHANGE = "tunnelgate.exchange"
_PRINCIPAL = "tunnelgate.principal"
_LOAD = "tunnelgate.load"
_ID_OCTETS = 8

Clock = Callable[[], float]


def new_request_id() -> str:
    """Return 16 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(_ID_OCTETS)


class Load(Enum):
    """What a request is to the server that gets it, for whom several kinds have limits of their own."""

    CALL = "its answer is waited for"
    STREAM = "it goes on for as long as the client likes"
    ASIDE = "it is a word about something that is under way"
    PUBLIC = "it came without a token"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a verified access token speaks for.

    ``subject`` is unique within ``issuer``; ``client_id`` is the application that asks for them.
    ``scopes`` are those that the issuer granted. ``claims`` are all that it said.
    """

    issuer: str
    subject: str
    client_id: str
    scopes: frozenset[str]
    claims: Mapping[str, Any]


@dataclass(slots=True)
class Exchange:
    """The facts of one request, each beside the layer that finds it."""

    headers: list[tuple[bytes, bytes]]
    head: RequestHead
    is_websocket: bool = False
    write_down: "Callable[[Exchange, Verdict], None] | None" = None  # audit
    request_id: str = field(default_factory=new_request_id)  # audit
    started: float = field(default_factory=time.time)  # audit: seconds since the epoch
    host: str | None = None  # hosts
    port: int | None = None  # hosts: the one that ``Host`` names, unless it is a scheme's own
    route: str | None = None  # hosts
    judged_by: object | None = None  # hosts: those of the gate whose rules the request began with
    peer: str | None = None  # audit: the address that connected
    client: str | None = None  # clients: the address that the peer speaks for, or its own
    server: tuple[str, int | None] | None = None  # clients: the address that was connected to
    endpoint: str | None = None  # endpoints: the path, after the root path of the mount
    principal: Principal | None = None  # bearer
    proof: object | None = None  # bearer: what checked who presents the token
    token: bytes | None = field(default=None, repr=False)  # bearer: where it is to be exchanged
    proof_algorithms: tuple[str, ...] = ()  # bearer: how a DPoP proof may be signed, where one is needed
    dpop_nonce: str | None = None  # bearer: the one to use from now on
    resource_metadata: str | None = None  # bearer: the URL that challenges name
    required_scopes: tuple[str, ...] = ()  # bearer: what challenges ask for when no tool asks for more
    message: Message | None = None  # tools
    message_id: str | int | None = None  # tools: known even when the message is not one
    is_mcp: bool = False  # tools: from here on refusals are answered in JSON-RPC
    asked: "Asked | None" = None  # tools: the allowed request as it goes on
    upstream_token: str | None = field(default=None, repr=False)  # credentials
    retry_after: float | None = None  # what failed upstream: seconds, after which to ask again
    is_decided: bool = False
    is_refused: bool = False  # refusal: what is answered are words of ours

    @property
    def name(self) -> str:
        """What the log calls the request."""
        return self.request_id if self.route is None else f"{self.request_id} to {self.route}"

    def decide(self, verdict: Verdict) -> None:
        """Write ``verdict`` down, before anything is answered or forwarded.

        Raises :class:`~tunnelgate.errors.AuditUnavailable` when it cannot be written.
        """
        if self.write_down is not None and not self.is_decided:
            self.write_down(self, verdict)
        self.is_decided = True


def exchange_of(scope: Scope) -> Exchange:
    """Return the record of the request that ``scope`` belongs to, begun here if nobody has yet."""
    exchange: Exchange | None = scope.get(_EXCHANGE)
    if exchange is None:
        exchange = scope[_EXCHANGE] = Exchange(
            list(scope["headers"]), read_head(scope), is_websocket=scope["type"] == "websocket"
        )
    elif exchange.headers != scope["headers"]:
        # Somebody between our layers has changed the headers: judge what is there now.
        exchange.headers = list(scope["headers"])
        exchange.head = read_head(scope)
    return exchange


def with_exchange(scope: Scope, exchange: Exchange) -> Scope:
    """Return a copy of ``scope`` that carries ``exchange``."""
    return {**scope, _EXCHANGE: exchange}


def with_load(scope: Scope, load: Load) -> Scope:
    """Return a copy of ``scope`` that says what the request is to a server."""
    return {**scope, _LOAD: load}


def load_of(scope: Scope) -> Load | None:
    """Return what the request is to a server, where a layer around it knows."""
    load: Load | None = scope.get(_LOAD)
    if load is None and _PRINCIPAL in scope and caller_of(scope) is None:
        return Load.PUBLIC  # behind a gate, on a path where nobody asked whose it is
    return load


def without_exchange(scope: Scope, headers: list[tuple[bytes, bytes]]) -> Scope:
    """Return the scope that an application behind the gate sees: these headers, and the principal."""
    target = {**scope, "headers": headers, _PRINCIPAL: scope[_EXCHANGE].principal}
    del target[_EXCHANGE]
    return target


def caller_of(scope: Scope) -> tuple[str, str, str] | None:
    """Return by what a caller behind the gate is told from all others, ``None`` without a token."""
    principal = _found(scope)
    return None if principal is None else (principal.issuer, principal.subject, principal.client_id)


def principal_of(scope: Scope) -> Principal | None:
    """Return whom the request in ``scope`` was allowed for, if a gate around this app verified that."""
    found = _found(scope)
    # A copy, because the next request with the same token is judged by the same claims.
    return None if found is None else replace(found, claims=deepcopy(dict(found.claims)))


def _found(scope: Scope) -> Principal | None:
    exchange: Exchange | None = scope.get(_EXCHANGE)
    found: Principal | None = scope.get(_PRINCIPAL)
    if exchange is not None and exchange.principal is not None:
        found = exchange.principal
    return found
