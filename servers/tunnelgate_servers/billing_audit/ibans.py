"""Deciding: whether letters and digits begin with an IBAN.

Specification: ISO 13616, and the lengths in its registry
"""

from collections.abc import Mapping
from typing import Final

_LENGTHS: Final[Mapping[str, int]] = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
MAX_LENGTH: Final = max(_LENGTHS.values())
"""The length of the longest IBAN."""


def iban_length(text: str) -> int:
    """Return how long the IBAN is that upper-case letters and digits begin with, or 0 where there is none."""
    length = _LENGTHS.get(text[:2], 0)
    if length == 0 or len(text) < length or not text[2:4].isdigit():
        return 0
    turned = text[4:length] + text[:4]
    is_right = turned.isascii() and int("".join(str(int(each, 36)) for each in turned)) % 97 == 1
    return length if is_right else 0
