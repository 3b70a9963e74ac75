"""The identifiers of tickets and drafts.

`TCK-1042` is the number of a ticket. `DRF-` is followed by 60 random bits, so that no draft leads to another.
"""

import re
import secrets
from typing import Final

DRAFT_PREFIX: Final = "DRF-"
"""What the identifiers of drafts begin with."""

_TICKET_PREFIX = "TCK-"
_TICKET = re.compile(rf"{_TICKET_PREFIX}([1-9][0-9]{{0,8}})", re.ASCII)
_DRAFT = re.compile(rf"{DRAFT_PREFIX}[0-9A-HJKMNP-TV-Z]{{12}}", re.ASCII)
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # without those that people take for others
_DRAFT_LENGTH = 12


def ticket_id(number: int) -> str:
    """Return the identifier of the ticket with a number."""
    return f"{_TICKET_PREFIX}{number}"


def ticket_number(identifier: str) -> int | None:
    """Return the number in the identifier of a ticket, or `None` for any other text."""
    found = _TICKET.fullmatch(identifier)
    return int(found[1]) if found else None


def new_draft_id() -> str:
    """Return an identifier for a draft that nobody can guess."""
    return DRAFT_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_DRAFT_LENGTH))


def is_draft_id(identifier: str) -> bool:
    """Return whether a text is the identifier of a draft, be there one or not."""
    return _DRAFT.fullmatch(identifier) is not None
