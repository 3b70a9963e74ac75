"""Deciding: which parts of a text are numbers of cards and accounts, of which only the last four are shown.

People type such numbers anywhere, with blanks, dashes and dots between the digits, and programs put
characters there that nobody sees. Hidden are: card numbers
(12 to 19 digits with a right check digit), IBANs (of the length that their country has, with right check
digits), and any eight or more digits with nothing but blanks in between, which may be the number of an
account. Dates and the ids of this server are no such numbers. Where it is unclear where a number begins or
ends, everything that may belong to it is hidden.

Specification: ISO/IEC 7812-1 (check digit of cards), ISO 13616 (IBAN)
"""

import re
import unicodedata
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tunnelgate_servers.billing_audit.ibans import MAX_LENGTH, iban_length

_HIDDEN: Final = "••••"
_SHOWN: Final = 4
_CARD_DIGITS: Final = range(12, 20)
_MIN_DIGITS_IN_A_ROW: Final = 8
_MAX_BETWEEN: Final = 3

_DATE_OR_ID: Final = re.compile(
    r"(?<!\d)(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)"
    # An id ends with its digits: with more of them behind a separator, it may be a number that is called ACC.
    r"|\b(?:ACC|TXN)-\d{1,11}(?!\d|[^\w\s,;:]{1,3}\d|\s+\d{3})",
    re.ASCII,
)
_BETWEEN: Final = frozenset("-_./\\'| \u00b7\u2022\u2027\u2043\u2212\u2219\u22c5\u3002\u30fb")
_ALONE: Final = frozenset("+*:~")  # with blanks around them they stand between a number and something else
_BLANK_CATEGORIES: Final = frozenset({"Zs", "Zl", "Zp", "Cc"})
_UNSEEN_CATEGORIES: Final = frozenset({"Cf", "Mn", "Me", "Mc"})
_UNSEEN: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and signs that show nothing

