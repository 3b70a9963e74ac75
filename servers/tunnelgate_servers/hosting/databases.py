"""The ways to a database: one that can only read, and one for the few places that write.

A URL is one of SQLAlchemy's, `sqlite:///tickets.sqlite` or `postgresql://…`. That a reader does not write
is the database's own rule, and no promise of the code that uses it.
"""

import sqlite3
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from tunnelgate_servers.hosting.errors import OptionsError, UnavailableError

_KINDS: Final = ("sqlite", "postgresql")
_BUSY_SECONDS: Final = 5.0
_READS_THE_FILE: Final = "PRAGMA schema_version"  # which connecting alone does not
_READING: Final = "tunnelgate_reading"
_ENGINE: Final[Mapping[str, Any]] = {
    "hide_parameters": True,  # which are data of people, and would stand in the log with every error
    # A server's tools run in up to 40 threads.
    "poolclass": QueuePool,
    "pool_size": 10,
    "max_overflow": 30,
    "pool_timeout": 10.0,
}
# A role that may write, that could become one that may, or that makes tables, which it would own.
_WRITABLE: Final = """
    SELECT 'the table ' || c.relname FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'f')
    AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    AND (has_table_privilege(c.oid, 'DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
    UNION ALL
    SELECT 'the schema ' || nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')
    UNION ALL
    SELECT 'what the role ' || rolname || ' may write to' FROM pg_roles
    WHERE rolname <> current_user AND pg_has_role(oid, 'MEMBER')
    LIMIT 5
"""


def read_url(value: object) -> URL:
    """Return the URL of a database of one of the two kinds; raises `OptionsError`."""
    if not isinstance(value, str) or not value:
        raise OptionsError("The option database needs a URL such as sqlite:///data.sqlite.")
    try:
        url = make_url(value if value.isprintable() else "")
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise OptionsError("The option database is not a URL such as sqlite:///data.sqlite.") from None
    if url.get_backend_name() not in _KINDS:
        raise OptionsError(f"The option database is for {' and '.join(_KINDS)}, not {url.drivername}.")
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.database in (None, "", ":memory:") or url != URL.create(url.drivername, database=url.database):
        raise OptionsError("The option database has to name a file, and nothing else.")
    return url.set(drivername="sqlite")


def open_reader(url: URL) -> Engine:
    """Return an engine whose connections cannot write.

    A SQLite file is opened with `mode=ro`. In PostgreSQL the role has to be one that can only select, such
    as the SQL of `tunnelgate-servers role` makes; its transactions are read-only besides.
    What is read in one transaction is of one moment, whatever is written meanwhile.
    Raises `OptionsError` for a database that cannot be opened, and for a role that may write.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine("sqlite://", creator=partial(_connect_to_read, url), **_ENGINE)
        event.listen(engine, "begin", _begin)
        with _first_connection(engine, url) as connection:
            connection.exec_driver_sql(_READS_THE_FILE)
        return engine
    options = "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
    engine = _create(url.update_query_dict({"options": options}))
    with _first_connection(engine, url) as connection:
        writable = connection.execute(text(_WRITABLE)).scalars().all()
    if writable:
        engine.dispose()
        raise OptionsError(
            f"The role of the option database may write to {' and '.join(writable)}; "
            "use one that can only select, such as the SQL of `tunnelgate-servers role` makes."
        )
    return engine


def open_writer(url: URL) -> Engine:
    """Return an engine that writes: SQLite's transactions follow one another, and foreign keys hold.

    Raises `OptionsError` for a database that cannot be opened.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, **_ENGINE)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin)
    else:
        engine = _create(url)
    with _first_connection(engine, url) as connection:
        connection.exec_driver_sql(_READS_THE_FILE if url.get_backend_name() == "sqlite" else "SELECT 1")
    return engine


@asynccontextmanager
async def disposing(engine: Engine) -> AsyncGenerator[None]:
    """Close the connections of an engine at the end, as when an application that was served stops."""
    try:
        yield
    finally:
        engine.dispose()


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """Open a connection for reading; raises `UnavailableError` for what goes wrong with the database."""
    try:
        with engine.connect().execution_options(**{_READING: True}) as connection:
            yield connection
    except SQLAlchemyError as error:
        raise UnavailableError("The data cannot be read at the moment; try again later.") from error


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """Open a transaction, which is committed unless the block raises; raises as `reading` does."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise UnavailableError("The data cannot be changed at the moment; try again later.") from error


def _create(url: URL) -> Engine:
    try:
        return create_engine(url, **_ENGINE)
    except ModuleNotFoundError as error:
        raise OptionsError(f"PostgreSQL needs {error.name}: pip install 'tunnelgate[postgres]'.") from error


@contextmanager
def _first_connection(engine: Engine, url: URL) -> Generator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        engine.dispose()
        place = url.set(query={}).render_as_string(hide_password=True)  # a query may have a password too
        reason = " ".join(str(error.orig).split())
        raise OptionsError(f"The database {place} cannot be opened: {reason}.") from error


def _connect_to_read(url: URL) -> sqlite3.Connection:
    file = Path(str(url.database)).absolute().as_uri()
    # Connections go from thread to thread, but are in one at a time.
    connection = sqlite3.connect(
        f"{file}?mode=ro",
        uri=True,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        isolation_level=None,  # as below
    )
    # Other files that it opened could be written to, and VACUUM INTO would copy all there is into one.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    return connection


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # or the driver would begin transactions at a time of its own
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # The driver would begin no transaction to read in, and each statement would see its own moment.
    # One that reads first and then writes would fail where another has written in between.
    is_reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
