"""The migrations of a server's database, which are in `migrations` of its package.

Specification: https://alembic.sqlalchemy.org/
"""

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from tunnelgate_servers.hosting.errors import OptionsError


def migrate(engine: Engine, package: str) -> None:
    """Bring a database to the newest form that `package` knows; raises `SQLAlchemyError` where that fails."""
    config = _config(package)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_newest(engine: Engine, package: str) -> None:
    """Raise `OptionsError` unless a database has the newest form that `package` knows."""
    newest = ScriptDirectory.from_config(_config(package)).get_current_head()
    with engine.connect() as connection:
        migrations = MigrationContext.configure(connection, opts={"version_table": _version_table(package)})
        found = migrations.get_current_revision()
    if found != newest:
        name = package.rpartition(".")[2].replace("_", "-")
        raise OptionsError(
            f"The database has the form {found}, not {newest}; run: tunnelgate-servers migrate {name}"
        )


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


def _config(package: str) -> Config:
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["version_table"] = _version_table(package)
    return config


def _version_table(package: str) -> str:
    return f"{package.rpartition('.')[2]}_version"
