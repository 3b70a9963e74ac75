"""The DNS names in certificates: how they are written, and which hostnames they cover.

Specification: RFC 1123 section 2.1, RFC 6125 section 6.4.3.
"""

import re

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

    An asterisk stands for the whole first label, and for exactly one.
    """
    name, hostname = name.lower(), hostname.lower()
    if not name.startswith(_WILDCARD):
        return name == hostname
    label, _, rest = hostname.partition(".")
    return bool(label) and rest == name.removeprefix(_WILDCARD)
