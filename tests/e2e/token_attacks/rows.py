"""The rows of the corpus, and what describes the requests of each."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.e2e.token_attacks.gates import PLAIN, Setting, Stand
from tests.support.raw import Parser
from tunnelgate.verdict import Reason

_CORPUS = Path(__file__).parents[2] / "corpus" / "token-attacks.jsonl"
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """One line of the corpus."""

    id: str
    description: str
    construct: str
    expected: Literal["allow", "deny"]
    status: int
    error: str = ""
    why: str = ""


@dataclass(frozen=True)
class Attempt:
    """One request of a row.

    ``headers`` are made anew for each time that it is sent. ``reason`` is why it is refused, and
    ``None`` where it is let through. ``differs`` says why it ends otherwise than its row says.
    ``refused_by`` are the HTTP parsers to which it is no request at all.
    ``before`` is done with the gate and its issuer before the request is sent.
    """

    name: str
    headers: Callable[[Stand], Pairs]
    reason: Reason | None = None
    setting: Setting = PLAIN
    differs: str = ""
    status: int | None = None
    error: str | None = None
    refused_by: frozenset[Parser] = frozenset()
    before: Callable[[Stand], None] | None = None
    path: str = "/mcp"
    body: bytes | None = None

    @property
    def is_allowed(self) -> bool:
        return self.reason is None and not self.refused_by


@dataclass(frozen=True)
class Case:
    """A request, and the row that it belongs to."""

    row: Row
    attempt: Attempt

    @property
    def id(self) -> str:
        return f"{self.row.id} {self.row.description}: {self.attempt.name}"


Builder = Callable[[], Iterable[Attempt]]
BUILDERS: dict[str, Builder] = {}


def builds(row_id: str) -> Callable[[Builder], Builder]:
    """Make a function the one that gives the requests of a row."""

    def register(builder: Builder) -> Builder:
        assert row_id not in BUILDERS, f"{row_id} has two builders"
        BUILDERS[row_id] = builder
        return builder

    return register


def read_rows() -> Mapping[str, Row]:
    """Return the rows of the corpus by their ids."""
    rows = [Row(**json.loads(line)) for line in _CORPUS.read_text("utf-8").splitlines()]
    by_id = {row.id: row for row in rows}
    assert len(by_id) == len(rows), "an id stands twice"
    return by_id


def bearer(raw: bytes | str, scheme: str = "Bearer") -> Pairs:
    """Return the header that presents a token."""
    text = raw.decode("latin-1") if isinstance(raw, bytes) else raw
    return [("authorization", f"{scheme} {text}")]


def presents(make: Callable[[], bytes], scheme: str = "Bearer") -> Callable[[Stand], Pairs]:
    """Return what presents the token that ``make`` returns."""
    return lambda _: bearer(make(), scheme)


def says(value: Callable[[], str]) -> Callable[[Stand], Pairs]:
    """Return what sends ``Authorization`` with this value."""
    return lambda _: [("authorization", value())]
