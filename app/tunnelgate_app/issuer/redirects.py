"""Redirect URIs: which ones a client may have, and when the one in a request is one of them.

Specification: RFC 6749 section 3.1.2, RFC 8252 sections 7 and 8.4, RFC 9700 section 2.1.
"""

import ipaddress
import re

_MAX_LENGTH = 2000
_MAX_PORT = 65535
_REST = r"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]"  # what RFC 3986 has, but for a fragment
_WEB = re.compile(
    rf"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])"
    rf"(?::(?P<port>[0-9]{{1,5}}))?(?P<rest>(?:[/?]{_REST}*)?)"
)
_PRIVATE = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.\-]*):{_REST}+")
# RFC 8252 wants a domain name backwards, and these well-known editors have none.
_EDITORS = frozenset({"cursor", "vscode", "vscode-insiders", "windsurf"})


def check_redirect_uri(uri: str) -> str:
    """Return ``uri`` as it is when a client may have it.

    That is https, http on this machine, or a private-use scheme such as ``com.example.app``.
    Raises :class:`ValueError` with the end of a sentence.
    """
    if len(uri) > _MAX_LENGTH:
        raise ValueError(f"is longer than {_MAX_LENGTH} characters")
    web = _WEB.fullmatch(uri)
    if web is None:
        private = _PRIVATE.fullmatch(uri)
        if private is None or not ("." in private["scheme"] or private["scheme"] in _EDITORS):
            raise ValueError("is neither https nor http on this machine nor of a private-use scheme")
        return uri
    if web["port"] is not None and not 0 < int(web["port"]) <= _MAX_PORT:
        raise ValueError("has no such port")
    if web["host"].startswith("[") and not _is_ipv6(web["host"][1:-1]):
        raise ValueError("has no such host")
    if web["scheme"] == "http" and not is_loopback_host(web["host"]):
        raise ValueError("is http, which only this machine may have")
    return uri


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def is_loopback_host(host: str) -> bool:
    """Return whether a host, as URLs write it, is this machine (RFC 6761 section 6.3)."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def is_same_redirect(registered: str, requested: str, *, any_port: bool) -> bool:
    """Return whether ``requested`` is ``registered``, octet by octet.

    With ``any_port`` the port of a loopback address may differ, because a native application gets
    it from its operating system when it asks; that of the name `localhost` may not.
    """
    if registered == requested:
        return True
    ours, theirs = _WEB.fullmatch(registered), _WEB.fullmatch(requested)
    return (
        any_port
        and ours is not None
        and theirs is not None
        and ours["host"] in ("127.0.0.1", "[::1]")
        and ours["scheme"] == theirs["scheme"] == "http"
        and (ours["host"], ours["rest"]) == (theirs["host"], theirs["rest"])
        and 0 < int(theirs["port"] or "80") <= _MAX_PORT
    )


def host_of(uri: str) -> str:
    """Return where a redirect leads, as people recognise it: a host, or an application's scheme."""
    web = _WEB.fullmatch(uri)
    if web is None:
        return f"the application of {uri.partition(':')[0]}:"
    return web["host"] + ("" if web["port"] is None else f":{web['port']}")


def source_of(uri: str) -> str:
    """Return the sources of a Content Security Policy that a redirect to ``uri`` needs.

    Browsers hold every further redirect to them as well, and clients go on to a page of theirs.
    """
    web = _WEB.fullmatch(uri)
    return "http: https:" if web else f"{uri.partition(':')[0]}:"