_MAX_IBAN_SPAN: Final = MAX_LENGTH * (1 + _MAX_BETWEEN)
_GAP: Final = rf"[\W_]{{0,{_MAX_BETWEEN}}}"
_BLANKS: Final = rf"[^\w!-/:-@\[-`{{-~]{{0,{_MAX_BETWEEN}}}"
_DIGITS: Final = re.compile(
    rf"(?:\d{_BLANKS}){{{_MIN_DIGITS_IN_A_ROW}}}|(?:\d{_GAP}){{{_CARD_DIGITS.start}}}"
)
_SEVERAL_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]{2,}")
_SEPARATORS: Final = re.compile(r"[\W_]+")
_IBAN_BEGIN: Final = re.compile(rf"([A-Z]){_GAP}([A-Z])(?:{_GAP}\d){{2}}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A letter or digit, as an upper-case one of ASCII, and where it stands in the text."""

    place: int
    plain: str


def redacted(text: str) -> str:
    """Return a text with the numbers of cards and accounts in it shown by their last four characters."""
    if not _may_hold_numbers(text):
        return text
    shown: list[str] = []
    done = 0
    for begin, end in _merged(_numbers(text)):
        shown += text[done:begin], last_four(text[begin:end])
        done = end
    return "".join((*shown, text[done:]))


def last_four(number: str) -> str:
    """Return what is shown of a number of a card or an account."""
    plain = "".join(mark.plain for mark in _marks(number))
    # Of a short one, the last four would be all there is.
    end = plain[-_SHOWN:] if len(plain) > _SHOWN else ""
    return f"{_HIDDEN} {end}".rstrip()


def _may_hold_numbers(text: str) -> bool:
    """Return `False` for most of the texts that hold no number, far sooner than it takes to look for one."""
    plain = _SEVERAL_BLANKS.sub(" ", text if text.isascii() else _decomposed(text))
    return _DIGITS.search(plain) is not None or any(
        iban_length(_SEPARATORS.sub("", plain[found.start() : found.start() + _MAX_IBAN_SPAN]).upper())
        for found in _IBAN_BEGIN.finditer(plain)
    )


def _decomposed(text: str) -> str:
    characters = filter(_is_seen, unicodedata.normalize("NFKD", text))
    return "".join(str(int(each)) if each.isdecimal() else each for each in characters)


def _numbers(text: str) -> Generator[tuple[int, int]]:
    """Yield where the numbers begin and end, in no order and overlapping."""
    for run in _runs(text):
        digits = [mark for mark in run if mark.plain.isdigit()]
        if len(digits) < len(run):
            yield from _ibans(run)
        for part in _runs_of_digits(run):
            yield from _digits_in_a_row(part, text)
            yield from _cards(part)


def _runs(text: str) -> Generator[list[_Mark]]:
    """Yield the stretches of letters and digits in which no more than separators are in between."""
    kept = _DATE_OR_ID.sub(lambda found: "\0" * len(found[0]), text.replace("\0", " "))
    run: list[_Mark] = []
    for mark in _marks(kept):
        if run and not _separates(kept[run[-1].place + 1 : mark.place]):
            yield run
            run = []
        run.append(mark)
    yield run


def _marks(text: str) -> Generator[_Mark]:
    for place, character in enumerate(text):
        plain = character if character.isascii() else unicodedata.normalize("NFKC", character)
        if len(plain) == 1 and plain.isdecimal():
            yield _Mark(place, str(int(plain)))
        elif len(plain) == 1 and plain.isascii() and plain.isalpha():
            yield _Mark(place, plain.upper())


def _separates(between: str) -> bool:
    if not between:
        return True
    shown = _seen(between)
    return "\0" not in between and (
        shown in _ALONE or (len(shown) <= _MAX_BETWEEN and all(map(_is_between, shown)))
    )


def _seen(between: str) -> str:
    """Return what is seen between two characters, with any number of blanks in a row as one."""
    characters = unicodedata.normalize("NFKC", "".join(filter(_is_seen, between)))
    return _SEVERAL_BLANKS.sub(" ", "".join(" " if _is_blank(each) else each for each in characters))


def _is_seen(character: str) -> bool:
    return character not in _UNSEEN and unicodedata.category(character) not in _UNSEEN_CATEGORIES


def _is_blank(character: str) -> bool:
    return unicodedata.category(character) in _BLANK_CATEGORIES


def _is_between(character: str) -> bool:
    return character in _BETWEEN or unicodedata.category(character) == "Pd"


def _runs_of_digits(run: Sequence[_Mark]) -> Generator[list[_Mark]]:
    part: list[_Mark] = []
    for mark in run:
        if mark.plain.isdigit():
            part.append(mark)
        else:
            yield part
            part = []
    yield part


def _digits_in_a_row(digits: Sequence[_Mark], text: str) -> Generator[tuple[int, int]]:
    begin = 0
    breaks = (
        number
        for number, (one, next_) in enumerate(pairwise(digits), 1)
        if _seen(text[one.place + 1 : next_.place]).strip()
    )
    for end in (*breaks, len(digits)):
        if end - begin >= _MIN_DIGITS_IN_A_ROW:
            yield digits[begin].place, digits[end - 1].place + 1
        begin = end


def _cards(digits: Sequence[_Mark]) -> Generator[tuple[int, int]]:
    values = [int(mark.plain) for mark in digits]
    for last in range(_CARD_DIGITS.start - 1, len(values)):
        total = 0
        for length, value in enumerate(reversed(values[: last + 1][-_CARD_DIGITS[-1] :]), 1):
            doubled = value * 2 if length % 2 == 0 else value
            total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - the digits of a sum are added up
            if length in _CARD_DIGITS and total % 10 == 0:
                yield digits[last - length + 1].place, digits[last].place + 1


def _ibans(run: Sequence[_Mark]) -> Generator[tuple[int, int]]:
    plain = "".join(mark.plain for mark in run)
    for begin in range(len(plain)):
        if length := iban_length(plain[begin : begin + MAX_LENGTH]):
            yield run[begin].place, run[begin + length - 1].place + 1


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
