"""The ways to a database: what a reader can and cannot, and what writers do to one another."""

import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.support.postgres import Databases
from tests.support.processes import free_port
from tunnelgate_servers.hosting import (
    OptionsError,
    RequestError,
    UnavailableError,
    open_reader,
    open_writer,
    read_url,
    reading,
    writing,
)

SECRET = "s3cr3t-of-the-database"
NO_URL = "is not a URL such as sqlite:///data.sqlite"
ONLY_A_FILE = "has to name a file, and nothing else"
LIMIT = 30  # seconds that threads may take


@contextmanager
def opened(engine: Engine) -> Generator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


def make_notes(url: str) -> None:
    """Make two tables as the owner of a database, with one note."""
    with opened(open_writer(read_url(url))) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id integer PRIMARY KEY, said varchar(40))"))
        connection.execute(text("CREATE TABLE marks (note integer REFERENCES notes (id))"))
        connection.execute(text("INSERT INTO notes VALUES (1, 'first')"))


def notes(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT said FROM notes ORDER BY id")).scalars())


@pytest.fixture
def url(databases: Databases) -> str:
    """Return the URL of a database with notes in it, for its owner."""
    url = databases.new()
    make_notes(url)
    return url


@pytest.fixture
def reader(databases: Databases) -> Generator[Engine]:
    """Give a reader of a database with notes in it, which were made after the role was."""
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    make_notes(url)
    with opened(open_reader(read_url(to_read))) as engine:
        yield engine


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "needs a URL such as sqlite:///data.sqlite", id="nothing"),
        pytest.param(7, "needs a URL such as sqlite:///data.sqlite", id="a number"),
        pytest.param("", "needs a URL such as sqlite:///data.sqlite", id="an empty text"),
        pytest.param("data.sqlite", NO_URL, id="a path"),
        pytest.param("postgresql://host:port/data", NO_URL, id="a port that is no number"),
        pytest.param("sqlite:///data\0.sqlite", NO_URL, id="a NUL"),
        pytest.param("sqlite:///data\udc80.sqlite", NO_URL, id="a lone surrogate"),
        pytest.param("mysql://host/data", "is for sqlite and postgresql, not mysql", id="another kind"),
        pytest.param("sqlite://", ONLY_A_FILE, id="a SQLite database without a file"),
        pytest.param("sqlite:///:memory:", ONLY_A_FILE, id="a SQLite database in memory"),
        pytest.param("sqlite:///data.sqlite?mode=rwc", ONLY_A_FILE, id="a mode for SQLite"),
        pytest.param("sqlite://host/data.sqlite", ONLY_A_FILE, id="a host for SQLite"),
        pytest.param(f"sqlite://user:{SECRET}@/data.sqlite", ONLY_A_FILE, id="a password for SQLite"),
    ],
)
def test_what_is_no_url_of_a_database_is_one_sentence(value: object, reason: str) -> None:
    with pytest.raises(OptionsError) as raised:
        read_url(value)

    assert str(raised.value) == f"The option database {reason}."


@pytest.mark.parametrize(
    ("value", "driver"),
    [
        pytest.param("postgresql://host/data", "postgresql+psycopg", id="PostgreSQL"),
        pytest.param("postgresql+asyncpg://host/data", "postgresql+psycopg", id="PostgreSQL by another"),
        pytest.param("sqlite:///data.sqlite", "sqlite", id="SQLite"),
        pytest.param("sqlite+aiosqlite:///data.sqlite", "sqlite", id="SQLite by another"),
    ],
)
def test_the_driver_is_the_one_that_the_servers_know(value: str, driver: str) -> None:
    assert read_url(value).drivername == driver


def test_a_reader_reads_what_was_written(reader: Engine) -> None:
    assert notes(reader) == ["first"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO notes VALUES (2, 'second')",
        "UPDATE notes SET said = 'changed'",
        "DELETE FROM notes",
        "CREATE TABLE more (id integer)",
        "CREATE INDEX by_what_was_said ON notes (said)",
        "CREATE VIEW all_notes AS SELECT * FROM notes",
        "ALTER TABLE notes ADD COLUMN more integer",
        "DROP TABLE marks",
    ],
)
@pytest.mark.promise("readers-cannot-write")
def test_the_database_refuses_what_a_reader_would_write(reader: Engine, statement: str) -> None:
    with reader.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(text(statement))

    assert re.search("readonly|read-only|permission denied|must be owner", str(raised.value.orig))
    assert notes(reader) == ["first"]


