"""The arguments that tools take: bounded texts, so that schemas say what the tools accept.

An argument that may be left out is an empty text: the SDK would parse that of a `str | None` as JSON.
"""

import re
from datetime import date
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

MAX_CURSOR_CHARACTERS: Final = 2000
"""The length of the longest cursor, in characters."""

MAX_LINE_CHARACTERS: Final = 500
"""The length of the longest text of one line, in characters."""

# C1, what turns the direction of the text around it, halves of characters, and tags that nobody sees
_NEVER = "\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f"
_CONTROL = re.compile(f"[\x00-\x1f{_NEVER}]")
_CONTROL_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_NEVER}]")
_SEPARATOR = re.compile("[\u2028\u2029]")


def _without_controls(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("it holds a control character")
    if _SEPARATOR.search(text):
        raise ValueError("it has more than one line")
    return text


def _in_lines(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL_IN_LINES.search(text):
        raise ValueError("it holds a control character")
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
    Field(max_length=MAX_LINE_CHARACTERS),
    AfterValidator(_without_controls),
    BeforeValidator(_empty_for_null),
]
"""A text of one line that may be left out, which makes it empty."""

OptionalDate = Annotated[
    str, Field(max_length=10), AfterValidator(_iso_date), BeforeValidator(_empty_for_null)
]
"""A day as YYYY-MM-DD (ISO 8601), or empty where it is left out; read it with `date.fromisoformat`."""

Cursor = Annotated[
    str,
    Field(
        max_length=MAX_CURSOR_CHARACTERS,
        description="next_cursor of the page before; leave it out for the first page.",
    ),
    BeforeValidator(_empty_for_null),
]
"""Where a list goes on; empty for its beginning."""
