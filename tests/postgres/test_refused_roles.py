"""Readers take only roles that cannot write, and live through what happens to their connections."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import LiteralString

import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL, make_url

from tests.support.postgres import HOST, Postgres, PostgresDatabases, connect
from tunnelgate_servers.hosting import (
    OptionsError,
    UnavailableError,
    open_reader,
    open_writer,
    read_url,
    reading,
)

UNAVAILABLE = "The data cannot be read at the moment; try again later."


@contextmanager
def opened(engine: Engine) -> Generator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        number: int = connection.execute(text("SELECT count(*) FROM notes")).scalar_one()
        return number


@pytest.fixture
def urls(databases: PostgresDatabases) -> tuple[str, str]:
    """Return the URLs of a database with a table, for its owner and for a role that reads it."""
    owner = databases.new()
    reader = databases.reader(owner, "billing-audit")
    with connect(owner) as connection:
        connection.execute("CREATE TABLE notes (id integer, said text)")
        connection.execute("CREATE VIEW all_notes AS SELECT * FROM notes")
        connection.execute("CREATE SCHEMA elsewhere CREATE TABLE others (id integer)")
    return owner, reader


def test_the_role_of_the_shipped_sql_is_taken(urls: tuple[str, str]) -> None:
    with opened(open_reader(read_url(urls[1]))) as engine:
        assert count(engine) == 0


@pytest.mark.parametrize(
    ("right", "named"),
    [
        pytest.param("GRANT INSERT ON notes TO {reader}", "the table notes", id="INSERT"),
        pytest.param("GRANT UPDATE ON notes TO {reader}", "the table notes", id="UPDATE"),
        pytest.param("GRANT DELETE ON notes TO {reader}", "the table notes", id="DELETE"),
        pytest.param("GRANT TRUNCATE ON notes TO {reader}", "the table notes", id="TRUNCATE"),
        pytest.param("GRANT UPDATE (said) ON notes TO {reader}", "the table notes", id="UPDATE of a column"),
        pytest.param("GRANT INSERT (said) ON notes TO {reader}", "the table notes", id="INSERT of a column"),
        pytest.param("GRANT DELETE ON notes TO PUBLIC", "the table notes", id="DELETE by everybody"),
        pytest.param("GRANT UPDATE ON all_notes TO {reader}", "the table all_notes", id="a view"),
        pytest.param("GRANT UPDATE ON elsewhere.others TO {reader}", "the table others", id="another schema"),
        pytest.param("GRANT CREATE ON SCHEMA public TO {reader}", "the schema public", id="its own tables"),
        pytest.param(
            "GRANT {owner} TO {reader}", "what the role {owner} may write to", id="the owner's role"
        ),
    ],
)
def test_a_role_that_may_write_somewhere_is_refused_with_a_sentence(
    urls: tuple[str, str], postgres: Postgres, right: LiteralString, named: str
) -> None:
    owner, reader = (str(make_url(url).username) for url in urls)
    names = {"owner": sql.Identifier(owner), "reader": sql.Identifier(reader)}
    postgres.execute(sql.SQL(right).format(**names), str(make_url(urls[0]).database))

    with pytest.raises(OptionsError) as raised:
        open_reader(read_url(urls[1]))

    assert named.format(owner=owner) in str(raised.value)
    assert str(raised.value).startswith("The role of the option database may write to ")
    assert str(raised.value).endswith(
        "; use one that can only select, such as the SQL of `tunnelgate-servers role` makes."
    )


def test_the_owner_is_refused(urls: tuple[str, str]) -> None:
    with pytest.raises(OptionsError, match="may write to the table notes"):
        open_reader(read_url(urls[0]))


def test_the_owner_is_refused_even_before_there_is_a_table(databases: PostgresDatabases) -> None:
    with pytest.raises(OptionsError, match="may write to the schema public"):
        open_reader(read_url(databases.new()))


def test_a_superuser_is_refused(databases: PostgresDatabases, postgres: Postgres) -> None:
    database = make_url(databases.new()).database
    url = URL.create("postgresql", "postgres", postgres.password, HOST, postgres.port, database)

    with pytest.raises(OptionsError, match="may write to the schema "):
        open_reader(read_url(url.render_as_string(hide_password=False)))


def test_a_wrong_password_is_one_sentence_without_any(urls: tuple[str, str]) -> None:
    right = str(make_url(urls[1]).password)
    url = make_url(urls[1]).set(password="wr0ng-one").render_as_string(hide_password=False)

    with pytest.raises(OptionsError) as raised:
        open_reader(read_url(url))

    assert "password authentication failed" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "wr0ng-one" not in str(raised.value)
    assert right not in str(raised.value)


@pytest.mark.parametrize("at", [0, 1], ids=["the writer", "the reader"])
def test_when_the_server_ends_its_connections_one_answer_at_most_is_missing(
    urls: tuple[str, str], postgres: Postgres, at: int
) -> None:
    opening = (open_writer, open_reader)[at]
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    with opened(opening(read_url(urls[at]))) as engine:
        before = count(engine)
        with postgres.connect() as connection:
            ended = connection.execute(end, [make_url(urls[at]).username]).fetchall()
        try:
            after = count(engine)
        except UnavailableError as error:
            assert str(error) == UNAVAILABLE  # noqa: PT017 - it may be answered as well
            after = count(engine)

        assert (before, ended, after) == (0, [(True,)], 0)


def test_a_question_that_takes_too_long_is_ended_and_answered_with_a_sentence(
    urls: tuple[str, str], postgres: Postgres
) -> None:
    reader = sql.Identifier(str(make_url(urls[1]).username))
    postgres.execute(sql.SQL("ALTER ROLE {} SET statement_timeout = '50ms'").format(reader))

    with opened(open_reader(read_url(urls[1]))) as engine:
        with pytest.raises(UnavailableError, match=UNAVAILABLE), reading(engine) as connection:
            connection.execute(text("SELECT pg_sleep(60)"))

        assert count(engine) == 0
