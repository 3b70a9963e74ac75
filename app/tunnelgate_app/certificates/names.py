"""The DNS names in certificates: how they are written, and which hostnames they cover.

Specification: RFC 1123 section 2.1, RFC 6125 section 6.4.3.
"""

import re
from collections.abc import Iterable

from cryptography import x509

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")
_MAX_OCTETS = 253
_WILDCARD = "*."


def read_name(name: str) -> str:
    """Return a hostname in lower case, as it stands in certificates.

    Raises :class:`ValueError` with the end of a sentence where it is none.
    """
    lowered = name.lower()
    if not name.isascii() or len(name) > _MAX_OCTETS or _NAME.fullmatch(lowered) is None:
        raise ValueError("is not a hostname such as docs.example.com, in ASCII")
    return lowered


def names_of_domain(domain: str) -> tuple[str, str]:
    """Return the names that cover a tunnel's domain: itself, and everything one label below it.

    Raises :class:`ValueError` with the end of a sentence.
    """
    name = read_name(domain)
    if len(name) > _MAX_OCTETS - len(_WILDCARD):
        raise ValueError("is too long for names below it")
    return name, f"{_WILDCARD}{name}"


def covers(name: str, hostname: str) -> bool:
    """Return whether ``name``, as it stands in a certificate, is for ``hostname``.

    An asterisk stands for the whole first label, and for exactly one; two at least are behind it.
    """
    name, hostname = name.lower(), hostname.lower()
    if not name.startswith(_WILDCARD):
        return name == hostname
    label, _, rest = hostname.partition(".")
    # OpenSSL takes no asterisk above a single label, such as *.localhost.
    return bool(label) and "." in rest and rest == name.removeprefix(_WILDCARD)


def permits(constraints: x509.NameConstraints | None, name: str) -> bool:
    """Return whether a CA with these constraints can sign the DNS ``name`` (RFC 5280 section 4.2.1.10)."""
    if constraints is None:
        return True
    permitted, excluded = _dns(constraints.permitted_subtrees), _dns(constraints.excluded_subtrees)
    below = name.lower().removeprefix(_WILDCARD)
    return (not permitted or _is_below(below, permitted)) and not _is_below(below, excluded)


def _dns(subtrees: Iterable[x509.GeneralName] | None) -> list[str]:
    return [each.value.lower().lstrip(".") for each in subtrees or () if isinstance(each, x509.DNSName)]


def _is_below(name: str, bases: Iterable[str]) -> bool:
    return any(not base or name == base or name.endswith(f".{base}") for base in bases)
