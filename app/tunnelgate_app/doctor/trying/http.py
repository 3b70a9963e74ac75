"""One request and its whole answer, of bounded size and time."""

import asyncio
from collections.abc import Mapping

import httpx2

from tunnelgate_app.doctor.answers import Answer, NoAnswerError

MAX_BODY = 1024 * 1024  # octets


async def ask(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    seconds: float,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> Answer:
    """Return the answer to one request; raises :class:`NoAnswerError`."""
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream(method, url, headers=headers, content=content) as response,
        ):
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BODY:
                    raise NoAnswerError(f"an answer of more than {MAX_BODY} octets")
    except TimeoutError:
        raise NoAnswerError(f"no answer within {seconds:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoAnswerError(str(error) or type(error).__name__) from error
    names = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, names, bytes(body))
