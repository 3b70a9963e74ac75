from collections.abc import Generator

import pytest
from sqlalchemy import Engine

from tests.servers.tickets_draft.ticketing import PACKAGE, Moment
from tests.support.postgres import Databases
from tunnelgate_servers.hosting import migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft import Drafts
from tunnelgate_servers.tickets_draft.tickets import Tickets


@pytest.fixture
def database(databases: Databases) -> str:
    """Give the URL of a database with the tables and nothing in them."""
    url = databases.new()
    engine = open_writer(read_url(url))
    migrate(engine, PACKAGE)
    engine.dispose()
    return url


@pytest.fixture
def engine(database: str) -> Generator[Engine]:
    engine = open_writer(read_url(database))
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Moment:
    return Moment()


@pytest.fixture
def drafts(engine: Engine, clock: Moment) -> Drafts:
    return Drafts(engine, clock=clock)


@pytest.fixture
def tickets(engine: Engine, clock: Moment) -> Tickets:
    return Tickets(engine, clock=clock)
