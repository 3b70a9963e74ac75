"""The arguments that tools take: bounded texts, so that schemas say what the tools accept.

An argument that may be left out is an empty text: the SDK would parse that of a `str | None` as JSON.
"""

import unicodedata
from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

MAX_CURSOR_CHARACTERS: Final = 2000
"""The length of the longest cursor, in characters."""

MAX_LINE_CHARACTERS: Final = 500
"""The length of the longest text of one line, in characters."""

_LINES = "\n\t"


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("it holds a control character")
    return text


def _in_lines(text: str) -> str:
    text = text.replace("\r\n", "\n")
    _without_controls("".join(character for character in text if character not in _LINES))
    return text


def _empty_for_null(value: object) -> object:
    return "" if value is None else value


def _iso_date(text: str) -> str:
    if text:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise ValueError("it is no date such as 2026-03-31") from None
        if day.isoformat() != text:
            raise ValueError("it is no date such as 2026-03-31")
    return text


Line = Annotated[str, Field(max_length=MAX_LINE_CHARACTERS), AfterValidator(_without_controls)]
"""A text of one line, without control characters."""

Paragraphs = Annotated[str, AfterValidator(_in_lines)]
"""A text of several lines, with no control characters but tabulators; bound it where it is used."""

OptionalLine = Annotated[
    str,
    BeforeValidator(_empty_for_null),
    Field(max_length=MAX_LINE_CHARACTERS),
    AfterValidator(_without_controls),
]
"""A text of one line that may be left out, which makes it empty."""

OptionalDate = Annotated[
    str, BeforeValidator(_empty_for_null), Field(max_length=10), AfterValidator(_iso_date)
]
"""A day as YYYY-MM-DD (ISO 8601), or empty where it is left out; read it with `date.fromisoformat`."""

Cursor = Annotated[
    str,
    BeforeValidator(_empty_for_null),
    Field(
        max_length=MAX_CURSOR_CHARACTERS,
        description="next_cursor of the page before; leave it out for the first page.",
    ),
]
"""Where a list goes on; empty for its beginning."""
