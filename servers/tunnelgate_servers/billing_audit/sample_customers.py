"""Customers that do not exist: their companies, countries, cards and bank accounts, drawn by chance.

The numbers of cards are of the ranges that are made for tests, and the banks have codes that no bank has.
The check digits are right, so that they are recognised like real ones.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

_CARDS: Final = (("424242", 16), ("555555", 16), ("378282", 15), ("601111", 16))
_NAMES: Final = (
    *("Alderbrook", "Birchfield", "Calvena", "Drifthaven", "Elmara", "Fennwick", "Glaslund", "Harrowmere"),
    *("Isenvale", "Juniper Row", "Kestrel Bay", "Larkmoor", "Merivale", "Northquay", "Oakhollow"),
    *("Pellworm", "Quillstone", "Rookhaven", "Silverlode", "Thornbury Lane", "Umberfield", "Vellamo"),
    *("Wrenfold", "Yarrowdale", "Zephyrine"),
)
_TRADES: Final = (
    *("Analytics", "Bakeries", "Ceramics", "Design", "Energy", "Films", "Gardens", "Instruments"),
    *("Logistics", "Mobility", "Optics", "Pharmacies", "Robotics", "Studios", "Textiles", "Timber"),
)


@dataclass(frozen=True, slots=True)
class Country:
    """Where a customer is: the currency, the tax in hundredths of a percent, and how prices are converted.

    A price in euro cents is one of the currency's minor units after `rate`, which is a fraction.
    """

    suffix: str
    currency: str
    tax: int
    rate: tuple[int, int]
    bank: str
    digits: int
    code: str | None = None

    @property
    def tax_text(self) -> str:
        """The tax in words, such as `19 % tax` or `8.1 % tax`."""
        whole, rest = divmod(self.tax, 100)
        return f"{whole}{f'.{rest:02}'.rstrip('0') if rest else ''} % tax"


COUNTRIES: Final[Sequence[Country]] = (
    Country("GmbH", "EUR", 1900, (1, 1), "00000000", 10, "DE"),
    Country("SARL", "EUR", 2000, (1, 1), "0000000000", 13, "FR"),
    Country("K.K.", "JPY", 1000, (16, 10), "", 7),
    Country("W.L.L.", "KWD", 0, (33, 10), "ZZZZ", 22, "KW"),
    Country("Ltd", "GBP", 2000, (85, 100), "ZZZZ000000", 8, "GB"),
    Country("B.V.", "EUR", 2100, (1, 1), "ZZZZ", 10, "NL"),
    Country("Inc.", "USD", 0, (11, 10), "000", 7),
    Country("AG", "CHF", 810, (95, 100), "00000", 12, "CH"),
)
"""Where customers are, so that there are currencies with no, two and three decimals."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who buys something, and how that is paid for."""

    name: str
    country: Country
    card: str | None
    bank_account: str | None


def draw_customer(random: Random, number: int) -> Customer:
    """Return the customer with a number, counted from zero; the first 400 have different names."""
    country = COUNTRIES[number % len(COUNTRIES)]
    name, trade = _NAMES[number % len(_NAMES)], _TRADES[number * 7 % len(_TRADES)]
    pays_by_card = random.randrange(2) == 0
    return Customer(
        name=f"{name} {trade} {country.suffix}",
        country=country,
        card=_card(random) if pays_by_card else None,
        bank_account=None if pays_by_card and random.randrange(2) else _bank_account(random, country),
    )


def _card(random: Random) -> str:
    prefix, length = random.choice(_CARDS)
    number = prefix + _digits(random, length - len(prefix) - 1)
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(number))]
    return f"{number}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def _bank_account(random: Random, country: Country) -> str:
    number = country.bank + _digits(random, country.digits)
    if country.code is None:
        return number
    values = "".join(str(int(character, 36)) for character in f"{number}{country.code}00")
    return f"{country.code}{98 - int(values) % 97:02}{number}"


def _digits(random: Random, count: int) -> str:
    return "".join(random.choices(string.digits, k=count))
