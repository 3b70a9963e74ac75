"""The connections beneath the official client: bounded, and to no other place than the cluster.

The client would follow redirects, try again, take a proxy from the environment, and read an answer of any
size for as long as it comes.
"""

import ssl
import time
from collections.abc import Callable
from typing import Any, Final, cast

from kubernetes.client import ApiClient
from urllib3 import BaseHTTPResponse, HTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError

from tunnelgate_servers.deploy_status.cluster.access import Access

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""The size of the largest answer, in bytes, after it was decoded."""

_CHUNK = 64 * 1024
_CONNECTIONS = 8


def content_of(answer: object) -> bytes:
    """Return what the client was answered, when it was told to leave the answer as it is."""
    return cast("BaseHTTPResponse", answer).data


class AnswerError(HTTPError):
    """An answer is too large or too slow."""


def api_client(access: Access, timeout: float) -> ApiClient:
    """Return the official client over bounded connections; an answer may take `timeout` seconds."""
    client = ApiClient(access.configuration)
    client.rest_client.pool_manager = BoundedPool(access.tls, access.server_name, timeout)
    return client


class BoundedPool(PoolManager):
    """Connections over `tls` that ask once, follow nothing, and give up after `timeout` seconds.

    `server_name` is the name in the cluster's certificate, or `None` for the host of the URL. `clock` returns
    seconds.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        server_name: str | None,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        named: dict[str, Any] = {} if server_name is None else {"server_hostname": server_name}
        super().__init__(
            num_pools=1,
            maxsize=_CONNECTIONS,
            ssl_context=tls,
            retries=Retry(0, redirect=0, raise_on_redirect=False),
            **named,
        )
        self._timeout = timeout
        self._limit = Timeout(connect=timeout, read=timeout)  # the client would pass on none
        self._clock = clock

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: FBT001, FBT002 - urllib3's signature
        """Return an answer that has been read whole; raises `HTTPError`."""
        until = self._clock() + self._timeout
        limits = {"timeout": self._limit, "preload_content": False}
        response = super().urlopen(method, url, redirect=False, **{**kw, **limits})
        try:
            content = self._content(response, until)
        except BaseException:
            response.close()
            raise
        return HTTPResponse(
            body=content, headers=response.headers, status=response.status, reason=response.reason
        )

    def _content(self, response: BaseHTTPResponse, until: float) -> bytes:
        content = bytearray()
        while chunk := response.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise AnswerError("the answer is too large")
            if self._clock() > until:
                raise AnswerError("the answer is too slow")
        response.release_conn()
        return bytes(content)
