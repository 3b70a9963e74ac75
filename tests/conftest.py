import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from sse_starlette.sse import AppStatus

from tests.support.postgres import Postgres, run_postgres

# How fast examples come depends on the machine and on what else it does; and where the tests decide
# about somebody's work, they ask the same questions each time.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of the servers run on PostgreSQL as well."""
    parser.addoption(
        "--postgres",
        action="store_true",
        help="use a private PostgreSQL for the databases of the tests, in place of SQLite files",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other database, and with PostgreSQL what has none."""
    database = "postgresql" if config.getoption("--postgres") else "sqlite"
    kept = [each for each in items if _is_for(database, each)]
    config.hook.pytest_deselected(items=[each for each in items if not _is_for(database, each)])
    items[:] = kept


def _is_for(database: str, item: pytest.Item) -> bool:
    marker = item.get_closest_marker("only")
    if marker is not None:
        return bool(marker.args[0] == database)
    has_database = isinstance(item, pytest.Function) and {"databases", "postgres"} & {*item.fixturenames}
    return database == "sqlite" or bool(has_database)


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """Run a private PostgreSQL for as long as the tests run."""
    with run_postgres() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, which is what the servers run on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def streams_outlive_servers_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that a test stopped by a signal not end the streams of all later ones.

    sse-starlette remembers for the whole process that uvicorn was told to exit.
    """
    monkeypatch.setattr(AppStatus, "should_exit", False)
