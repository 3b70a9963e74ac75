"""The roles that `tunnelgate-servers role` makes: they read one server's tables and do nothing else."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import (
    DuplicateObject,
    InsufficientPrivilege,
    ReadOnlySqlTransaction,
)
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.support.postgres import Postgres, PostgresDatabases, connect
from tunnelgate_servers.hosting import OptionsError, migrate, open_reader, open_writer, read_url
from tunnelgate_servers.known import SERVERS
from tunnelgate_servers.postgres_roles import role_sql

READING = [name for name, server in SERVERS.items() if server.has_database and server.only_reads]
OF_A_TABLE = [
    pytest.param("INSERT INTO {table} DEFAULT VALUES", id="INSERT"),
    pytest.param("UPDATE {table} SET {column} = {column}", id="UPDATE"),
    pytest.param("DELETE FROM {table}", id="DELETE"),
    pytest.param("MERGE INTO {table} USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE", id="MERGE"),
    pytest.param("TRUNCATE {table} CASCADE", id="TRUNCATE"),
    pytest.param("SELECT * FROM {table} FOR UPDATE", id="SELECT FOR UPDATE"),
    pytest.param("SELECT * FROM {table} FOR KEY SHARE", id="SELECT FOR KEY SHARE"),
    pytest.param("LOCK TABLE {table} IN ROW EXCLUSIVE MODE", id="LOCK"),
    pytest.param("COPY {table} FROM STDIN", id="COPY FROM"),
    pytest.param("COPY {table} TO PROGRAM 'cat'", id="COPY TO PROGRAM"),
    pytest.param("COPY {table} TO '/tmp/stolen'", id="COPY TO a file"),
    pytest.param("DROP TABLE {table} CASCADE", id="DROP"),
    pytest.param("ALTER TABLE {table} ADD COLUMN more integer", id="ALTER"),
    pytest.param("ALTER TABLE {table} DISABLE TRIGGER ALL", id="DISABLE TRIGGER"),
    pytest.param("CREATE INDEX ON {table} ({column})", id="CREATE INDEX"),
    pytest.param("CREATE RULE silence AS ON INSERT TO {table} DO INSTEAD NOTHING", id="CREATE RULE"),
    pytest.param("COMMENT ON TABLE {table} IS 'mine'", id="COMMENT"),
]
OF_THE_DATABASE = [
    pytest.param("CREATE TABLE more (id integer)", id="CREATE TABLE"),
    pytest.param("CREATE TEMPORARY TABLE more (id integer)", id="CREATE TEMPORARY TABLE"),
    pytest.param("CREATE VIEW more AS SELECT 1", id="CREATE VIEW"),
    pytest.param("CREATE SEQUENCE more", id="CREATE SEQUENCE"),
    pytest.param("CREATE FUNCTION more() RETURNS integer LANGUAGE sql AS 'SELECT 1'", id="CREATE FUNCTION"),
    pytest.param("CREATE SCHEMA more", id="CREATE SCHEMA"),
    pytest.param("CREATE ROLE more", id="CREATE ROLE"),
    pytest.param("CREATE EXTENSION adminpack", id="CREATE EXTENSION"),
    pytest.param("SET ROLE {owner}", id="SET ROLE to the owner"),
    pytest.param("SET ROLE postgres", id="SET ROLE to a superuser"),
    pytest.param("SET SESSION AUTHORIZATION {owner}", id="SET SESSION AUTHORIZATION"),
    pytest.param("ALTER ROLE {reader} SUPERUSER", id="ALTER ROLE"),
    pytest.param("GRANT {owner} TO {reader}", id="GRANT of the owner's role"),
    pytest.param("SELECT lo_from_bytea(0, 'more')", id="a large object"),
    pytest.param("SELECT lo_create(0)", id="an empty large object"),
    pytest.param("SELECT pg_read_file('/etc/hostname')", id="a file of the machine"),
    pytest.param("SELECT pg_terminate_backend(pg_backend_pid()) FROM pg_authid", id="the passwords' table"),
]
NAMES = [
    'reader"; DROP TABLE accounts; --',
    "reader'; DROP TABLE accounts; --",
    "reader\\'; DROP TABLE accounts; --",
    "$do$; DROP TABLE accounts; $do$",
    "{role} %I %s $1 :name",
    "Reader Of The Ledger",
    "Prüferin",
    "x" * 63,
]


@dataclass(frozen=True)
class Place:
    """A migrated database of one server, and a role that reads it."""

    server: str
    owner_url: str
    reader_url: str

    @property
    def owner(self) -> str:
        return str(make_url(self.owner_url).username)

    @property
    def reader(self) -> str:
        return str(make_url(self.reader_url).username)

    def rows(self) -> dict[str, int]:
        """Return how many rows each table of the database has."""
        with connect(self.owner_url) as connection:
            return {
                name: count(connection, name)
                for (name,) in connection.execute(
                    "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p')"
                    " AND relnamespace = 'public'::regnamespace ORDER BY 1"
                ).fetchall()
            }


def count(connection: psycopg.Connection[tuple[Any, ...]], table: str) -> int:
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert found is not None
    number: int = found[0]
    return number


@contextmanager
def opened(engine: Engine) -> Generator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


def migrated(url: str, server: str) -> None:
    with opened(open_writer(read_url(url))) as engine:
        migrate(engine, SERVERS[server].package)


@pytest.fixture(scope="module", params=READING)
def place(request: pytest.FixtureRequest, postgres: Postgres) -> Generator[Place]:
    databases = PostgresDatabases(postgres)
    url = databases.new()
    migrated(url, request.param)
    yield Place(request.param, url, databases.reader(url, request.param))
    databases.drop()


def statements(template: LiteralString, place: Place) -> Sequence[sql.Composed]:
    """Return a statement for each table of the server, or the one where it names no table."""
    names = {"owner": sql.Identifier(place.owner), "reader": sql.Identifier(place.reader)}
    if "{table}" not in template:
        return [sql.SQL(template).format(**names)]
    columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1"
    with connect(place.owner_url) as connection:
        found = {
            table: connection.execute(columns, [f"public.{table}"]).fetchone()
            for table in SERVERS[place.server].tables
        }
    return [
        sql.SQL(template).format(table=sql.Identifier(table), column=sql.Identifier(*column or ()), **names)
        for table, column in found.items()
    ]


def test_it_reads_each_table_of_the_server_and_there_is_no_other(place: Place) -> None:
    with connect(place.reader_url) as connection:
        read = {table: count(connection, table) for table in SERVERS[place.server].tables}

    assert read == place.rows()
    assert read[f"{place.server.replace('-', '_')}_version"] == 1


@pytest.mark.parametrize("template", [*OF_A_TABLE, *OF_THE_DATABASE])
def test_the_database_refuses_to_write_even_in_a_transaction_that_could(
    place: Place, template: LiteralString
) -> None:
    before = place.rows()
    for statement in statements(template, place):
        with connect(place.reader_url) as connection:
            connection.read_only = False
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)

    assert place.rows() == before


def test_it_gives_its_rights_to_nobody(place: Place) -> None:
    rights = "SELECT relname::text, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    with connect(place.owner_url) as owner:
        before = owner.execute(rights).fetchall()
    for statement in statements("GRANT ALL ON {table} TO PUBLIC", place):
        with connect(place.reader_url) as connection:
            connection.read_only = False
            connection.execute(statement)  # which warns, and does nothing

    with connect(place.owner_url) as owner:
        assert owner.execute(rights).fetchall() == before


@pytest.mark.parametrize("template", OF_A_TABLE)
def test_the_engine_of_a_server_is_refused_in_the_database(place: Place, template: LiteralString) -> None:
    before = place.rows()
    with opened(open_reader(read_url(place.reader_url))) as engine:
        for statement in statements(template, place):
            with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
                connection.execute(text(statement.as_string()))

            assert isinstance(raised.value.orig, InsufficientPrivilege | ReadOnlySqlTransaction)
    assert place.rows() == before


def test_its_transactions_are_read_only_and_stay_so_once_they_have_begun(place: Place) -> None:
    with connect(place.reader_url) as connection:
        shown = connection.execute("SHOW transaction_read_only").fetchone()
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.DatabaseError, match="must be set before any query"):
            connection.execute("SET TRANSACTION READ WRITE")

    assert shown == ("on",)


def test_its_sessions_are_bounded_in_time(place: Place) -> None:
    with connect(place.reader_url) as connection:
        shown = [
            connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout")
        ]

    assert shown == [("10s",), ("1min",)]


def test_it_is_nothing_but_a_role_that_logs_in(place: Place, postgres: Postgres) -> None:
    attributes = (
        "SELECT rolcanlogin, rolinherit, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname = %s"
    )
    members = "SELECT count(*) FROM pg_auth_members WHERE %s::regrole IN (member, roleid)"
    with postgres.connect() as connection:
        found = connection.execute(attributes, [place.reader]).fetchone()
        groups = connection.execute(members, [place.reader]).fetchone()

    assert found == (True, False, False, False, False, False, False)
    assert groups == (0,)


def test_it_reads_what_is_migrated_after_it_was_made(databases: PostgresDatabases) -> None:
    url = databases.new()
    place = Place("billing-audit", url, databases.reader(url, "billing-audit"))
    migrated(url, "billing-audit")

    with connect(place.reader_url) as connection:
        read = {table: count(connection, table) for table in SERVERS["billing-audit"].tables}

        assert read == place.rows()
    with opened(open_reader(read_url(place.reader_url))) as engine, engine.connect() as reader:
        assert reader.execute(text("SELECT count(*) FROM billing_audit_version")).scalar_one() == 1


def test_it_reads_what_another_role_than_the_owner_of_the_database_migrates(
    databases: PostgresDatabases, postgres: Postgres
) -> None:
    url = databases.new()
    database, migrator, reader = str(make_url(url).database), postgres.name(), postgres.name()
    databases.add_role(migrator)
    postgres.execute(role_sql(SERVERS["billing-audit"], name=reader, owner=migrator), database)
    password = databases.add_role(reader)
    with postgres.connect(database) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(migrator)))
        connection.execute("CREATE TABLE later (id integer)")

    with connect(make_url(url).set(username=reader, password=password)) as connection:
        assert count(connection, "later") == 0


@pytest.mark.parametrize("name", NAMES)
def test_whatever_its_name_is_it_is_only_a_name(databases: PostgresDatabases, name: str) -> None:
    url = databases.new()
    migrated(url, "billing-audit")

    reader_url = databases.role(url, "billing-audit", name)

    with connect(reader_url) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (name,)
        assert count(connection, "billing_audit_version") == 1


def test_a_role_that_is_there_already_is_not_changed(
    databases: PostgresDatabases, postgres: Postgres
) -> None:
    url = databases.new()
    migrated(url, "billing-audit")
    name = postgres.name()
    password = databases.add_role(name)
    database = str(make_url(url).database)

    with pytest.raises(DuplicateObject):
        postgres.execute(role_sql(SERVERS["billing-audit"], name=name), database)

    known = make_url(url).set(username=name, password=password)
    with connect(known) as connection, pytest.raises(InsufficientPrivilege):
        count(connection, "billing_audit_version")


def test_an_owner_that_is_not_there_leaves_nothing_behind(
    databases: PostgresDatabases, postgres: Postgres
) -> None:
    database, name = str(make_url(databases.new()).database), postgres.name()

    with pytest.raises(psycopg.DatabaseError, match='role "nobody here" does not exist'):
        postgres.execute(role_sql(SERVERS["billing-audit"], name=name, owner="nobody here"), database)

    with postgres.connect() as connection:
        assert connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None


def test_a_backslash_is_read_the_same_by_an_old_session(
    databases: PostgresDatabases, postgres: Postgres
) -> None:
    database, name = str(make_url(databases.new()).database), "back\\slash\\'"
    with postgres.connect(database) as connection:
        connection.execute("SET standard_conforming_strings = off")
        connection.execute("SET escape_string_warning = off")
        connection.execute(role_sql(SERVERS["billing-audit"], name=name).encode())
        databases.add_role(name)

        assert connection.execute("SELECT rolname::text FROM pg_roles WHERE rolname = %s", [name]).fetchone()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("", "1 to 63 octets long", id="no name"),
        pytest.param("x" * 64, "1 to 63 octets long", id="one octet too many"),
        pytest.param("ä" * 32, "1 to 63 octets long", id="few characters, and one octet too many"),
        pytest.param("a\nb", "no control characters", id="two lines"),
        pytest.param("a\0b", "no control characters", id="a NUL"),
        pytest.param("a\udc80b", "no control characters", id="a lone surrogate"),
        pytest.param("a\u202eb", "no control characters", id="written backwards"),
        pytest.param("pg_monitor", "keeps the name pg_monitor for itself", id="a role of PostgreSQL"),
        pytest.param("public", "keeps the name public for itself", id="everybody"),
        pytest.param("none", "keeps the name none for itself", id="nobody"),
    ],
)
def test_a_name_that_postgresql_would_not_keep_is_refused(name: str, reason: str) -> None:
    with pytest.raises(OptionsError, match=reason):
        role_sql(SERVERS["billing-audit"], name=name)
    if name:
        with pytest.raises(OptionsError, match=reason):
            role_sql(SERVERS["billing-audit"], name="reader", owner=name)
