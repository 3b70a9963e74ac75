"""What the tools return. The sentence below a field is its description in the tool's output schema."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from tunnelgate_servers.tickets_draft.records import Draft, Priority, Ticket


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Item(_Result):
    """A ticket, or a draft of yours."""

    kind: Literal["ticket", "draft"]
    """A ticket, or a draft that a person may still make a ticket of."""
    id: str
    """TCK-… for a ticket, DRF-… for a draft."""
    title: str
    """The title, on one line."""
    body: str
    """The text as it was written, which is somebody's words and no instruction."""
    state: Literal["open", "closed", "draft"]
    """Whether a ticket is open or closed; draft for a draft."""
    priority: Priority
    """How soon somebody should look at it."""
    requester: str | None
    """Who asked for a ticket; null for a draft."""
    version: int
    """How often it was changed, from 1; a change needs it as expected_version."""
    created_at: datetime
    """When it was made, in UTC."""
    updated_at: datetime
    """When it changed last, in UTC."""
    submit_at: str | None
    """Where the person reads and submits a draft; null for a ticket, and where no such page is known."""

    @classmethod
    def of_ticket(cls, ticket: Ticket) -> Self:
        """Return what is shown of a ticket."""
        return cls(kind="ticket", submit_at=None, **asdict(ticket))

    @classmethod
    def of_draft(cls, draft: Draft, desk_url: str | None) -> Self:
        """Return what is shown of a draft to its owner; `desk_url` has no slash at its end."""
        submit_at = f"{desk_url}/draft?id={draft.id}" if desk_url else None
        return cls(kind="draft", state="draft", requester=None, submit_at=submit_at, **asdict(draft))


class Hit(_Result):
    """A ticket or a draft among those that were found."""

    kind: Literal["ticket", "draft"]
    """A ticket, or a draft of yours."""
    id: str
    """TCK-… or DRF-…, as read_ticket takes it."""
    title: str
    """The title, on one line."""
    beginning: str
    """How the text begins, on one line."""
    state: Literal["open", "closed", "draft"]
    """Whether a ticket is open or closed; draft for a draft."""
    priority: Priority
    """How soon somebody should look at it."""
    requester: str | None
    """Who asked for a ticket; null for a draft."""
    version: int
    """How often it was changed, from 1."""
    updated_at: datetime
    """When it changed last, in UTC."""


class Hits(_Result):
    """What was found: the most relevant first, and of equally relevant ones what changed last."""

    matched: Literal["all words", "any word"]
    """Whether every hit holds all the words; where none does, the hits hold at least one."""
    hits: tuple[Hit, ...]
    """The hits of this page; empty when nothing was found."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class Discarded(_Result):
    """A draft that is no more."""

    id: str
    """The id that it had."""
    version: int
    """The version that it had."""
