"""What single values of a configuration must be like.

Each function returns the value as it will be used, or raises :class:`ValueError` with the end of a
sentence that begins with the value.
"""

import re
from collections.abc import Mapping, Sequence, Sized
from ipaddress import IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast

from tunnelgate.catalogue import check_name, check_resource
from tunnelgate.hosts import read_hostname
from tunnelgate.identifiers import check_scope, check_url
from tunnelgate.jwks import ALGORITHMS
from tunnelgate.messages import check_method
from tunnelgate.origins import check_origin
from tunnelgate.reading.address import read_network
from tunnelgate.requirements import ClaimValue
from tunnelgate.upstream.addresses import check_metadata, check_port, check_wrapped

_T = TypeVar("_T", bound=Sized)
_K = TypeVar("_K")
_V = TypeVar("_V")

_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~]+)+")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TYPE = re.compile(r"(?:application/)?[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*):(?P<port>[0-9]{1,5})")
_UNIX = "unix:"
_UPSTREAM = re.compile(r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/?#@\[\]]+):(?P<port>[1-9][0-9]{0,4})")
# With underscores, which names of services have that are no hostnames, and the dot of an absolute name.
_LOOKED_UP = re.compile(r"(?:(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\.)*(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\.?")
_MAX_LOOKED_UP = 253
_MODE = re.compile(r"0?[0-7]{3}")
_DURATION = re.compile(r"(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m)?(?:(?P<s>[0-9]{1,9})s)?")
_MAX_PORT = 65535
_NEVER_FORWARDED = frozenset(
    {"authorization", "content-length", "dpop", "host", "transfer-encoding", "x-request-id"}
)


def not_empty(value: _T) -> _T:
    """Allow nothing empty: an empty list would allow nothing, and is taken for a mistake."""
    if not value:
        raise ValueError("is empty, which would allow nothing")
    return value


def hostname(value: str) -> str:
    """Check a hostname without a port."""
    return read_hostname(value)


def network(value: str) -> str:
    """Check a network or an address; whether one so wide is meant is said elsewhere."""
    read_network(value, wide=True)
    return value


def metadata_network(value: str) -> str:
    """Check what has to be named to be connected to: a metadata service, or a link-local network."""
    check_metadata(value)
    return value


def wrapped_network(value: str) -> str:
    """Check a network of addresses that carry others."""
    check_wrapped(value)
    return value


def scope(value: str) -> str:
    """Check one OAuth scope."""
    check_scope(value)
    return value


def name(value: str) -> str:
    """Check one tool or prompt by its name."""
    check_name(value)
    return value


def resource(value: str) -> str:
    """Check a resource's URI, or a URI template."""
    check_resource(value)
    return value


def method(value: str) -> str:
    """Check a method that MCP does not have."""
    check_method(value)
    return value


def url_path(value: str) -> str:
    """Check a path that requests are compared with, octet by octet."""
    if _PATH.fullmatch(value) is None or any(part in (".", "..") for part in value.split("/")):
        raise ValueError("is not a path such as /mcp")
    return value


def public_path(value: str) -> str:
    """Check a path that is served without a token, which may be the root by itself."""
    return value if value == "/" else url_path(value)


def url(value: str) -> str:
    """Check an absolute URL without query, fragment or user."""
    check_url(value)
    return value


def endpoint_url(value: str) -> str:
    """Check an absolute URL without fragment or user, which may have a query."""
    check_url(value, with_query=True)
    return value


def variable(value: str) -> str:
    """Check the name of an environment variable."""
    if _VARIABLE.fullmatch(value) is None:
        raise ValueError("is not the name of an environment variable")
    return value


def token_type(value: str) -> str:
    """Check the `typ` of a token."""
    if _TYPE.fullmatch(value) is None:
        raise ValueError("is not a media type such as at+jwt")
    return value


def origin(value: str) -> str:
    """Check a web origin as browsers write it."""
    check_origin(value)
    return value


def forwarded_header(value: str) -> str:
    """Return the name of a header that applications may see, in lower case."""
    lowered = value.lower()
    if _HEADER_NAME.fullmatch(lowered) is None:
        raise ValueError("is not the name of a header")
    if lowered in _NEVER_FORWARDED:
        raise ValueError("is never forwarded")
    return lowered


def algorithm(value: str) -> str:
    """Check a signature algorithm: it is strong, asymmetric and bound to one kind of key."""
    if value not in ALGORITHMS:
        raise ValueError(f"is not one of {', '.join(sorted(ALGORITHMS))}")
    return value


def factory(value: str) -> str:
    """Check a function to import, written ``module:function``."""
    if _FACTORY.fullmatch(value) is None:
        raise ValueError("is not module:function")
    return value


def frozen_mapping(value: Mapping[_K, _V]) -> Mapping[_K, _V]:
    """Return a copy that nobody can change."""
    return MappingProxyType(dict(value))


def file(value: object) -> Path:
    """Return the path of a file; whether it is there is found out when it is opened."""
    if not isinstance(value, str | Path) or value == "":
        raise ValueError("is not the name of a file")
    return Path(value)


def claim(value: object) -> ClaimValue | tuple[ClaimValue, ...]:
    """Check the value that a claim must have, or those of which it must have one."""
    if isinstance(value, list | tuple):
        return tuple(_claim_value(each) for each in not_empty(cast("Sequence[object]", value)))
    return _claim_value(value)


def _claim_value(value: object) -> ClaimValue:
    if not isinstance(value, str | int) or value == "":
        raise ValueError("is not a text, a whole number, true or false, or a list of these")
    return value


def upstream_url(value: str) -> str:
    """Check where an upstream is: scheme, host and port, and nothing else."""
    match = _UPSTREAM.fullmatch(value)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise ValueError("invalid upstream (must be scheme://host:port)")
    host = match["host"]
    if host.startswith("["):
        try:
            IPv6Address(host.strip("[]"))
        except ValueError:
            raise ValueError("has no IPv6 address in its brackets") from None
    elif _LOOKED_UP.fullmatch(host) is None or len(host.removesuffix(".")) > _MAX_LOOKED_UP:
        raise ValueError("has no hostname or address between :// and the port")
    check_port(int(match["port"]))
    return value


def file_mode(value: object) -> object:
    """Return the permissions of a file, written in octal as a text such as ``"0660"``."""
    if not isinstance(value, str) or _MODE.fullmatch(value) is None:
        raise ValueError('is not three octal digits in quotes, such as "0660"')
    return int(value, 8)


def listen_address(value: str) -> str:
    """Check what to listen on: address and port, where no address is every one, or a Unix socket."""
    if value.startswith(_UNIX):
        if not value.removeprefix(_UNIX).startswith("/"):
            raise ValueError("is not unix: and an absolute path, such as unix:/run/tunnelgate/gate.sock")
        return value
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise ValueError("is not address:port, such as 127.0.0.1:8080 or :8080")
    return value


def duration(value: object) -> object:
    """Return seconds, given them or a text such as ``30s``, ``5m`` or ``1h30m``."""
    if not isinstance(value, str) or not value:
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise ValueError("is not a duration such as 30s or 5m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
