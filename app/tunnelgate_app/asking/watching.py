"""Watches over what a server answers to a client that asks it: how much, and whether it wants another one.

The official client falls back from one era to the other on most errors, and follows redirects on the
same server. What is wrong for good ends the question here, and is remembered with its sentence.
"""

from collections.abc import AsyncGenerator

import httpx2

from tunnelgate.errors import UpstreamFailed
from tunnelgate.verdict import Reason
from tunnelgate_app.asking.answers import AskingError, Failure, printable

_UNAUTHORIZED = 401
_LONGEST = 300  # characters of what a server is quoted with


class Stopped(httpx2.TransportError):
    """The question has ended; why is remembered where it was found."""


class WatchedTransport(httpx2.AsyncBaseTransport):
    """Sends requests with ``http``, and lets at most ``octets`` of answers come.

    ``token`` is what the server is asked with, and is left out of all that it says.
    ``failure`` is what ended the question, if anything did. ``status`` and ``media_type`` are those of
    the last answer to a message.
    """

    def __init__(self, http: httpx2.AsyncClient, octets: int, token: str | None = None) -> None:
        self.failure: AskingError | None = None
        self.status: int | None = None
        self.media_type = ""
        self.token = token
        self._http = http
        self._left = octets
        self._octets = octets

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer, whose body is counted while it is read."""
        is_message = request.method == "POST"
        try:
            answer = await self._http.send(request, stream=True, follow_redirects=False)
        except httpx2.TransportError as error:
            if is_message:
                self.note(failure_of(error, self.token))
            raise
        if is_message:
            self.status = answer.status_code
            self.media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        objection = _objection(answer, self.token)
        if objection is not None:
            await answer.aclose()
            if is_message:
                self.note(objection)
            raise Stopped(str(objection))
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=_Counted(answer, self), request=request
        )

    def take(self, octets: int) -> None:
        """Take note of octets that have come; raises :class:`Stopped` when they are too many."""
        self._left -= octets
        if self._left < 0:
            sentence = f"answers more than {self._octets} octets"
            self.note(AskingError(Failure.TOO_MUCH, sentence, status=self.status))
            raise Stopped(sentence)

    def note(self, failure: AskingError) -> None:
        """Take note of what ended the question; those that follow come from the first."""
        if self.failure is None:
            self.failure = failure


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, answer: httpx2.Response, watched: WatchedTransport) -> None:
        self._answer = answer
        self._watched = watched

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            async for part in self._answer.aiter_raw():
                self._watched.take(len(part))
                yield part
        except Stopped:
            raise
        except httpx2.TransportError as error:
            self._watched.note(failure_of(error, self._watched.token))
            raise

    async def aclose(self) -> None:
        await self._answer.aclose()


def failure_of(error: httpx2.TransportError, token: str | None = None) -> AskingError:
    """Return why a request has failed, in the words of Anthropic's proxy where it has some.

    What ``token`` is, is left out.
    """
    cause = error.__cause__
    detail = printable(cause.detail if isinstance(cause, UpstreamFailed) else str(error), _LONGEST, token)
    if isinstance(cause, UpstreamFailed) and cause.reason is Reason.UPSTREAM_NOT_ALLOWED:
        return AskingError(Failure.NOT_ALLOWED, f"IP validation failed: {detail}")
    if isinstance(error, httpx2.TimeoutException):
        return AskingError(Failure.TOO_SLOW, f"does not answer in time: {detail or type(error).__name__}")
    if isinstance(error, httpx2.ProtocolError):
        return AskingError(Failure.NOT_MCP, f"does not speak HTTP as the gate takes it: {detail}")
    if isinstance(error, httpx2.ReadError):
        return AskingError(Failure.UNREACHABLE, f"breaks off: {detail}")
    return AskingError(Failure.UNREACHABLE, f"cannot be reached: {detail or type(error).__name__}")


def _objection(answer: httpx2.Response, token: str | None) -> AskingError | None:
    """Return why an answer ends the question whatever its body says, if it does."""
    status = answer.status_code
    if status == _UNAUTHORIZED:
        challenge = answer.headers.get("www-authenticate")
        said = "and does not say which" if challenge is None else f"and says {_quoted(challenge, token)}"
        sentence = f"answers 401: it needs a token, {said}"
        return AskingError(Failure.NEEDS_TOKEN, sentence, status=status, challenge=challenge)
    if answer.is_redirect:
        to = _quoted(answer.headers.get("location", ""), token)
        sentence = f"answers {status} and redirects to {to}, which the gate does not follow"
        return AskingError(Failure.REDIRECTED, sentence, status=status)
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        # What it is decoded to would be counted by nobody.
        return AskingError(Failure.NOT_MCP, "answers in an encoding that was not asked for", status=status)
    return None


def _quoted(text: str, token: str | None) -> str:
    return f'"{printable(text, _LONGEST, token)}"'
