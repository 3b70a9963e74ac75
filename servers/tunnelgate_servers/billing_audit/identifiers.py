"""Reading and writing the ids that callers see: ACC-1001 of an account, TXN-000042 of a transaction."""

import re
from typing import Final

_ACCOUNT: Final = re.compile(r"ACC-([1-9][0-9]{3,10})")
_TRANSACTION: Final = re.compile(r"TXN-([0-9]{6,11})")


def account_id(number: int) -> str:
    """Return the id of an account."""
    return f"ACC-{number}"


def account_number(text: str) -> int | None:
    """Return which account an id names, or `None` where it cannot name one."""
    return _number(_ACCOUNT, text)


def transaction_id(number: int) -> str:
    """Return the id of a transaction."""
    return f"TXN-{number:06}"


def transaction_number(text: str) -> int | None:
    """Return which transaction an id names, or `None` where it cannot name one."""
    return _number(_TRANSACTION, text)


def _number(form: re.Pattern[str], text: str) -> int | None:
    found = form.fullmatch(text)
    return int(found[1]) if found else None