@pytest.mark.parametrize("at_once", [1, 41], ids=["one connection", "more than the pool has"])
def test_connections_are_shared_by_threads(reader: Engine, at_once: int) -> None:
    found: list[list[str]] = []
    start = threading.Barrier(at_once)

    def read() -> None:
        start.wait(LIMIT)
        with reading(reader) as connection:
            found.append(list(connection.execute(text("SELECT said FROM notes")).scalars()))

    in_threads(read, at_once)

    assert found == [["first"]] * at_once


def in_threads(function: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)


def test_whatever_goes_wrong_with_the_database_while_reading_is_one_sentence(reader: Engine) -> None:
    with pytest.raises(UnavailableError) as raised, reading(reader) as connection:
        connection.execute(text("SELECT secret_column FROM notes"))

    assert str(raised.value) == "The data cannot be read at the moment; try again later."
    assert notes(reader) == ["first"]


def test_what_a_tool_says_while_reading_is_passed_on(reader: Engine) -> None:
    with pytest.raises(RequestError, match="There is none"), reading(reader):
        raise RequestError("There is none.")


def test_a_writer_commits_all_or_nothing(url: str) -> None:
    with opened(open_writer(read_url(url))) as engine:
        add_one = text("INSERT INTO notes VALUES (2, 'second')")
        with pytest.raises(IntegrityError), engine.begin() as connection:  # noqa: PT012 - what came before is undone
            connection.execute(add_one)
            connection.execute(text("INSERT INTO notes VALUES (1, 'the same again')"))
        after_failing = notes(engine)
        with engine.begin() as connection:
            connection.execute(add_one)

        assert (after_failing, notes(engine)) == (["first"], ["first", "second"])


def test_foreign_keys_hold(url: str) -> None:
    with opened(open_writer(read_url(url))) as engine:
        for _ in range(2):
            with pytest.raises(IntegrityError), engine.begin() as connection:
                connection.execute(text("INSERT INTO marks VALUES (99)"))


def test_writers_that_read_first_and_then_write_lose_nothing(url: str) -> None:
    at_once = 20
    start = threading.Barrier(at_once)

    with opened(open_writer(read_url(url))) as engine:

        def add() -> None:
            start.wait(LIMIT)
            with engine.begin() as connection:
                # As the servers do it: PostgreSQL is told that the row is going to be changed.
                lock = "" if engine.dialect.name == "sqlite" else " FOR UPDATE"
                said = connection.execute(text(f"SELECT said FROM notes{lock}")).scalar_one()
                connection.execute(text("UPDATE notes SET said = :said"), {"said": f"{said}+"})

        in_threads(add, at_once)

        assert notes(engine) == ["first" + "+" * at_once]


def test_writing_commits_what_is_written_unless_the_block_raises(url: str) -> None:
    add_one = text("INSERT INTO notes VALUES (2, 'second')")
    with opened(open_writer(read_url(url))) as engine:
        with pytest.raises(RequestError, match="Not so"), writing(engine) as connection:  # noqa: PT012 - what came before is undone
            connection.execute(add_one)
            raise RequestError("Not so.")
        after_raising = notes(engine)
        with writing(engine) as connection:
            connection.execute(add_one)

        assert (after_raising, notes(engine)) == (["first"], ["first", "second"])


def test_whatever_goes_wrong_while_writing_is_one_sentence_and_the_log_has_no_data(url: str) -> None:
    add_one = text("INSERT INTO notes VALUES (2, :said)")
    with opened(open_writer(read_url(url))) as engine:
        with pytest.raises(UnavailableError) as raised, writing(engine) as connection:
            connection.execute(text("SELECT :said FROM nothing_of_this_name"), {"said": "what somebody said"})

        assert str(raised.value) == "The data cannot be changed at the moment; try again later."
        assert isinstance(raised.value.__cause__, DBAPIError)
        assert "what somebody said" not in str(raised.value.__cause__)
        with writing(engine) as connection:
            connection.execute(add_one, {"said": "second"})
        assert notes(engine) == ["first", "second"]


def test_whoever_only_reads_does_not_wait_for_somebody_who_writes(url: str) -> None:
    with opened(open_writer(read_url(url))) as engine:
        with writing(engine) as writer:
            writer.execute(text("UPDATE notes SET said = 'changed'"))
            with reading(engine) as reader:
                before = reader.execute(text("SELECT said FROM notes")).scalars().all()

        assert (before, notes(engine)) == (["first"], ["changed"])


