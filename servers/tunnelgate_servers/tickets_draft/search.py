"""The search for tickets, and for the drafts of one principal: ranked, and a page at a time.

A word in the title counts more than one in the body; what is equally relevant follows by the time of its last
change. Both databases look for folded words with `LIKE`, in which nothing of a query is a wildcard.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute

from tunnelgate import Principal
from tunnelgate_servers.tickets_draft.identifiers import ticket_id
from tunnelgate_servers.tickets_draft.models import DraftRow, Searchable, TicketRow
from tunnelgate_servers.tickets_draft.owners import is_owned_by
from tunnelgate_servers.tickets_draft.question import Matched, Place, Question
from tunnelgate_servers.tickets_draft.records import State
from tunnelgate_servers.tickets_draft.results import Hit, Hits

PAGE_SIZE: Final = 20
"""How many hits a page holds."""

_IN_TITLE, _IN_BODY = 3, 1
_BEGINNING = 160  # characters


def search_tickets(connection: Connection, question: Question, state: State | None) -> Hits:
    """Return a page of tickets; with no words, of all that have the state and the priority."""
    key = TicketRow.number.label("key")
    found = select(*_columns(TicketRow), key, TicketRow.state, TicketRow.requester)
    if state is not None:
        found = found.where(TicketRow.state == state)
    return _page(connection, TicketRow, found, question)


def search_drafts(connection: Connection, question: Question, principal: Principal) -> Hits:
    """Return a page of the drafts of a principal."""
    key, state, requester = (
        DraftRow.id.label("key"),
        literal("draft").label("state"),
        null().label("requester"),
    )
    found = select(*_columns(DraftRow), key, state, requester)
    return _page(connection, DraftRow, found.where(is_owned_by(principal, DraftRow.owner)), question)


def _columns(table: type[Searchable]) -> tuple[Any, ...]:
    beginning = func.substr(table.body, 1, 2 * _BEGINNING).label("beginning")
    return (table.title, beginning, table.priority, table.version, table.updated_at)


def _page(
    connection: Connection, table: type[Searchable], found: Select[*tuple[Any, ...]], question: Question
) -> Hits:
    words, place = question.words, question.place
    if question.priority is not None:
        found = found.where(table.priority == question.priority)
    found = found.add_columns(_relevance(table, words).label("relevance"))
    if place is None:
        hits = _hits(connection, found.where(_has_all(table, words)), "all words", None)
        if hits.hits or not words:
            return hits
        return _hits(connection, found.where(_has_any(table, words)), "any word", None)
    wanted = _has_all(table, words) if place.matched == "all words" else _has_any(table, words)
    return _hits(connection, found.where(wanted), place.matched, place)


def _relevance(table: type[Searchable], words: Sequence[str]) -> ColumnElement[int]:
    relevance: ColumnElement[int] = literal(0)
    for word in words:
        relevance += case((_in(table.folded_title, word), _IN_TITLE), else_=0)
        relevance += case((_in(table.folded_body, word), _IN_BODY), else_=0)
    return relevance


def _has_all(table: type[Searchable], words: Sequence[str]) -> ColumnElement[bool]:
    return and_(true(), *(_has(table, word) for word in words))


def _has_any(table: type[Searchable], words: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *(_has(table, word) for word in words))


def _has(table: type[Searchable], word: str) -> ColumnElement[bool]:
    return or_(_in(table.folded_title, word), _in(table.folded_body, word))


def _in(text: InstrumentedAttribute[str], word: str) -> ColumnElement[bool]:
    return text.contains(word, autoescape=True)


def _hits(
    connection: Connection, found: Select[*tuple[Any, ...]], matched: Matched, place: Place | None
) -> Hits:
    ranked = found.subquery()
    order = (ranked.c.relevance, ranked.c.updated_at, ranked.c.key)
    page = select(ranked).order_by(*(column.desc() for column in order)).limit(PAGE_SIZE + 1)
    if place is not None:
        page = page.where(_after(order, place.keys))
    rows = connection.execute(page).mappings().all()
    hits = tuple(_hit(row) for row in rows[:PAGE_SIZE])
    if len(rows) <= PAGE_SIZE:
        return Hits(matched=matched, hits=hits, next_cursor=None)
    last = rows[PAGE_SIZE - 1]
    end = Place(matched, (last["relevance"], last["updated_at"], last["key"]))
    return Hits(matched=matched, hits=hits, next_cursor=end.cursor)


def _after(columns: Sequence[ColumnElement[Any]], keys: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition for what follows these keys in falling order."""
    condition: ColumnElement[bool] = false()
    for column, key in reversed(list(zip(columns, keys, strict=True))):
        condition = or_(column < key, and_(column == key, condition))
    return condition


def _hit(row: RowMapping) -> Hit:
    columns = dict(row)
    del columns["relevance"]
    key = columns.pop("key")
    beginning = _on_one_line(columns.pop("beginning"))
    if isinstance(key, int):
        return Hit(kind="ticket", id=ticket_id(key), beginning=beginning, **columns)
    return Hit(kind="draft", id=key, beginning=beginning, **columns)


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _BEGINNING else f"{line[: _BEGINNING - 1].rstrip()}…"
