"""Databases come to their newest form whole or not at all, whoever else brings them there meanwhile."""

import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tests.support.postgres import Databases
from tunnelgate_servers.hosting import (
    OptionsError,
    migrate,
    open_reader,
    open_writer,
    read_url,
    require_newest,
)
from tunnelgate_servers.known import SERVERS

LIMIT = 60  # seconds that threads may take
PACKAGES = [server.package for server in SERVERS.values() if server.has_database]
TABLE = 'op.create_table("{0}", sa.Column("id", sa.Integer, primary_key=True))'


@contextmanager
def opened(engine: Engine) -> Generator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def engine(databases: Databases) -> Generator[Engine]:
    """Give a writer of an empty database."""
    with opened(open_writer(read_url(databases.new()))) as engine:
        yield engine


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


class Packages:
    """Packages with migrations, which can be imported for as long as a test takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: set[str] = set()

    def write(self, name: str, upgrades: Sequence[str]) -> str:
        """Write a package whose migrations do these things one after the other, and return its name."""
        self.names.add(name)
        versions = self._folder / name / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        for folder in (versions, versions.parent, versions.parent.parent):
            (folder / "__init__.py").touch()
        (versions.parent / "env.py").write_text(
            "from tunnelgate_servers.hosting.migrating import run_migrations\n\nrun_migrations()\n", "utf-8"
        )
        for number, upgrade in enumerate(upgrades, 1):
            content = f"""\
                import sqlalchemy as sa
                from alembic import op

                revision = "v{number:04}"
                down_revision = {f"v{number - 1:04}" if number > 1 else None!r}


                def upgrade():
                    {upgrade}
                """
            (versions / f"v{number:04}_step.py").write_text(dedent(content), "utf-8")
        return name


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Packages]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    packages = Packages(tmp_path)
    yield packages
    for name in packages.names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_migrations_of_each_server_lead_to_the_newest_form_and_again_to_the_same(
    engine: Engine, package: str
) -> None:
    with pytest.raises(OptionsError) as raised:
        require_newest(engine, package)
    before = tables(engine)
    migrate(engine, package)
    require_newest(engine, package)
    once = tables(engine)
    migrate(engine, package)
    require_newest(engine, package)

    assert (before, tables(engine)) == (set(), once)
    assert str(raised.value).endswith(
        f"run: tunnelgate-servers migrate {package.rpartition('.')[2].replace('_', '-')} --database URL"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_database_has_the_tables_of_the_models(engine: Engine, package: str) -> None:
    migrate(engine, package)

    (server,) = [each for each in SERVERS.values() if each.package == package]
    missing = set(server.tables) - tables(engine)
    assert missing == set()


def test_what_is_there_stays_when_a_newer_form_is_made(engine: Engine, packages: Packages) -> None:
    package = packages.write("older", [TABLE.format("one")])
    migrate(engine, package)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO one VALUES (7)"))
    packages.write("older", [TABLE.format("one"), TABLE.format("two")])

    with pytest.raises(OptionsError, match="has the form v0001, not v0002; run: "):
        require_newest(engine, package)
    migrate(engine, package)
    require_newest(engine, package)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM one")).scalars().all() == [7]
    assert tables(engine) == {"one", "two", "older_version"}


@pytest.mark.parametrize("already", [0, 1], ids=["an empty database", "a database of an older form"])
def test_a_migration_that_fails_leaves_nothing_of_those_before_it(
    engine: Engine, packages: Packages, already: int
) -> None:
    steps = [TABLE.format("one"), TABLE.format("two"), 'op.execute("SELECT * FROM nothing_of_this_name")']
    if already:
        migrate(engine, packages.write("failing", steps[:already]))
    before = tables(engine)

    with pytest.raises(DBAPIError, match="nothing_of_this_name"):
        migrate(engine, packages.write("failing", steps))

    assert tables(engine) == before
    migrate(engine, packages.write("failing", [*steps[:2], TABLE.format("three")]))
    assert tables(engine) == {"one", "two", "three", "failing_version"}


def test_two_servers_can_share_a_database(engine: Engine, packages: Packages) -> None:
    first = packages.write("first", [TABLE.format("one")])
    second = packages.write("second", [TABLE.format("two"), TABLE.format("three")])
    migrate(engine, first)
    with pytest.raises(OptionsError):
        require_newest(engine, second)
    migrate(engine, second)

    require_newest(engine, first)
    require_newest(engine, second)
    assert tables(engine) == {"one", "two", "three", "first_version", "second_version"}


def test_whoever_migrates_at_the_same_time_waits(databases: Databases, packages: Packages) -> None:
    url = read_url(databases.new())
    package = packages.write("raced", [TABLE.format(f"table_{number}") for number in range(5)])
    at_once = 6
    start = threading.Barrier(at_once)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with opened(open_writer(url)) as engine:
                start.wait(LIMIT)
                migrate(engine, package)
                require_newest(engine, package)
        except (SQLAlchemyError, OptionsError) as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert failed == []
    assert not any(thread.is_alive() for thread in threads)
    with opened(open_writer(url)) as engine:
        assert tables(engine) == {*(f"table_{number}" for number in range(5)), "raced_version"}


def test_different_databases_are_migrated_at_the_same_time(databases: Databases, packages: Packages) -> None:
    at_once = 6
    urls = [read_url(databases.new()) for _ in range(at_once)]
    package = packages.write("side_by_side", [TABLE.format(f"table_{number}") for number in range(5)])
    start = threading.Barrier(at_once)

    def run(url: URL) -> set[str]:
        with opened(open_writer(url)) as engine:
            start.wait(LIMIT)
            migrate(engine, package)
            require_newest(engine, package)
            return tables(engine)

    with ThreadPoolExecutor(at_once) as threads:
        found = list(threads.map(run, urls, timeout=LIMIT))

    assert found == [{*(f"table_{number}" for number in range(5)), "side_by_side_version"}] * at_once


def test_a_database_of_a_newer_version_is_left_as_it_is(engine: Engine, packages: Packages) -> None:
    migrate(engine, packages.write("newer", [TABLE.format("one"), TABLE.format("two")]))
    with engine.begin() as connection:
        connection.execute(text("UPDATE newer_version SET version_num = 'v0099'"))
    before = tables(engine)

    for ask in (require_newest, migrate):
        with pytest.raises(OptionsError) as raised:
            ask(engine, "newer")

        assert str(raised.value) == (
            "The database has the form v0099, which a newer version of this server made."
        )
    assert tables(engine) == before


def test_a_reader_can_tell_which_form_there_is_and_cannot_make_another(
    databases: Databases, packages: Packages
) -> None:
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    package = packages.write("told", [TABLE.format("one")])
    with opened(open_writer(read_url(url))) as writer:
        migrate(writer, package)

    with opened(open_reader(read_url(to_read))) as reader:
        require_newest(reader, package)
        packages.write("told", [TABLE.format("one"), TABLE.format("two")])
        with pytest.raises(OptionsError, match="has the form v0001, not v0002"):
            require_newest(reader, package)
        with pytest.raises(SQLAlchemyError):
            migrate(reader, package)
        assert tables(reader) == {"one", "told_version"}


def test_a_form_that_cannot_be_read_is_one_sentence(engine: Engine, packages: Packages) -> None:
    package = packages.write("unreadable", [TABLE.format("one")])
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE unreadable_version (something_else integer)"))

    with pytest.raises(OptionsError) as raised:
        require_newest(engine, package)

    assert str(raised.value) == "The database does not let its form be read."
