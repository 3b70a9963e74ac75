"""What the tools take, and which question to the ledger each of them is."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import AfterValidator, Field, JsonValue
from sqlalchemy import Engine

from tunnelgate_servers.billing_audit.charges import read_charge
from tunnelgate_servers.billing_audit.explaining import explained
from tunnelgate_servers.billing_audit.identifiers import transaction_id
from tunnelgate_servers.billing_audit.ledger import Ledger
from tunnelgate_servers.billing_audit.models import MAX_AMOUNT
from tunnelgate_servers.billing_audit.periods import read_days, read_period
from tunnelgate_servers.billing_audit.refunds import refund
from tunnelgate_servers.billing_audit.results import (
    AccountPage,
    ChargeExplanation,
    Money,
    Refund,
    Statement,
    TransactionPage,
)
from tunnelgate_servers.billing_audit.rows import Rows
from tunnelgate_servers.billing_audit.search import Wanted, search
from tunnelgate_servers.billing_audit.statements import read_statement
from tunnelgate_servers.hosting import (
    READING,
    Cursor,
    Line,
    OptionalDate,
    OptionalLine,
    Tool,
    Toolset,
    caller_of,
    reading,
)

READ: Final = "billing:read"
"""The scope of everything that reads."""

_REFUND: Final = "billing:refund"
_REFUNDING: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
)
_MAX_WORDS: Final = 10


def _not_too_large(amount: int) -> int:
    if amount > MAX_AMOUNT:
        raise ValueError("no amount here is that large")
    return amount


AccountId = Annotated[Line, Field(description="The id of an account, such as ACC-1001.")]
ChargeId = Annotated[Line, Field(description="The id of a charge, such as TXN-000042.")]
PageSize = Annotated[int, Field(strict=True, ge=1, le=100, description="How many to return.")]
# With the largest amount in it, the sentence of an error would seem to hold the number of an account.
_LARGEST: Final[dict[str, JsonValue]] = {"maximum": MAX_AMOUNT}
Amount = Annotated[int, Field(strict=True, ge=0, json_schema_extra=_LARGEST), AfterValidator(_not_too_large)]


class BillingTools:
    """The tools of one ledger; `clock` returns a time that is aware of its time zone."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def toolset(self) -> Toolset:
        """Return the tools in the order in which they are listed."""
        return Toolset(
            [
                Tool(self.list_accounts, "List the accounts", [READ], READING),
                Tool(self.read_statement, "Read a statement", [READ], READING),
                Tool(self.search_transactions, "Search the transactions", [READ], READING),
                Tool(self.explain_charge, "Explain a charge", [READ], READING),
                Tool(self.refund_charge, "Refund a charge", [_REFUND], _REFUNDING),
            ],
            resources=[READ],
        )

    def list_accounts(
        self, context: Context[Any, Any], limit: PageSize = 50, cursor: Cursor = ""
    ) -> AccountPage:
        """List the customers' accounts that the token opens, with what is owed on each, page by page."""
        with self._ledger(context) as ledger:
            return ledger.accounts(cursor, limit)

    def read_statement(
        self,
        context: Context[Any, Any],
        *,
        account: AccountId,
        month: Annotated[
            OptionalLine,
            Field(description="A month such as 2026-03; leave it and the dates out for the current month."),
        ] = "",
        date_from: Annotated[
            OptionalDate, Field(description="The first day, as YYYY-MM-DD in UTC, instead of a month.")
        ] = "",
        date_to: Annotated[OptionalDate, Field(description="The last day, which is included.")] = "",
        limit: PageSize = 50,
        cursor: Cursor = "",
    ) -> Statement:
        """Read the statement of an account in a month or between two days, page by page.

        It has the opening balance, every entry with the balance after it, and the closing balance. Positive
        amounts add to what the customer owes, negative ones take from it. All are integers in minor units,
        with a text beside. Give the same account and period with a cursor.
        """
        period = read_period(month, date_from, date_to, today=self._clock().date())
        with self._ledger(context) as ledger:
            return read_statement(ledger, account, period, cursor=cursor, limit=limit)

    def search_transactions(
        self,
        context: Context[Any, Any],
        *,
        words: Annotated[
            OptionalLine,
            Field(description="All have to be in the description, the reference or the holder's name."),
        ] = "",
        account: Annotated[
            OptionalLine, Field(description="Only this account; leave it out for all that the token opens.")
        ] = "",
        kind: Annotated[
            Literal["any", "charge", "payment", "refund", "fee", "tax", "adjustment"],
            Field(description="Only transactions of this kind."),
        ] = "any",
        date_from: Annotated[
            OptionalDate, Field(description="Only from this day on, as YYYY-MM-DD in UTC.")
        ] = "",
        date_to: Annotated[OptionalDate, Field(description="Only up to this day, which is included.")] = "",
        min_amount: Annotated[
            Amount | None,
            Field(description="Only amounts of at least this, in minor units and without their sign."),
        ] = None,
        max_amount: Annotated[
            Amount | None,
            Field(description="Only amounts of at most this, in minor units and without their sign."),
        ] = None,
        limit: PageSize = 20,
        cursor: Cursor = "",
    ) -> TransactionPage:
        """Search what happened on the accounts, newest first, page by page; every condition has to hold.

        Words are plain: parts of words are found, without regard to case, and there are no operators. Numbers
        of cards and bank accounts are not in what is searched. With a cursor, give the same conditions again.
        """
        wanted = Wanted(
            words=words.casefold().split()[:_MAX_WORDS],
            period=read_days(date_from, date_to),
            min_amount=min_amount,
            max_amount=max_amount,
            kind=None if kind == "any" else kind,
            account=account,
        )
        with self._ledger(context) as ledger:
            return search(ledger, wanted, cursor=cursor, limit=limit)

    def explain_charge(self, context: Context[Any, Any], charge: ChargeId) -> ChargeExplanation:
        """Explain a charge: what it consists of, its tax, what was paid and refunded, and what is still owed.

        Find the ids of charges with search_transactions, kind charge, or in a statement.
        """
        with self._ledger(context) as ledger:
            return explained(read_charge(ledger, charge))

    def refund_charge(
        self,
        context: Context[Any, Any],
        charge: ChargeId,
        amount: Annotated[
            int,
            Field(strict=True, ge=1, json_schema_extra=_LARGEST, description="How much, in minor units."),
            AfterValidator(_not_too_large),
        ],
        reason: Annotated[Line, Field(min_length=1, description="Why, in a few words.")],
    ) -> Refund:
        """Refund a charge that was paid, in whole or in part.

        This server reads the ledger and its database lets it write nothing, so a person has to make refunds.
        """
        with self._ledger(context) as ledger:
            found = read_charge(ledger, charge)
        number = refund(self._engine, found, amount=amount, reason=reason, now=self._clock())
        return Refund(
            transaction=transaction_id(number),
            charge=transaction_id(found.transaction),
            amount=Money.of(amount, found.currency),
        )

    @contextmanager
    def _ledger(self, context: Context[Any, Any]) -> Generator[Ledger]:
        rows = Rows.of(caller_of(context))
        with reading(self._engine) as connection:
            yield Ledger(connection, rows)
