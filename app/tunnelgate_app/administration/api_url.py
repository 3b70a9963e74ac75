"""Checks the URL that tokens are sent to."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from tunnelgate_app.administration.errors import AdministrationError

API_URL = "https://api.anthropic.com"


def check_api_url(url: str) -> None:
    """Raise :class:`AdministrationError` unless tokens can be sent to ``url``.

    It is one of TLS, or on this machine.
    """
    try:
        parts = urlsplit(url)
        host, userinfo = parts.hostname or "", parts.username or parts.password
    except ValueError:
        raise _refused() from None
    is_private = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not host or not is_private or userinfo or parts.query or parts.fragment:
        raise _refused()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused() -> AdministrationError:
    # Without the URL, which may have a password in it.
    return AdministrationError(
        "--api-url is no URL to send a token to: it begins with https://, or with http:// on this machine"
        " alone, and has no password, no query and no fragment"
    )
