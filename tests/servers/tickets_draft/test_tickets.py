"""Tickets: read by everybody, closed once, and read while somebody writes."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from tests.servers.tickets_draft.ticketing import ALICE, NO_SUCH, Moment, changes_of, contents, principal
from tunnelgate_servers.hosting import RequestError, UnavailableError, writing
from tunnelgate_servers.tickets_draft import Drafts, Ticket
from tunnelgate_servers.tickets_draft.tickets import Tickets

UNKNOWN = [
    pytest.param("TCK-1002", id="a number that no ticket has"),
    pytest.param("TCK-999999999", id="the highest number that is looked for"),
    pytest.param("TCK-99999999999999999999", id="a number that no database holds"),
    pytest.param("tck-1001", id="lower case"),
    pytest.param("TCK-01001", id="a zero in front"),
    pytest.param("TCK-\uff11\uff10\uff10\uff11", id="digits of another script"),
    pytest.param("TCK-1001 ", id="a blank behind"),
    pytest.param("TCK-1001\n", id="a line feed behind"),
    pytest.param("TCK--1", id="a negative number"),
    pytest.param("1001", id="the number alone"),
    pytest.param("DRF-000000000000", id="the id of a draft"),
    pytest.param("TCK-1001' OR '1'='1", id="SQL"),
    pytest.param("../TCK-1001", id="a path"),
    pytest.param("", id="nothing"),
]


@pytest.fixture
def ticket(drafts: Drafts) -> Ticket:
    """Give the ticket TCK-1001."""
    draft = drafts.create(ALICE, title="The door is stuck", body="On the third floor.", priority="low")
    return drafts.submit(ALICE, draft.id, 1)


@pytest.mark.parametrize("identifier", UNKNOWN)
def test_what_names_no_ticket_is_not_there(
    ticket: Ticket, tickets: Tickets, engine: Engine, identifier: str
) -> None:
    before = contents(engine)

    with pytest.raises(RequestError, match=f"^{NO_SUCH}$"):
        tickets.read(identifier)
    with pytest.raises(RequestError, match=f"^{NO_SUCH}$"):
        tickets.close(ALICE, identifier, 1)

    assert contents(engine) == before


def test_a_ticket_is_closed_by_whoever_may_and_the_audit_says_so(
    ticket: Ticket, tickets: Tickets, engine: Engine, clock: Moment
) -> None:
    clock.now += timedelta(minutes=5)

    closed = tickets.close(principal("bob"), ticket.id, 1)

    assert (closed.state, closed.version, closed.updated_at) == ("closed", 2, clock.now)
    assert (closed.title, closed.created_at) == (ticket.title, ticket.created_at)
    assert tickets.read(ticket.id) == closed
    assert changes_of(engine, ticket.id) == [("open", ticket.id, None, 1), ("close", ticket.id, 1, 2)]


@pytest.mark.parametrize("version", [0, 2, -1, 2**31 - 1])
def test_a_ticket_of_another_version_stays_open(
    ticket: Ticket, tickets: Tickets, engine: Engine, version: int
) -> None:
    before = contents(engine)

    with pytest.raises(RequestError, match=r"^It has changed since it was read: its version is 1 now"):
        tickets.close(ALICE, ticket.id, version)

    assert contents(engine) == before


@pytest.mark.parametrize("version", [1, 2])
def test_a_closed_ticket_is_not_closed_again(
    ticket: Ticket, tickets: Tickets, engine: Engine, version: int
) -> None:
    tickets.close(ALICE, ticket.id, 1)
    before = contents(engine)

    with pytest.raises(RequestError, match=r"^This ticket is closed already.$"):
        tickets.close(ALICE, ticket.id, version)

    assert contents(engine) == before


def test_tickets_and_drafts_are_read_while_somebody_writes(
    ticket: Ticket, tickets: Tickets, drafts: Drafts, engine: Engine
) -> None:
    with writing(engine):
        assert tickets.read(ticket.id) == ticket
        assert drafts.of(ALICE) == ()


def test_a_transaction_that_fails_leaves_nothing(engine: Engine, drafts: Drafts) -> None:
    draft = drafts.create(ALICE, title="t", body="b", priority="low")
    before = contents(engine)

    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE tickets RENAME TO elsewhere")
    with pytest.raises(
        UnavailableError, match=r"^The data cannot be changed at the moment; try again later.$"
    ):
        drafts.submit(ALICE, draft.id, 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO tickets")

    assert contents(engine) == before
    assert drafts.submit(ALICE, draft.id, 1).id.startswith("TCK-100")
