from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.postgres import Databases, Postgres, PostgresDatabases, SqliteFiles


@pytest.fixture
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Databases]:
    """Give databases: SQLite files, or with ``--postgres`` those of a private PostgreSQL."""
    if not request.config.getoption("--postgres"):
        yield SqliteFiles(tmp_path)
        return
    server: Postgres = request.getfixturevalue("postgres")
    databases = PostgresDatabases(server)
    try:
        yield databases
    finally:
        databases.drop()
