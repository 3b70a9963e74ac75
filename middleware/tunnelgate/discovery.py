"""Discovery: what an issuer says about itself, found from its identifier alone.

::

    https://login.example.com/tenant

    https://login.example.com/.well-known/oauth-authorization-server/tenant
    https://login.example.com/.well-known/openid-configuration/tenant
    https://login.example.com/tenant/.well-known/openid-configuration

The first of these that has a document decides. It must name the issuer octet by octet, because
whoever can publish at another issuer's URL could otherwise speak for this one.

Specification: RFC 8414 sections 3 and 3.3, OpenID Connect Discovery 1.0 section 4,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization
"""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from tunnelgate.errors import IssuerUnavailable
from tunnelgate.fetching import OK, Fetch, Fetched, read_object
from tunnelgate.identifiers import check_url
from tunnelgate.refreshing import Refreshing

_OAUTH = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"
_SERVER_ERROR = 500


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of ``issuer`` may be, in the order in which to look."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    urls = (f"{origin}{_OAUTH}{path}", f"{origin}{_OPENID}{path}", f"{origin}{path}{_OPENID}")
    return tuple(dict.fromkeys(urls))


class Discovery:
    """The endpoints of ``issuer``, found when first needed and kept fresh.

    ``fetch`` is an HTTP client, see :mod:`tunnelgate.fetching`. The other parameters are those of
    :class:`~tunnelgate.refreshing.Refreshing`.
    Raises :class:`ValueError` where ``issuer`` is no URL.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        *,
        max_age: float = 600,
        cooldown: float = 30,
        max_stale: float = 3600,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            check_url(issuer)
        except ValueError as error:
            raise ValueError(f"issuer {issuer!r} {error}") from None
        self.issuer = issuer
        self._fetch = fetch
        self._metadata = Refreshing(
            self._load,
            what=f"metadata of {issuer}",
            max_age=max_age,
            cooldown=cooldown,
            max_stale=max_stale,
            clock=clock,
        )

    def __str__(self) -> str:
        return f"the metadata of {self.issuer}"

    async def find(self, endpoint: str) -> str:
        """Return the URL that the issuer's metadata has under a name such as ``jwks_uri``.

        Raises :class:`~tunnelgate.errors.IssuerUnavailable` when the metadata cannot be had, is not
        this issuer's, or has no such URL.
        """
        metadata = await self._metadata.get()
        if metadata is None:
            raise IssuerUnavailable(f"no {self._metadata.what}")
        url = metadata.get(endpoint)
        try:
            if not isinstance(url, str):
                raise ValueError("is not there")
            check_url(url, with_query=True)
            if urlsplit(self.issuer).scheme == "https" and urlsplit(url).scheme != "https":
                raise ValueError("would send in the clear what the issuer protects")
        except ValueError as error:
            raise IssuerUnavailable(f"{endpoint} in {self} {error}") from None
        return url

    async def _load(self) -> Mapping[str, Any]:
        for url in metadata_urls(self.issuer):
            fetched = await self._fetch(url)
            if fetched.status >= _SERVER_ERROR:
                raise OSError(f"status {fetched.status} at {url}")
            metadata = _metadata_in(fetched)
            if "issuer" not in metadata:
                continue  # what is answered for every path is no metadata either
            if metadata["issuer"] != self.issuer:
                raise ValueError(f"{url} has the metadata of another issuer")
            return metadata
        raise OSError(f"none at {', '.join(metadata_urls(self.issuer))}")


async def locate(location: str | Discovery, endpoint: str) -> str:
    """Return the URL of an endpoint: ``location`` itself, or what the metadata there says.

    Raises as :meth:`Discovery.find` does.
    """
    return location if isinstance(location, str) else await location.find(endpoint)


def _metadata_in(fetched: Fetched) -> Mapping[str, Any]:
    try:
        return read_object(fetched.body) if fetched.status == OK else {}
    except ValueError:
        return {}
