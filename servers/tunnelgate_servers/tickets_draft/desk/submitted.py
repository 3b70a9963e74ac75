"""What a draft has become: the ticket that it is now, for whoever submitted it."""

from sqlalchemy import Engine, and_, select

from tunnelgate import Principal
from tunnelgate_servers.hosting import reading
from tunnelgate_servers.tickets_draft.identifiers import ticket_id
from tunnelgate_servers.tickets_draft.models import TicketRow
from tunnelgate_servers.tickets_draft.owners import is_owned_by


def ticket_made_of(engine: Engine, principal: Principal, draft_id: str) -> str | None:
    """Return the id of the ticket that a draft of this principal has become, if it has.

    Raises `UnavailableError`.
    """
    made_of_it = and_(TicketRow.draft_id == draft_id, is_owned_by(principal, TicketRow.owner))
    with reading(engine) as connection:
        number = connection.execute(select(TicketRow.number).where(made_of_it)).scalar_one_or_none()
    return None if number is None else ticket_id(number)
