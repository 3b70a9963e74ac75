"""Amounts of money: integers in minor units, and how they are written.

Specification: ISO 4217
"""

from collections.abc import Mapping
from typing import Final

_USUAL_DECIMALS = 2
_DECIMALS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        (
            *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"),
            *("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"),
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def decimals_of(currency: str) -> int:
    """Return how many decimals a currency has, by its code."""
    return _DECIMALS.get(currency, _USUAL_DECIMALS)


def in_words(amount: int, currency: str) -> str:
    """Return an amount in minor units as people write it, such as `EUR -1,234.50` and `JPY 1,234`."""
    decimals = decimals_of(currency)
    whole, rest = divmod(abs(amount), 10**decimals)
    sign = "-" if amount < 0 else ""
    fraction = f".{rest:0{decimals}}" if decimals else ""
    return f"{currency} {sign}{whole:,}{fraction}"
