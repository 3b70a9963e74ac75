"""Reads what proxies write about whom they forward for: three header fields, and no other.

Hops are read from the right, the nearest proxy's own entry first, and only as far as somebody asks:
what stands further left was written by whoever came before, and may be anything.

Specification: RFC 7239 sections 4 to 6, RFC 9110 sections 5.3 and 5.6. CF-Connecting-IP and
X-Forwarded-For have none.
"""

import re
from collections.abc import Iterator, Sequence

from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.verdict import Reason

MAX_HOPS = 32
_MAX_VALUE = 8192  # octets of all field lines together
_MAX_PORT = 65535

# Section 6: an IPv6 address stands in brackets, so that a port behind it cannot be part of it.
_NODE = re.compile(r"(?:(?P<v4>[0-9.]+)|\[(?P<v6>[^:\]]*:[^\]]*)\])(?::(?P<port>[0-9]{1,5}))?")
_OBFUSCATED_PORT = re.compile(r":_[A-Za-z0-9._-]+\Z")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"
_PAIR = rb"(?P<name>" + _TOKEN + rb")=(?:(?P<token>" + _TOKEN + rb')|"(?P<quoted>' + _QUOTED + rb')")'
_STEP = re.compile(rb"(?:" + _PAIR + rb")?(?P<end>;|[ \t]*+(?:,[ \t]*+|\Z))")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def read_cf_connecting_ip(value: bytes) -> Address:
    """Return the address in the value of ``CF-Connecting-IP``.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``client-address-unreadable``) for anything but
    one plain address.
    """
    return read_address(value.decode("latin-1"))


def read_x_forwarded_for(lines: Sequence[bytes]) -> Iterator[Address]:
    """Give the addresses in the lines of ``X-Forwarded-For``, at least one line, from the right.

    An entry is an address, and may have a port: ``1.2.3.4:80``, ``[2001:db8::1]:80``.
    Raises :class:`~tunnelgate.reading.fault.Fault` (``client-address-unreadable``) at the first entry
    that is not one, and for more than :data:`MAX_HOPS` of them.
    """
    _check_length(lines)
    entries = b",".join(lines).split(b",")
    _check_count(len(entries))
    for entry in reversed(entries):
        text = entry.strip(b" \t").decode("latin-1")
        yield _read_node(text) if text.startswith("[") or text.count(":") <= 1 else read_address(text)


def read_forwarded(lines: Sequence[bytes]) -> Iterator[Address]:
    """Give the ``for`` addresses in the lines of ``Forwarded``, at least one line, from the right.

    Raises :class:`~tunnelgate.reading.fault.Fault` (``client-address-unreadable``) where any line is
    not of the grammar, for more than :data:`MAX_HOPS` elements, and at the first element that names
    no address: without ``for``, ``unknown``, or under an obfuscated name.
    """
    _check_length(lines)
    nodes = [node for line in lines for node in _nodes(line)]
    _check_count(len(nodes))
    for node in reversed(nodes):
        if node is None:
            raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "an element without for")
        yield _read_node(_OBFUSCATED_PORT.sub("", node.decode("latin-1")))


def _check_length(lines: Sequence[bytes]) -> None:
    if sum(map(len, lines)) > _MAX_VALUE:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, f"longer than {_MAX_VALUE} octets")


def _check_count(count: int) -> None:
    if count > MAX_HOPS:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, f"more than {MAX_HOPS} hops")


def _read_node(text: str) -> Address:
    match = _NODE.fullmatch(text)
    if match is None:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "not an IP address")
    if match["port"] is not None and int(match["port"]) > _MAX_PORT:
        raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "no such port")
    return read_address(match["v4"] or match["v6"])


def _nodes(line: bytes) -> Iterator[bytes | None]:
    """Give the ``for`` of each element from the left, ``None`` for an element without one.

    All of a line is read: whoever leaves a quote open in it would swallow what a later proxy writes.
    """
    parameters: dict[bytes, bytes] = {}
    value = line.strip(b" \t")
    position, end = 0, b","
    while end:
        step = _STEP.match(value, position)
        if step is None:
            raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "not of the grammar")
        position, end = step.end(), step["end"].strip(b" \t")
        if step["name"] is not None:
            name = step["name"].lower()
            if name in parameters:
                raise Fault(Reason.CLIENT_ADDRESS_UNREADABLE, "a parameter twice in one element")
            quoted = step["quoted"]
            parameters[name] = step["token"] if quoted is None else _ESCAPED.sub(rb"\1", quoted)
        if end != b";":
            yield parameters.get(b"for")
            parameters = {}
