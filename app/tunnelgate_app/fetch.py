"""Fetches small documents from issuers, and asks them things."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache

import httpx2

from tunnelgate.fetching import Fetched

TIMEOUT = 5.0  # seconds, for the whole of it
MAX_DOCUMENT = 256 * 1024  # octets; a set of keys is a few thousand


async def fetch(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    """Return what is answered at ``url`` to GET, or to POST where there is a ``form``.

    No redirects, no proxies of the environment.
    Raises :class:`OSError` for every way in which that can fail; a status is no failure.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _fetch(url, form, headers or {})
    except TimeoutError:
        raise OSError(f"no whole answer within {TIMEOUT} seconds") from None
    except OSError:
        raise
    except httpx2.ProtocolError as error:  # its text repeats octets, which may be a credential's
        raise OSError(f"no HTTP: {type(error).__name__}") from None
    except Exception as error:  # the client has several roots for what can go wrong
        raise OSError(f"{type(error).__name__}: {error}") from error


@cache
def authorities() -> ssl.SSLContext:
    """Return whose certificates are believed: the system's, or those of ``SSL_CERT_FILE``.

    Reading them takes some 50 ms, so it is done once.
    """
    return httpx2.create_ssl_context()


async def _fetch(url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Fetched:
    request_headers = httpx2.Headers({"accept": "application/json"})
    request_headers.update(headers)  # whatever the case of its names
    async with (
        httpx2.AsyncClient(
            verify=authorities(), timeout=TIMEOUT, trust_env=False, follow_redirects=False
        ) as client,
        client.stream("GET" if form is None else "POST", url, headers=request_headers, data=form) as response,
    ):
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise OSError(f"more than {MAX_DOCUMENT} octets")
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(response.status_code, media_type, bytes(body))