def test_what_is_read_in_one_transaction_is_of_one_moment(databases: Databases) -> None:
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    make_notes(url)
    said = text("SELECT said FROM notes")
    with opened(open_writer(read_url(url))) as writer, opened(open_reader(read_url(to_read))) as reader:

        def change() -> None:
            with writing(writer) as connection:
                connection.execute(text("UPDATE notes SET said = 'changed'"))

        thread = threading.Thread(target=change)
        with reading(reader) as connection:
            found = [connection.execute(said).scalar_one()]
            thread.start()
            thread.join(0.5)  # which a SQLite file makes wait until the reader is done
            found.append(connection.execute(said).scalar_one())
        thread.join(LIMIT)

        assert found == ["first", "first"]
        assert notes(reader) == ["changed"]


def test_a_reader_sees_nothing_of_a_change_that_is_not_committed(databases: Databases) -> None:
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    make_notes(url)
    with opened(open_writer(read_url(url))) as writer, opened(open_reader(read_url(to_read))) as reader:
        with writer.begin() as connection:
            connection.execute(text("UPDATE notes SET said = 'changed'"))
            before = notes(reader)

        assert (before, notes(reader)) == (["first"], ["changed"])


@pytest.mark.parametrize("open_engine", [open_reader, open_writer])
@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(f"user:{SECRET}@HOST/data", id="a password before the host"),
        pytest.param(f"user@HOST/data?password={SECRET}", id="a password in the query"),
    ],
)
def test_a_server_that_is_not_there_is_one_sentence_without_its_password(
    open_engine: Callable[[Any], Engine], credentials: str
) -> None:
    url = read_url(f"postgresql://{credentials}".replace("HOST", f"127.0.0.1:{free_port()}"))

    with pytest.raises(OptionsError) as raised:
        open_engine(url)

    assert "cannot be opened: connection failed" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("missing.sqlite", "unable to open database file", id="a file that is not there"),
        pytest.param("text.sqlite", "file is not a database", id="a file that is no database"),
        pytest.param("folder", "(disk I/O error|unable to open database file)", id="a folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "text.sqlite").write_text("Not a database, but long enough to be one. " * 100, "utf-8")
    (tmp_path / "folder").mkdir()

    with pytest.raises(OptionsError) as raised:
        open_reader(read_url(f"sqlite:///{tmp_path / name}"))

    place = re.escape(f"sqlite:///{tmp_path / name}")
    assert re.fullmatch(f"The database {place} cannot be opened: {reason}.", str(raised.value))
    assert not (tmp_path / "missing.sqlite").exists()


@pytest.mark.parametrize("name", ["text.sqlite", "folder", "missing/data.sqlite"])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.sqlite").write_text("Not a database, but long enough to be one. " * 100, "utf-8")
    (tmp_path / "folder").mkdir()

    with pytest.raises(OptionsError, match=r"The database .* cannot be opened: [^\n]+\."):
        open_writer(read_url(f"sqlite:///{tmp_path / name}"))


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "50%.sqlite", "a#b.sqlite", "a?mode=rwc&b.sqlite", "ä.sqlite"]
)
def test_a_reader_opens_exactly_the_file_that_is_named(tmp_path: Path, name: str) -> None:
    with sqlite3.connect(tmp_path / name) as connection:
        connection.execute("CREATE TABLE notes (id integer, said text)")
        connection.execute("INSERT INTO notes VALUES (1, 'here')")
    connection.close()
    url = read_url("sqlite:///data.sqlite").set(database=str(tmp_path / name))

    with opened(open_reader(url)) as engine:
        assert notes(engine) == ["here"]
        with engine.connect() as reader, pytest.raises(DBAPIError, match="readonly"):
            reader.execute(text("DELETE FROM notes"))

    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "statement",
    ["ATTACH DATABASE '{other}' AS other", "VACUUM INTO '{other}'"],
    ids=["ATTACH", "VACUUM INTO"],
)
@pytest.mark.promise("readers-cannot-write")
def test_a_reader_of_a_file_opens_no_other(tmp_path: Path, statement: str) -> None:
    file, other = tmp_path / "data.sqlite", tmp_path / "other.sqlite"
    make_notes(f"sqlite:///{file}")

    with (
        opened(open_reader(read_url(f"sqlite:///{file}"))) as engine,
        # In no transaction, in which nothing can be attached whatever the connection may do.
        closing(engine.raw_connection()) as connection,
        pytest.raises(sqlite3.OperationalError, match="too many attached databases"),
    ):
        connection.cursor().execute(statement.format(other=other))

    assert not other.exists()


def test_a_driver_that_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(OptionsError) as raised:
        open_writer(read_url("postgresql://host/data"))

    assert str(raised.value) == "PostgreSQL needs psycopg: pip install 'tunnelgate[postgres]'."
