"""A ledger that a test fills, and a server that reads it."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, insert, text
from sqlalchemy.engine import make_url

from tests.servers.serving import own_check_options, served, token
from tests.support.postgres import Databases
from tunnelgate_servers.billing_audit import PACKAGE, create_app
from tunnelgate_servers.billing_audit.models import Account
from tunnelgate_servers.billing_audit.posting import Line, Posting, post
from tunnelgate_servers.hosting import migrate, open_writer, read_url

NOW: Final = datetime(2026, 3, 20, 12, tzinfo=UTC)
"""What the clock of the server says."""

OWN: Final = ("revenue", "fees", "tax", "cash", "disputes", "losses")
CURRENCIES: Final = ("EUR", "JPY", "KWD")


def on(day: str, hour: int = 12) -> datetime:
    """Return an hour of a day."""
    return datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00")


def own(kind: str, currency: str = "EUR") -> int:
    """Return the number of an account of the company."""
    return 1 + OWN.index(kind) + 10 * CURRENCIES.index(currency)


@dataclass
class Books:
    """The ledger: who owns it in the database, and who reads it there."""

    engine: Engine
    reader_url: str
    folder: Path
    _accounts: Iterator[int] = field(default_factory=lambda: count(1001))

    def customer(
        self,
        name: str = "Oakhollow Ceramics Inc.",
        currency: str = "EUR",
        *,
        number: int | None = None,
        card: str | None = None,
        bank_account: str | None = None,
    ) -> int:
        """Add an account of a customer, and return its number."""
        number = next(self._accounts) if number is None else number
        self.add_account(number, "customer", name, currency, card_number=card, bank_account=bank_account)
        return number

    def add_account(self, number: int, kind: str, name: str, currency: str, **columns: Any) -> None:
        """Add any account."""
        row = {"id": number, "kind": kind, "name": name, "currency": currency, "opened_at": on("2026-01-01")}
        with self.engine.begin() as connection:
            connection.execute(insert(Account), {**row, **columns})

    def post(
        self,
        kind: str,
        *lines: tuple[int, int] | tuple[int, int, str],
        when: datetime = NOW,
        description: str = "Something",
        reference: str = "REF-1",
        about: int | None = None,
    ) -> int:
        """Write a transaction, and return its number."""
        entries = [
            Line(line[0], line[1]) if len(line) == 2 else Line(line[0], line[1], line[2]) for line in lines
        ]
        with self.engine.begin() as connection:
            return post(connection, Posting(when, kind, description, reference, entries, about))

    def move(self, kind: str, account: int, amount: int, other: str, **said: Any) -> int:
        """Write a transaction of two entries, between a customer and an account in euros of the company."""
        return self.post(kind, (account, amount, "Entry"), (own(other), -amount, "Entry"), **said)

    def execute(self, sql: str, **values: Any) -> None:
        """Run SQL in a transaction, as the owner of the database."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)

    def everything(self) -> list[Sequence[Any]]:
        """Return all that is in the tables."""
        with self.engine.connect() as connection:
            return [
                row
                for table, key in (("accounts", "id"), ("transactions", "id"), ("entries", "1, 2"))
                for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY {key}"))
            ]

    @contextmanager
    def served(self, **options: Any) -> Generator[str]:
        """Serve the ledger with the server's own bearer check, and yield the URL."""
        check = own_check_options(self.folder)
        with served(create_app(database=self.reader_url, clock=lambda: NOW, **check, **options)) as url:
            yield url


@contextmanager
def new_books(databases: Databases, folder: Path) -> Generator[Books]:
    """Yield a ledger with nothing in it but the accounts of the company."""
    url = databases.new()
    engine = open_writer(read_url(url))
    try:
        migrate(engine, PACKAGE)
        books = Books(engine, databases.reader(url, "billing-audit"), folder)
        for currency in CURRENCIES:
            for kind in OWN:
                books.add_account(own(kind, currency), kind, f"{kind}, {currency}", currency)
        yield books
    finally:
        engine.dispose()


def reading_token(accounts: Any = "*", *scopes: str) -> str:
    """Return a token that opens accounts."""
    return token("billing:read", *scopes, claims={"accounts": accounts})


def backend(books: Books) -> str:
    """Return the name of the kind of database."""
    return make_url(books.engine.url).get_backend_name()
