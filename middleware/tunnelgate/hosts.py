"""Hosts: an exact hostname leads to exactly one application, and every other one is refused.

::

    app.add_middleware(HostAllowlist, hosts=["docs.example.com"])

    Host: docs.example.com          passed on
    Host: DOCS.example.com:443      passed on
    Host: evil.example              403 {"error": "host_not_allowed", "host": "evil.example"}
    Host: a.docs.example.com        403
    Host: docs.example.com          421 {"error": "misdirected_request"}, where TLS was asked for another name

There is no wildcard and no default: a name that nobody listed belongs to nobody. What TLS was asked for
is known where the server tells it: see :mod:`tunnelgate.uvicorn_tls`.

Specification: RFC 9110 sections 7.2 and 15.5.20; CVE-2025-66416 and its like for why names are checked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.head import RequestHead
from tunnelgate.reading.host import Host, read_host
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

_DEFAULT_PORTS = frozenset({80, 443})


class HostRules:
    """The hostnames that are served.

    ``hosts`` are names without a port; ``ports`` are those that ``Host`` may name besides 80, 443
    and the port that the connection came in on.
    Raises :class:`ValueError` for a name that no ``Host`` could carry and for no name at all.
    """

    def __init__(self, hosts: Iterable[str], ports: Iterable[int] = ()) -> None:
        self.names = frozenset(_named(name) for name in hosts)
        self.ports = _DEFAULT_PORTS.union(ports)
        if not self.names:
            raise ValueError("no host is listed, so every request would be refused")

    def decide(self, host: Host, local_port: int | None) -> Verdict:
        """Return whether ``host`` is served on a connection that came in on ``local_port``."""
        its_port = host.port is None or host.port in self.ports or host.port == local_port
        if its_port and host.name in self.names:
            return Allow()
        return Deny(Reason.HOST_UNKNOWN, told={"host": host.name})


def decide_server_name(host: Host, server_name: str | None) -> Verdict:
    """Return whether a request for ``host`` belongs on a connection whose client asked TLS for a name.

    ``server_name`` is in lower case, or None where the client asked for none or nobody knows.
    """
    if server_name is None or server_name == host.name.strip("[]"):
        return Allow()
    return Deny(Reason.SERVER_NAME_DIFFERS, server_name)


def read_hostname(name: str) -> str:
    """Return ``name`` in lower case.

    Raises :class:`ValueError` with the end of a sentence where it is no plain hostname.
    """
    try:
        host = read_host(name.encode("ascii", "replace"))
    except Fault:
        raise ValueError("is not a hostname such as docs.example.com") from None
    if host.port is not None:
        raise ValueError("names a port; ports are listed beside the hosts")
    return host.name


def _named(name: str) -> str:
    try:
        return read_hostname(name)
    except ValueError as error:
        raise ValueError(f"{name!r} {error}") from None


def read_request_host(head: RequestHead) -> Host:
    """Return the host that a request names; raises ``Fault`` unless it names exactly one."""
    if b"host" in head.duplicated:
        raise Fault(Reason.HEADER_DUPLICATED, "host")
    value = head.fields.get(b"host")
    if value is None:
        raise Fault(Reason.HOST_MISSING, "")
    return read_host(value)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a hostname leads: the route's name, for the record, and the application behind it."""

    name: str
    app: ASGIApp


class HostRouter(Layer):
    """Leads each request to the application of its hostname.

    ``routes`` maps hostnames to routes. ``lifespan`` is the application that start-up and
    shutdown are passed to. Raises :class:`ValueError` as :class:`HostRules` does.
    """

    def __init__(self, routes: Mapping[str, Route], lifespan: ASGIApp, ports: Iterable[int] = ()) -> None:
        super().__init__(lifespan)
        self.rules = HostRules(routes, ports)
        self.routes = {_named(name): route for name, route in routes.items()}

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Find the route of the host that the request names."""
        host = read_request_host(exchange.head)
        exchange.host = host.name
        exchange.port = None if host.port in _DEFAULT_PORTS else host.port
        verdict = self.rules.decide(host, exchange.head.local_port)
        if verdict:
            verdict = decide_server_name(host, exchange.head.server_name)
        if verdict:
            exchange.route = self.routes[host.name].name
            exchange.judged_by = self
        return verdict

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Judge the host of a request that is under way."""
        return self.rules.decide(read_request_host(exchange.head), exchange.head.local_port)

    def onward(self, exchange: Exchange) -> ASGIApp:
        """Return the application of the route."""
        return self.routes[exchange.host or ""].app

    async def forward(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        """Pass the request on along its route."""
        route = self.routes[exchange.host or ""]
        await route.app(scope, receive, send)


class HostAllowlist(HostRouter):
    """Passes requests for the listed hostnames on to one application and refuses all others."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], ports: Iterable[int] = ()) -> None:
        super().__init__({name: Route(name, app) for name in hosts}, app, ports)
