"""Fetches small documents from issuers."""

import asyncio

import httpx2

TIMEOUT = 5.0  # seconds, for the whole of it
_OK = 200
MAX_DOCUMENT = 256 * 1024  # octets; a set of keys is a few thousand


async def fetch(url: str) -> bytes:
    """Return the body at ``url``; no redirects, no proxies of the environment.

    Raises :class:`OSError` for every way in which that can fail.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _fetch(url)
    except TimeoutError:
        raise OSError(f"no whole answer within {TIMEOUT} seconds") from None
    except OSError:
        raise
    except Exception as error:  # the client has several roots for what can go wrong
        raise OSError(f"{type(error).__name__}: {error}") from error


async def _fetch(url: str) -> bytes:
    async with (
        httpx2.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client,
        client.stream("GET", url, headers={"accept": "application/json"}) as response,
    ):
        if response.status_code != _OK:
            raise OSError(f"status {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise OSError(f"more than {MAX_DOCUMENT} octets")
        return bytes(body)
