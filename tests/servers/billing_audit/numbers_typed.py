"""Numbers of cards and accounts by chance, in the manners in which people type them."""

from typing import Final

from hypothesis import strategies as st

IBANS: Final = {
    "NO": 15, "BE": 16, "DK": 18, "AT": 20, "CH": 21, "DE": 22, "GB": 22, "SA": 24, "TR": 26,
    "FR": 27, "PL": 28, "BR": 29, "KW": 30, "MT": 31, "LC": 32, "RU": 33,
}  # fmt: skip
"""The lengths of some countries' IBANs, which are in the registry of ISO 13616."""

_SEPARATORS: Final = (" ", "-", ".", "\u00a0", "\u2009", "\u2013", " - ")


def with_check_digit(digits: str) -> str:
    """Return the number of a card, whose last digit makes it right (Luhn)."""
    for last in "0123456789":
        values = [int(digit) for digit in reversed(digits + last)]
        doubled = [sum(divmod(value * 2, 10)) for value in values[1::2]]
        if (sum(values[::2]) + sum(doubled)) % 10 == 0:
            return digits + last
    raise AssertionError(digits)


def iban(country: str, rest: str) -> str:
    """Return the IBAN with the right check digits."""
    for check in range(2, 99):
        turned = f"{rest}{country}{check:02}"
        if int("".join(str(int(character, 36)) for character in turned)) % 97 == 1:
            return f"{country}{check:02}{rest}"
    raise AssertionError(rest)


@st.composite
def cards(draw: st.DrawFn) -> str:
    """Draw numbers of cards, of all lengths and of all networks."""
    length = draw(st.integers(11, 18))
    digits = draw(st.text("0123456789", min_size=length, max_size=length))
    return with_check_digit(draw(st.sampled_from("3456")) + digits[1:])


@st.composite
def ibans(draw: st.DrawFn) -> str:
    """Draw IBANs, of digits only or with letters."""
    country, length = draw(st.sampled_from(sorted(IBANS.items())))
    alphabet = draw(st.sampled_from(["0123456789", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"]))
    return iban(country, draw(st.text(alphabet, min_size=length - 4, max_size=length - 4)))


@st.composite
def typed(draw: st.DrawFn, numbers: st.SearchStrategy[str]) -> tuple[str, str]:
    """Draw a number and how somebody typed it: whole, in groups, in small letters, in wide digits."""
    number = draw(numbers)
    group = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 40]))
    separator = draw(st.sampled_from(_SEPARATORS))
    text = separator.join(number[place : place + group] for place in range(0, len(number), group))
    if draw(st.booleans()):
        text = text.lower()
    if draw(st.booleans()):
        text = text.translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})
    return number, text


def plain(text: str) -> str:
    """Return the letters and digits of a text, in which a number shows however it was typed."""
    wide = {0xFF10 + digit: str(digit) for digit in range(10)}
    return "".join(character for character in text.translate(wide).upper() if character.isalnum())
