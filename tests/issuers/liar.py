"""An issuer that answers by a script: late, never, wrongly, or as it should."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.tokens import jwks

METADATA = "/.well-known/oauth-authorization-server"
KEYS = "/jwks"
INTROSPECTION = "/introspection"
TOKEN = "/token"


@dataclass(frozen=True)
class Answer:
    """What is answered at one path; ``is_whole`` says whether the body ever ends."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    is_whole: bool = True


SILENCE = Answer(b"", status=0)
"""No answer at all: the connection is accepted, and stays open."""


@dataclass
class Liar:
    """An issuer that runs, what it answers where, and which paths it was asked for.

    What its answers call ``ISSUER`` is ``url`` when they are given.
    """

    url: str
    answers: dict[str, Answer]
    asked: list[str] = field(default_factory=list[str])


def as_json(value: Any) -> Answer:
    """Return an answer in JSON."""
    return Answer(json.dumps(value).encode())


def metadata(**changes: Any) -> Answer:
    """Return the metadata of the issuer that gives this answer, with these changes."""
    return as_json(
        {
            "issuer": "ISSUER",
            "jwks_uri": f"ISSUER{KEYS}",
            "introspection_endpoint": f"ISSUER{INTROSPECTION}",
            "token_endpoint": f"ISSUER{TOKEN}",
            **changes,
        }
    )


@contextmanager
def liar(answers: Mapping[str, Answer] | None = None) -> Generator[Liar]:
    """Run an issuer that is honest at each path but those of ``answers``."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            running.asked.append(self.path)
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self._send(running.answers.get(self.path, Answer(b"{}", status=404)))

        def do_POST(self) -> None:
            self.do_GET()

        def _send(self, answer: Answer) -> None:
            self.close_connection = True
            if answer is SILENCE:
                over.wait()
                return
            body = answer.body.replace(b"ISSUER", running.url.encode())
            length = len(body) + (0 if answer.is_whole else 1)
            self.send_response(answer.status)
            for name, value in {
                "content-type": answer.media_type,
                "content-length": str(length),
                **answer.headers,
            }.items():
                self.send_header(name, value.replace("ISSUER", running.url))
            self.end_headers()
            try:
                self.wfile.write(body)
            except ConnectionError:
                return  # whoever asked had enough
            if not answer.is_whole:
                over.wait()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        honest = {METADATA: metadata(), KEYS: Answer(jwks("ES256"))}
        running = Liar(f"http://127.0.0.1:{server.server_address[1]}", {**honest, **(answers or {})})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield running
        finally:
            over.set()
            server.shutdown()
            thread.join()
