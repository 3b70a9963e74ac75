"""Reading: the accounts that a caller may see, each with what is owed on it."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute

from tunnelgate_servers.billing_audit.identifiers import account_id, account_number
from tunnelgate_servers.billing_audit.models import Account, Entry, Transaction
from tunnelgate_servers.billing_audit.places import PLACE
from tunnelgate_servers.billing_audit.redaction import last_four
from tunnelgate_servers.billing_audit.results import AccountEntry, AccountPage, AccountSummary, Money
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.hosting import RequestError, cursor_after, keys_before

UNKNOWN_ACCOUNT: Final = "There is no account with this id among those that the token opens."
"""What is said of an account that does not exist and of one that is somebody else's."""


def total(amounts: ColumnElement[int] | InstrumentedAttribute[int]) -> ColumnElement[int]:
    """Return the sum of amounts, zero for none; PostgreSQL's own would be a decimal number."""
    return cast(func.coalesce(func.sum(amounts), 0), BigInteger)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger as one caller sees it, on one connection: what is not in `rows` is not there."""

    connection: Connection
    rows: Rows

    def accounts(self, cursor: str, limit: int) -> AccountPage:
        """Return a page of accounts by their numbers; raises `RequestError` for a cursor of no page."""
        account = self.rows.accounts()
        query = _with_balance(account).order_by(account.id).limit(limit + 1)
        after = keys_before(cursor, int)
        if after is not None:
            query = query.where(account.id > after[0])
        found = self.connection.execute(query).all()
        page = found[:limit]
        return AccountPage(
            count=self.connection.execute(select(func.count()).select_from(account)).scalar_one(),
            accounts=tuple(AccountEntry(**_fields(row)) for row in page),
            next_cursor=cursor_after(page[-1].id) if len(found) > limit else None,
        )

    def account(self, text: str) -> AccountEntry:
        """Return the account with an id; raises `RequestError` where there is none."""
        return AccountEntry(**_fields(self._found(text)))

    def summary(self, text: str) -> AccountSummary:
        """Return the account with an id and what has happened on it; raises as `account` does."""
        row = self._found(text)
        query = (
            self.entries()
            .with_only_columns(func.count(), func.min(Transaction.posted_at), func.max(Transaction.posted_at))
            .where(Entry.account_id == row.id)
        )
        entries, first, last = self.connection.execute(query).one()
        return AccountSummary(**_fields(row), entries=entries, first_entry_at=first, last_entry_at=last)

    def entries(self) -> "Select[*tuple[Any, ...]]":
        """Return the query of all entries of the accounts, with their transactions, to be narrowed down."""
        account = self.rows.accounts()
        return (
            select(
                *PLACE,
                Transaction.kind,
                Transaction.description,
                Transaction.reference,
                Entry.amount,
                account.id.label("account"),
                account.name.label("holder"),
                account.currency,
            )
            .select_from(Entry)
            .join(Transaction, Transaction.id == Entry.transaction_id)
            .join(account, account.id == Entry.account_id)
        )

    def _found(self, text: str) -> Row[Any]:
        account = self.rows.accounts()
        query = _with_balance(account).where(account.id == account_number(text))
        row = self.connection.execute(query).one_or_none()
        if row is None:
            raise RequestError(UNKNOWN_ACCOUNT)
        return row


def _with_balance(account: type[Account]) -> "Select[*tuple[Any, ...]]":
    balance = select(total(Entry.amount)).where(Entry.account_id == account.id).scalar_subquery()
    return select(
        account.id,
        account.name,
        account.currency,
        account.card_number,
        account.bank_account,
        account.opened_at,
        balance.label("balance"),
    )


def _fields(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": account_id(row.id),
        "holder": row.name,
        "card": None if row.card_number is None else last_four(row.card_number),
        "bank_account": None if row.bank_account is None else last_four(row.bank_account),
        "opened_on": row.opened_at.date(),
        "balance": Money.of(row.balance, row.currency),
    }
