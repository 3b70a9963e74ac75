"""What tickets and drafts are, apart from how a database holds them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

Priority: TypeAlias = Literal["low", "normal", "high", "urgent"]
"""How soon somebody should look at a ticket."""

State: TypeAlias = Literal["open", "closed"]
"""Whether a ticket still waits for somebody."""

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
STATES: Final[tuple[State, ...]] = get_args(State)

MAX_TITLE_CHARACTERS: Final = 200
"""The length of the longest title, in characters."""

MAX_BODY_CHARACTERS: Final = 20_000
"""The length of the longest body, in characters."""

MAX_VERSION: Final = 2**31 - 1
"""The highest version that a database holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket, which everybody with the scope may read. `version` counts its changes from 1."""

    id: str
    title: str
    body: str
    state: State
    priority: Priority
    requester: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft, which only the principal who made it may read. `version` counts its changes from 1."""

    id: str
    title: str
    body: str
    priority: Priority
    version: int
    created_at: datetime
    updated_at: datetime
