"""Texts that a program wrote, shown so that what one reads is all that there is.

A draft could hold characters that show nothing, or that change the order in which others are shown. Each of
them is written as its number.

Specification: Unicode Standard Annex 9 (bidirectional text), Unicode Technical Report 36 section 2
"""

import unicodedata
from collections.abc import Callable
from itertools import groupby
from typing import Final

from markupsafe import Markup, escape

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
# Letters and marks that show nothing: Default_Ignorable_Code_Point of DerivedCoreProperties.txt, as far as
# its categories are others than those above, and the empty pattern of Braille.
_EMPTY: Final = frozenset(
    map(
        chr,
        (
            0x034F,
            *range(0x115F, 0x1161),
            *range(0x17B4, 0x17B6),
            *range(0x180B, 0x1810),
            0x2800,
            0x3164,
            *range(0xFE00, 0xFE10),
            0xFFA0,
            *range(0xE0100, 0xE01F0),
        ),
    )
)


def line(text: str) -> Markup:
    """Return a text of one line as HTML that shows every character of it."""
    return _shown(text, kept=" ")


def paragraphs(text: str) -> Markup:
    """Return a text of several lines, likewise; line ends and tabulators stay what they are."""
    return _shown(text, kept=" \n\t")


def _shown(text: str, *, kept: str) -> Markup:
    is_hidden: Callable[[str], bool] = lambda character: character not in kept and _shows_nothing(character)  # noqa: E731
    parts: list[Markup] = []
    for hidden, run in groupby(text, is_hidden):
        characters = "".join(run)
        parts.append(_numbers(characters) if hidden else escape(characters))
    return Markup().join(parts)


def _shows_nothing(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN or character in _EMPTY


def _numbers(characters: str) -> Markup:
    return Markup('<span class="sign">{}</span>').format(
        " ".join(f"U+{ord(each):04X}" for each in characters)
    )
