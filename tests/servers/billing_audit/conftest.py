from collections.abc import Generator
from pathlib import Path

import pytest

from tests.servers.billing_audit.books import Books, new_books
from tests.servers.serving import Era
from tests.support.postgres import Databases, PostgresDatabases, SqliteFiles


@pytest.fixture(scope="module")
def databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Databases]:
    """Give databases as elsewhere, but to all tests of a file, so that some can share one."""
    if not request.config.getoption("--postgres"):
        yield SqliteFiles(tmp_path_factory.mktemp("databases"))
        return
    databases = PostgresDatabases(request.getfixturevalue("postgres"))
    try:
        yield databases
    finally:
        databases.drop()


@pytest.fixture
def books(databases: Databases, tmp_path: Path) -> Generator[Books]:
    """Give a ledger in which there are no customers yet."""
    with new_books(databases, tmp_path) as books:
        yield books


@pytest.fixture(scope="module")
def shared_books(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Generator[Books]:
    """Give a ledger to all tests of a file; none of them changes what another one looks at."""
    with new_books(databases, tmp_path_factory.mktemp("books")) as books:
        yield books


@pytest.fixture(
    params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")],
)
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken
