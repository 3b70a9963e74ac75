"""Client network: who may connect at all, by address.

::

    app.add_middleware(ClientAllowlist, allowed_ips=["10.0.0.0/8", "::1"])

    from 10.1.2.3               passed on
    from ::ffff:10.1.2.3        passed on: it is the same address
    from 192.0.2.1              403 {"error": "client_not_allowed"}
    from a Unix socket          400: there is no address to check

The address is the peer's, the other end of the socket. Run the server without its own handling of
forwarding headers (uvicorn: ``--no-proxy-headers``), which would put what a client wrote there.
"""

from collections.abc import Iterable
from functools import lru_cache

from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.networks import Networks
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

_REMEMBERED_PEERS = 4096


class ClientRules:
    """The networks that clients may come from: an address must be in every one of ``networks``."""

    def __init__(self, *networks: Networks) -> None:
        self.networks = networks

    def decide(self, address: Address) -> Verdict:
        """Return whether a client at ``address`` may connect."""
        if self.networks and all(address in network for network in self.networks):
            return Allow()
        return Deny(Reason.CLIENT_NOT_ALLOWED)


def read_peer(scope: Scope) -> Address:
    """Return the address of the socket's other end; raises ``Fault`` where there is none."""
    peer: tuple[str, int] | None = scope.get("client")
    if peer is None:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "the connection has no address")
    return _read_address(peer[0])


_read_address = lru_cache(maxsize=_REMEMBERED_PEERS)(read_address)


class ClientAllowlist(Layer):
    """Refuses clients from outside the listed networks.

    ``allowed_ips`` are networks and addresses; ``within`` narrows them further, as a route does.
    Raises :class:`ValueError` as :class:`~tunnelgate.networks.Networks` does.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_ips: Iterable[str], within: Iterable[str] | None = None
    ) -> None:
        super().__init__(app)
        narrower = () if within is None else (Networks(within),)
        self.rules = ClientRules(Networks(allowed_ips), *narrower)

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Judge the peer by its address."""
        address = read_peer(scope)
        exchange.client = str(address)
        return self.rules.decide(address)
