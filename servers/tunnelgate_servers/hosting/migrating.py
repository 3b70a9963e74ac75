"""The migrations of a server's database, which are in `migrations` of its package.

Specification: https://alembic.sqlalchemy.org/
"""

import threading
from collections.abc import Callable

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from tunnelgate_servers.hosting.databases import read_url
from tunnelgate_servers.hosting.errors import OptionsError

# Alembic keeps what a migration runs in as globals of a module, and indexes are made in worker threads.
_one_at_a_time = threading.Lock()


def migrate(engine: Engine, package: str) -> None:
    """Bring a database to the newest form that `package` knows, whole or not at all.

    Whoever does the same at the same time waits. Raises `SQLAlchemyError` where that fails, and
    `OptionsError` for a database of a newer version.
    """
    config = _config(package)
    with _one_at_a_time, engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's writers follow one another already
            lock = func.hashtextextended(_version_table(package), 0)
            connection.execute(select(func.pg_advisory_xact_lock(lock)))
        _known_form(connection, package)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_newest(engine: Engine, package: str) -> None:
    """Raise `OptionsError` unless a database has the newest form that `package` knows."""
    newest = ScriptDirectory.from_config(_config(package)).get_current_head()
    try:
        with engine.connect() as connection:
            found = _known_form(connection, package)
    except SQLAlchemyError as error:
        raise OptionsError("The database does not let its form be read.") from error
    if found != newest:
        name = package.rpartition(".")[2].replace("_", "-")
        has = "is empty" if found is None else f"has the form {found}, not {newest}"
        raise OptionsError(f"The database {has}; run: tunnelgate-servers migrate {name} --database URL")


def open_newest(open_engine: Callable[[URL], Engine], database: object, package: str) -> Engine:
    """Open the database that a URL names by `open_reader` or `open_writer`, in the newest form.

    Raises `OptionsError` for a URL, a database or a form that cannot be used.
    """
    engine = open_engine(read_url(database))
    try:
        require_newest(engine, package)
    finally:
        engine.dispose()  # of the connection, which would wait for an application that may never be served
    return engine


def run_migrations() -> None:
    """Run what Alembic found to be missing; the `env.py` of each server calls it."""
    config = context.config
    context.configure(
        connection=config.attributes["connection"],
        version_table=config.attributes["version_table"],
        render_as_batch=True,  # which SQLite needs to change a column
    )
    with context.begin_transaction():
        context.run_migrations()


def _known_form(connection: Connection, package: str) -> str | None:
    migrations = MigrationContext.configure(connection, opts={"version_table": _version_table(package)})
    found = migrations.get_current_revision()
    known = [each.revision for each in ScriptDirectory.from_config(_config(package)).walk_revisions()]
    if found is not None and found not in known:
        raise OptionsError(f"The database has the form {found}, which a newer version of this server made.")
    return found


def _config(package: str) -> Config:
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["version_table"] = _version_table(package)
    return config


def _version_table(package: str) -> str:
    return f"{package.rpartition('.')[2]}_version"
