"""Reads addresses and networks as the numbers that they are.

``is_private`` and ``is_global`` are never asked: what they say of wrapped addresses is wrong and
changes with the Python patch. An IPv4 address inside ``::ffff:0:0/96`` is that IPv4 address.

Specification: RFC 4291 section 2.5.5.2, RFC 4007 section 11 for zone identifiers.
"""

import ipaddress

from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# Shorter prefixes are wide: they hold more than class E, or more than all unique local addresses.
_SHORTEST_PREFIX = {4: 4, 6: 7}


class WideNetwork(ValueError):
    """A network so wide that it says next to nothing about who is in it."""


def read_address(text: str) -> Address:
    """Return the address that ``text`` writes, without its IPv4-in-IPv6 mapping.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``client-address-unreadable``) for a name, an
    empty text or an address with a zone.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "not an IP address") from None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.scope_id is not None:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "an address with a zone")
    return address.ipv4_mapped or address


def read_network(text: str, *, wide: bool = False) -> Network:
    """Return the network that ``text`` writes; a single address is a network of one.

    Raises :class:`ValueError` with the end of a sentence for host bits, for a zone and for a network
    of mapped addresses; and, unless ``wide`` says that they are meant, :class:`WideNetwork` for one
    with a prefix shorter than ``/4`` (IPv4) or ``/7`` (IPv6).
    """
    if "%" in text:
        raise ValueError("has a zone, which means something on one machine only")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError("is not a network such as 10.0.0.0/8, nor an address") from None
    network = interface.network
    if interface.ip != network.network_address:
        raise ValueError(f"has bits set behind its prefix; the network is {network}")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError("writes IPv4 addresses in IPv6 form; write the IPv4 network")
    shortest = _SHORTEST_PREFIX[network.version]
    if network.prefixlen < shortest and not wide:
        holds = f"is wider than /{shortest}" if network.prefixlen else "allows every address"
        raise WideNetwork(f"{holds}; list the networks that are meant")
    return network
