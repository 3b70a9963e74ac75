"""The migrations make what the models describe, and can be taken back."""

from collections.abc import Generator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from tests.support.postgres import Databases
from tunnelgate_servers.billing_audit import PACKAGE
from tunnelgate_servers.billing_audit.models import Base
from tunnelgate_servers.hosting import migrate, open_writer, read_url, require_newest


@pytest.fixture
def engine(databases: Databases) -> Generator[Engine]:
    engine = open_writer(read_url(databases.new()))
    migrate(engine, PACKAGE)
    yield engine
    engine.dispose()


def downgrade(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", f"{PACKAGE}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["version_table"] = "billing_audit_version"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def triggers(engine: Engine) -> set[str]:
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        names = connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            if sqlite
            else text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        )
        return set(names.scalars())


def test_the_migrations_make_what_the_models_describe(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"version_table": "billing_audit_version", "compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    assert [each for each in found if "transactions_last_entry" not in str(each)] == []


def test_the_last_entry_is_looked_for_at_the_commit(engine: Engine) -> None:
    (key,) = (
        key
        for key in inspect(engine).get_foreign_keys("transactions")
        if key["name"] == "transactions_last_entry"
    )

    assert key["constrained_columns"] == ["id", "entry_count"]
    assert key["referred_columns"] == ["transaction_id", "position"]
    assert key.get("options") == {"deferrable": True, "initially": "DEFERRED"}


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    before = triggers(engine)

    migrate(engine, PACKAGE)

    require_newest(engine, PACKAGE)
    assert triggers(engine) == before


def test_the_migrations_can_be_taken_back(engine: Engine) -> None:
    assert triggers(engine)

    downgrade(engine, "v0001")
    assert triggers(engine) == set()
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) == {"billing_audit_version"}
    migrate(engine, PACKAGE)
    require_newest(engine, PACKAGE)
