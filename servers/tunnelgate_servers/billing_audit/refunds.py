"""Writing, which this server cannot do: a refund as it would be posted, and the database's refusal of it."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tunnelgate_servers.billing_audit.charges import Charge, Part
from tunnelgate_servers.billing_audit.identifiers import transaction_id
from tunnelgate_servers.billing_audit.money import in_words
from tunnelgate_servers.billing_audit.posting import Line, Posting, post
from tunnelgate_servers.hosting import RequestError, UnavailableError

_PRIMARY_CODE: Final = 0xFF
_READ_ONLY: Final = ("25006", "42501")  # read_only_sql_transaction, insufficient_privilege


def refund(engine: Engine, charge: Charge, *, amount: int, reason: str, now: datetime) -> int:
    """Write a refund of a part of a charge and return its number.

    Raises `RequestError` for more than was paid, and where the database lets `engine` only read, with a
    sentence that says how refunds are made; `UnavailableError` where anything else is wrong with it.
    """
    if amount > charge.paid:
        paid = in_words(charge.paid, charge.currency)
        raise RequestError(f"No more can be refunded than was paid, which is {paid}.")
    posting = Posting(
        posted_at=now,
        kind="refund",
        description=reason,
        reference=charge.reference,
        lines=[Line(charge.account, -amount, reason), *_shares(charge.parts, amount, charge.total)],
        about=charge.transaction,
    )
    try:
        with engine.begin() as connection:
            return post(connection, posting)
    except DBAPIError as error:
        if _is_read_only(error):
            raise RequestError(
                "Nothing was refunded: this server can only read the ledger, and its database refused to "
                "write. People of the billing team make refunds, in the billing system; tell them the charge "
                f"{transaction_id(charge.transaction)}, the amount and the reason."
            ) from error
        raise UnavailableError("The data cannot be read at the moment; try again later.") from error


def _shares(parts: Sequence[Part], amount: int, total: int) -> list[Line]:
    """Return what each part of a charge gives back, in proportion, without losing a minor unit."""
    shares = [amount * part.amount // total for part in parts]
    shares[0] += amount - sum(shares)
    return [
        Line(part.account, share, part.text) for part, share in zip(parts, shares, strict=True) if share != 0
    ]


def _is_read_only(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_READONLY
    return getattr(error.orig, "sqlstate", None) in _READ_ONLY
