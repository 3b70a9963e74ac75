"""Client network: who may connect at all, by address.

::

    app.add_middleware(ClientAllowlist, allowed_ips=["10.0.0.0/8", "::1"])

    from 10.1.2.3               passed on
    from ::ffff:10.1.2.3        passed on: it is the same address
    from 192.0.2.1              403 {"error": "client_not_allowed"}
    from a Unix socket          403: there is no address to check

The address is the peer's, the other end of the socket, unless one header is named in its place, and
those who may be believed when they send it::

    app.add_middleware(
        ClientAllowlist,
        allowed_ips=["203.0.113.0/24"],
        address_from="x-forwarded-for",
        trusted_proxies=["127.0.0.1"],
    )

    from 127.0.0.1      X-Forwarded-For: 203.0.113.7                    passed on
    from 127.0.0.1      X-Forwarded-For: 203.0.113.7, 192.0.2.1         403: the proxy saw 192.0.2.1
    from 127.0.0.1      X-Forwarded-For: unknown                        400 {"error": "bad_request"}
    from 127.0.0.1      without X-Forwarded-For                         400
    from 192.0.2.1      X-Forwarded-For: 203.0.113.7                    403: nobody trusts 192.0.2.1

Run the server without its own handling of forwarding headers (uvicorn: ``--no-proxy-headers``), which
would put what a client wrote in the peer's place.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, get_args

from tunnelgate.asgi import ASGIApp, Scope
from tunnelgate.exchange import Exchange
from tunnelgate.layer import Layer
from tunnelgate.networks import Networks
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.forwarded import read_cf_connecting_ip, read_forwarded, read_x_forwarded_for
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

AddressSource = Literal["peer", "cf-connecting-ip", "x-forwarded-for", "forwarded"]

_REMEMBERED_PEERS = 4096
_REMEMBERED_VALUES = 1024
_LONGEST_REMEMBERED = 256  # octets

_HOPS: Mapping[str, Callable[[Sequence[bytes]], Iterator[Address]]] = {
    "x-forwarded-for": read_x_forwarded_for,
    "forwarded": read_forwarded,
}


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
    """Return the address of the socket's other end.

    Raises :class:`~tunnelgate.reading.fault.Fault`: ``client-not-allowed`` where there is no address,
    as on a Unix socket, and ``client-address-unreadable`` where it is none.
    """
    peer: tuple[str, int] | None = scope.get("client")
    if peer is None:
        raise Fault(Reason.CLIENT_NOT_ALLOWED, "the connection has no address")
    return _read_address(peer[0])


_read_address = lru_cache(maxsize=_REMEMBERED_PEERS)(read_address)


class ClientAddress:
    """Says which address a request comes from, by exactly one ``source``.

    ``peer`` is the other end of the socket. The other sources are headers, which count when the peer
    is in ``trusted_proxies``, or connects to our own Unix socket and ``trust_unix_socket`` is set; a
    peer that nobody trusts is its own client. ``trust_wide_networks`` is the word for trusted networks
    such as ``0.0.0.0/0``.

    Raises :class:`ValueError` with a sentence where nobody may send the header, where somebody is
    trusted without one, and as :class:`~tunnelgate.networks.Networks` does.
    """

    def __init__(
        self,
        source: AddressSource = "peer",
        trusted_proxies: Iterable[str] = (),
        *,
        trust_unix_socket: bool = False,
        trust_wide_networks: bool = False,
    ) -> None:
        proxies = tuple(trusted_proxies)
        if source not in get_args(AddressSource):
            raise ValueError(f"address_from {source!r} is not one of {', '.join(get_args(AddressSource))}")
        if source != "peer" and not proxies and not trust_unix_socket:
            raise ValueError(
                f"address_from is {source}, which nobody may send: list trusted_proxies, or set "
                "trust_unix_socket"
            )
        if source == "peer" and (proxies or trust_unix_socket):
            raise ValueError("a proxy is trusted, but address_from is peer, so no header is read")
        self._header = None if source == "peer" else source.encode("ascii")
        self._trusts_unix_socket = trust_unix_socket
        self._trusted: Networks | tuple[()] = ()
        if proxies:
            self._trusted = Networks(proxies, wide=trust_wide_networks, word="trust_wide_networks")
        self._hops = _HOPS.get(source)
        self._read_remembered = lru_cache(maxsize=_REMEMBERED_VALUES)(self._read)

    def find(self, scope: Scope) -> Address:
        """Return the client's address, without its IPv4-in-IPv6 mapping.

        Raises :class:`~tunnelgate.reading.fault.Fault`: ``client-not-allowed`` for a connection
        without an address, ``header-duplicated`` and ``header-lookalike`` for a header that two
        components could take differently, ``client-address-unreadable`` for one that is missing or
        says no address.
        """
        if self._header is None:
            return read_peer(scope)
        if not (self._trusts_unix_socket and _is_unix_socket(scope)):
            peer = read_peer(scope)
            if peer not in self._trusted:
                return peer
        return self._find_in(scope["headers"], self._header)

    def _find_in(self, headers: Iterable[tuple[bytes, bytes]], header: bytes) -> Address:
        lines: list[bytes] = []
        for name, value in headers:
            if name == header:
                lines.append(value)
            elif b"_" in name and name.replace(b"_", b"-") == header:
                raise Fault(Reason.HEADER_LOOKALIKE, name.decode("latin-1"))
        if not lines:
            raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, f"a trusted proxy sent no {header.decode()}")
        if self._hops is None and len(lines) > 1:
            raise Fault(Reason.HEADER_DUPLICATED, header.decode())
        is_short = sum(map(len, lines)) <= _LONGEST_REMEMBERED
        read = self._read_remembered if is_short else self._read
        try:
            return read(tuple(lines))
        except Fault as fault:
            raise Fault(fault.reason, f"{header.decode()}: {fault.detail}") from None

    def _read(self, lines: Sequence[bytes]) -> Address:
        if self._hops is None:
            return read_cf_connecting_ip(lines[0])
        hops = self._hops(lines)
        address = next(hops)
        while address in self._trusted:
            further = next(hops, None)
            if further is None:
                break
            address = further
        return address


def _is_unix_socket(scope: Scope) -> bool:
    # Only the server's side says so: of a TCP connection that was reset there is no peer either, and
    # what was sent on it before can still be read.
    server: tuple[str, int | None] | None = scope.get("server")
    return scope.get("client") is None and server is not None and server[1] is None


class ClientAllowlist(Layer):
    """Refuses clients from outside the listed networks.

    ``allowed_ips`` are networks and addresses; ``within`` narrows them further, as a route does.
    ``allow_wide_networks`` is the word for networks such as ``0.0.0.0/0`` in either.
    ``address_from`` and the rest say which address is the client's, as in :class:`ClientAddress`.
    Raises :class:`ValueError` as that and :class:`~tunnelgate.networks.Networks` do.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_ips: Iterable[str],
        within: Iterable[str] | None = None,
        address_from: AddressSource = "peer",
        trusted_proxies: Iterable[str] = (),
        trust_unix_socket: bool = False,
        allow_wide_networks: bool = False,
        trust_wide_networks: bool = False,
    ) -> None:
        super().__init__(app)
        narrower = () if within is None else (Networks(within, wide=allow_wide_networks),)
        self.rules = ClientRules(Networks(allowed_ips, wide=allow_wide_networks), *narrower)
        self.address = ClientAddress(
            address_from,
            trusted_proxies,
            trust_unix_socket=trust_unix_socket,
            trust_wide_networks=trust_wide_networks,
        )

    async def judge(self, scope: Scope, exchange: Exchange) -> Verdict:
        """Judge the client by its address."""
        address = self.address.find(scope)
        exchange.client = str(address)
        exchange.server = scope.get("server")
        return self.rules.decide(address)

    def judge_again(self, exchange: Exchange) -> Verdict:
        """Judge the client of a request that is under way, by the address that counts now."""
        connection: Scope = {
            "client": None if exchange.peer is None else (exchange.peer, 0),
            "server": exchange.server,
            "headers": exchange.headers,
        }
        return self.rules.decide(self.address.find(connection))
