"""The arguments that the tools take: what a model reads of them, and their bounds."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tunnelgate_servers.hosting import Line, OptionalLine, Paragraphs
from tunnelgate_servers.tickets_draft.keys import MAX_KEY_CHARACTERS
from tunnelgate_servers.tickets_draft.records import (
    MAX_BODY_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    MAX_VERSION,
    Priority,
    State,
)

_MAX_ID_CHARACTERS = 40
_MAX_TITLE = Field(max_length=MAX_TITLE_CHARACTERS)
_MAX_BODY = Field(max_length=MAX_BODY_CHARACTERS)

Query = Annotated[
    OptionalLine, Field(description="Plain words; leave it out to list everything, newest first.")
]
AnyState: TypeAlias = Annotated[
    Literal["any", State, "draft"],
    Field(description="open or closed for such tickets, any for both; draft for drafts of yours instead."),
]
AnyPriority: TypeAlias = Annotated[
    Literal["any", Priority], Field(description="Only what has this priority; any for all.")
]
ItemId = Annotated[
    Line, Field(max_length=_MAX_ID_CHARACTERS, description="TCK-… for a ticket, DRF-… for a draft of yours.")
]
TicketId = Annotated[Line, Field(max_length=_MAX_ID_CHARACTERS, description="The ticket, such as TCK-1042.")]
DraftId = Annotated[Line, Field(max_length=_MAX_ID_CHARACTERS, description="The draft, DRF-….")]
ExpectedVersion = Annotated[
    int, Field(ge=1, le=MAX_VERSION, description="The version that was read; any other one is not changed.")
]
Title = Annotated[Line, _MAX_TITLE, Field(min_length=1, description="What is wrong or wanted, on one line.")]
Body = Annotated[
    Paragraphs,
    _MAX_BODY,
    Field(min_length=1, description="What a person needs to know to help, in plain text."),
]
DraftPriority: TypeAlias = Annotated[Priority, Field(description="How soon somebody should look at it.")]
NewTitle = Annotated[
    OptionalLine, _MAX_TITLE, Field(description="The new title; leave it out to keep the old.")
]
NewBody = Annotated[
    Paragraphs, _MAX_BODY, Field(description="The whole new text; leave it out to keep the old.")
]
NewPriority: TypeAlias = Annotated[
    Literal["unchanged", Priority], Field(description="The new priority; unchanged to keep the old.")
]
IdempotencyKey = Annotated[
    OptionalLine,
    Field(
        max_length=MAX_KEY_CHARACTERS,
        description=(
            "A text of your own choosing for this draft: asked again with it within 24 hours, "
            "the same draft is returned and no second one is made."
        ),
    ),
]
