"""An issuer's token endpoint that answers by a script, keeps what it was asked, and hangs when told to."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tunnelgate import ClientSecret, Fetched

TOKEN_ENDPOINT = "https://login.example.com/token"
CLIENT = ClientSecret("gate", "s3cr3t-of-the-gate")


@dataclass(frozen=True)
class Asked:
    """One request: where to, with which form, and with which headers."""

    url: str
    form: Mapping[str, str] | None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def answered(document: Any, status: int = 200, media_type: str = "application/json") -> Fetched:
    """Return an answer with ``document`` in JSON, or with these very octets."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return Fetched(status, media_type, body)


def issued(token: str = "upstream-token", **members: Any) -> Fetched:
    """Return the answer with a token; a member that is ``None`` is left out."""
    document = {"access_token": token, "token_type": "Bearer", "expires_in": 600, **members}
    return answered({name: value for name, value in document.items() if value is not None})


def refused(error: Any = "invalid_grant", status: int = 400) -> Fetched:
    """Return the answer without a token."""
    return answered({"error": error, "error_description": "not for you"}, status)


class ScriptedIssuer:
    """Answers with each of ``script`` in its turn, and with the last one from then on.

    An exception is raised. While ``answers`` is not set, nobody gets an answer.
    """

    def __init__(self, *script: Fetched | Exception) -> None:
        self.script = list(script)
        self.asked: list[Asked] = []
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        self.asked.append(Asked(url, form, headers or {}))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.was_asked.set()
        await self.answers.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer
