from collections.abc import Generator

import pytest

from tests.support.postgres import Databases, Postgres, PostgresDatabases, SqliteFiles


@pytest.fixture(scope="module")
def lasting_databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Databases]:
    """Give databases that tests of one module share, because none of them changes what is in them."""
    if not request.config.getoption("--postgres"):
        yield SqliteFiles(tmp_path_factory.mktemp("databases"))
        return
    server: Postgres = request.getfixturevalue("postgres")
    databases = PostgresDatabases(server)
    try:
        yield databases
    finally:
        databases.drop()
