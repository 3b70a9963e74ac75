"""Asks cloudflared how it is: its readiness, and its metrics."""

import asyncio
from typing import Final

import httpx2

from tunnelgate_app.doctor.answers import NoAnswerError
from tunnelgate_app.doctor.judging.connector import Metrics, NoMetrics
from tunnelgate_app.doctor.trying.http import ask
from tunnelgate_app.doctor.trying.sockets import said_of

# The first of these that is free is the connector's, unless it was told another.
USUAL_URLS: Final = tuple(f"http://127.0.0.1:{port}" for port in range(20241, 20246))


async def ask_connector(url: str | None, seconds: float) -> Metrics | NoMetrics:
    """Return what a connector says at ``url``, or at the first of its usual places where one answers."""
    urls = USUAL_URLS if url is None else (url.rstrip("/").removesuffix("/metrics"),)
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=seconds) as client:
        answers = await asyncio.gather(*(_ask(client, each, seconds) for each in urls))
    metrics = [each for each in answers if isinstance(each, Metrics)]
    named = [each for each in metrics if "cloudflared_" in each.metrics]
    if url is None and named:
        return named[0]
    if url is not None and metrics:
        return metrics[0]
    failure = next((each for each in answers if isinstance(each, str)), "")
    return NoMetrics(urls, failure, is_named=url is not None)


async def _ask(client: httpx2.AsyncClient, url: str, seconds: float) -> Metrics | str:
    try:
        ready = await ask(client, "GET", f"{url}/ready", seconds)
        metrics = await ask(client, "GET", f"{url}/metrics", seconds)
    except NoAnswerError as error:
        return _why(error)
    return Metrics(url, ready.status, ready.text, metrics.text)


def _why(error: BaseException) -> str:
    """Return the system's own word for why there is no connection, beneath those of the client."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return said_of(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)
