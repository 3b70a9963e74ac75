"""Reading: what a search asks for, and after which hit its page begins."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self, TypeAlias

from tunnelgate_servers.hosting import RequestError, cursor_after, keys_before
from tunnelgate_servers.tickets_draft.identifiers import is_draft_id
from tunnelgate_servers.tickets_draft.records import Priority
from tunnelgate_servers.tickets_draft.words import words_of

Matched: TypeAlias = Literal["all words", "any word"]
"""Whether hits hold all the words, or at least one."""

_MATCHED: Final[dict[str, Matched]] = {"all words": "all words", "any word": "any word"}
_MAX_NUMBER = 2**31 - 1  # what both databases have for an integer


@dataclass(frozen=True, slots=True)
class Place:
    """After which hit a page begins: relevance, time of its last change, and number or id."""

    matched: Matched
    keys: tuple[int, datetime, int | str]

    @property
    def cursor(self) -> str:
        """The cursor that leads here."""
        relevance, at, key = self.keys
        return cursor_after(self.matched, relevance, at.isoformat(), key)

    @classmethod
    def read(cls, cursor: str, kind: type[int] | type[str]) -> Self | None:
        """Return where a cursor leads to, or `None` for the first page; raises `RequestError`."""
        keys = keys_before(cursor, str, int, str, kind)
        if keys is None:
            return None
        matched, relevance, updated_at, key = keys
        at = _time(updated_at)
        is_key = is_draft_id(key) if isinstance(key, str) else 0 < key <= _MAX_NUMBER
        if at is None or not is_key or not 0 <= relevance <= _MAX_NUMBER or matched not in _MATCHED:
            raise RequestError("This cursor is not one of this search; search again without a cursor.")
        return cls(_MATCHED[matched], (relevance, at, key))


def _time(text: str) -> datetime | None:
    """Return the time that a cursor has, or `None` for one in any other form than that of `Place.cursor`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.utcoffset() == timedelta(0) and at.isoformat() == text else None


@dataclass(frozen=True, slots=True)
class Question:
    """The words that are looked for, folded; the priority, if only one is wanted; and where to begin."""

    words: tuple[str, ...]
    priority: Priority | None
    place: Place | None

    @classmethod
    def parse(
        cls, query: str, priority: Priority | Literal["any"], cursor: str, *, kind: type[int] | type[str]
    ) -> Self:
        """Read a question about what is numbered, with `kind` `int`, or named, with `str`.

        Raises `RequestError` for a query that `words_of` refuses, and for a cursor of something else.
        """
        return cls(words_of(query), None if priority == "any" else priority, Place.read(cursor, kind))
