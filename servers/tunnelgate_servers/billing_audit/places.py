"""Where an entry stands among all: by its time, its transaction, and its position in that."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, cast

from sqlalchemy import ColumnElement, Row, literal, tuple_

from tunnelgate_servers.billing_audit.models import MAX_NUMBER, Entry, Transaction
from tunnelgate_servers.hosting import RequestError, UtcDateTime, cursor_after, keys_before

PLACE: Final = (Transaction.posted_at, Transaction.id, Entry.position)
"""The columns that entries are in the order of."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one entry, which is the last of a page."""

    posted_at: datetime
    transaction: int
    position: int

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Return the place of an entry whose row has the columns of `PLACE`."""
        return cls(row.posted_at, row.id, row.position)

    @classmethod
    def read(cls, cursor: str) -> Self | None:
        """Return the place that a cursor names, or `None` without one; raises `RequestError`."""
        keys = keys_before(cursor, int, int, int)
        if keys is None:
            return None
        microseconds, transaction, position = keys
        try:
            posted_at = _EPOCH + microseconds * _MICROSECOND
        except OverflowError:
            posted_at = None
        if posted_at is None or not 0 <= transaction <= MAX_NUMBER or not 0 <= position <= MAX_NUMBER:
            raise RequestError("This cursor is not one of this server; list again without a cursor.")
        return cls(posted_at, transaction, position)

    @property
    def cursor(self) -> str:
        """The cursor of the page that follows."""
        return cursor_after((self.posted_at - _EPOCH) // _MICROSECOND, self.transaction, self.position)

    @property
    def later(self) -> ColumnElement[bool]:
        """The condition that an entry comes after this one."""
        return cast("ColumnElement[bool]", tuple_(*PLACE) > self._values)

    @property
    def earlier(self) -> ColumnElement[bool]:
        """The condition that an entry comes before this one."""
        return cast("ColumnElement[bool]", tuple_(*PLACE) < self._values)

    @property
    def _values(self) -> Any:
        return tuple_(
            literal(self.posted_at, UtcDateTime()), literal(self.transaction), literal(self.position)
        )
