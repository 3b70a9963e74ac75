"""Reading: the days that a caller asks about, as the first and the last moment of them in UTC."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Self

from tunnelgate_servers.hosting import RequestError

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `first` to `last`, both included; raises `RequestError` unless they are in order."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise RequestError("The dates end before they begin: date_to has to be date_from or later.")

    @classmethod
    def of_month(cls, text: str) -> Self:
        """Return a month such as 2026-03; raises `RequestError` for anything else."""
        found = _MONTH.fullmatch(text)
        if found is None or found[1] == "0000":
            raise RequestError("month: it is no month such as 2026-03.")
        return cls.around(date(int(found[1]), int(found[2]), 1))

    @classmethod
    def around(cls, day: date) -> Self:
        """Return the month that a day is in."""
        return cls(day.replace(day=1), day.replace(day=calendar.monthrange(day.year, day.month)[1]))

    @property
    def begins(self) -> datetime:
        """The first moment."""
        return datetime.combine(self.first, time.min, UTC)

    @property
    def ends(self) -> datetime:
        """The last moment that a database can tell from the next day."""
        return datetime.combine(self.last, time.max, UTC)


def read_days(date_from: str, date_to: str) -> Period | None:
    """Return the days that two optional dates enclose, or `None` where there is neither."""
    if not date_from and not date_to:
        return None
    return Period(
        date.fromisoformat(date_from) if date_from else date.min,
        date.fromisoformat(date_to) if date_to else date.max,
    )


def read_period(month: str, date_from: str, date_to: str, *, today: date) -> Period:
    """Return the period that a caller asks for: a month or days, or else the month of `today`."""
    days = read_days(date_from, date_to)
    if month and days:
        raise RequestError("Give a month, or date_from and date_to, and not both.")
    if month:
        return Period.of_month(month)
    return days or Period.around(today)
