"""What comes back of one request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.fetching import read_object

_REQUEST_ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: the status, the headers by lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON object that the body is; an empty one where it is none."""
        try:
            return read_object(self.body)
        except ValueError:
            return {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was answered at a URL, or why nothing was."""

    url: str
    answer: Answer | None = None
    failure: str = ""

    @property
    def error(self) -> str:
        """The gate's word for why it refused; empty where the answer is none of the gate's."""
        if self.answer is None or _REQUEST_ID not in self.answer.headers:
            return ""
        error = self.answer.document.get("error")
        return error if isinstance(error, str) else ""


class NoAnswerError(Exception):
    """There is no whole answer; the text says why."""
