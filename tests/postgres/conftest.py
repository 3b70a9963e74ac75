from collections.abc import Generator

import pytest

from tests.support.postgres import Postgres, PostgresDatabases


@pytest.fixture
def databases(postgres: Postgres) -> Generator[PostgresDatabases]:
    """Give databases of a private PostgreSQL."""
    databases = PostgresDatabases(postgres)
    try:
        yield databases
    finally:
        databases.drop()
