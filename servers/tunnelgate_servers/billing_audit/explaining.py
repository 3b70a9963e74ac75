"""Deciding: how a charge is explained, in numbers and in sentences, from nothing but what the ledger says."""

from typing import Final, Literal

from tunnelgate_servers.billing_audit.charges import Charge, Event, Part
from tunnelgate_servers.billing_audit.identifiers import account_id, transaction_id
from tunnelgate_servers.billing_audit.money import in_words
from tunnelgate_servers.billing_audit.results import ChargeEvent, ChargeExplanation, ChargeLine, Money

_PARTS: Final[dict[str, Literal["price", "fee", "tax"]]] = {"revenue": "price", "fees": "fee", "tax": "tax"}


def explained(charge: Charge) -> ChargeExplanation:
    """Return what a charge consists of and what became of it."""
    tax = sum(part.amount for part in charge.parts if part.kind == "tax")
    net = sum(part.amount for part in charge.parts) - tax

    def money(amount: int) -> Money:
        return Money.of(amount, charge.currency)

    return ChargeExplanation(
        charge=transaction_id(charge.transaction),
        account=account_id(charge.account),
        holder=charge.holder,
        posted_at=charge.posted_at,
        description=charge.description,
        reference=charge.reference,
        lines=tuple(
            ChargeLine(text=part.text, part=_PARTS.get(part.kind, "other"), amount=money(part.amount))
            for part in charge.parts
        ),
        net=money(net),
        tax=money(tax),
        total=money(charge.total),
        events=tuple(
            ChargeEvent(
                transaction=transaction_id(event.transaction),
                posted_at=event.posted_at,
                kind=event.kind,
                description=event.description,
                amount=money(event.amount),
            )
            for event in charge.events
        ),
        event_count=charge.event_count,
        paid=money(charge.paid),
        refunded=money(charge.refunded),
        outstanding=money(charge.total + charge.changed),
        explanation=_in_sentences(charge),
    )


def _in_sentences(charge: Charge) -> str:
    total = in_words(charge.total, charge.currency)
    when = f"on {charge.posted_at:%Y-%m-%d}, reference {charge.reference}"
    sentences = [
        f"{charge.holder} ({account_id(charge.account)}) was charged {total} {when}: {charge.description}.",
        f"The charge consists of {_listed([_part(part, charge.currency) for part in charge.parts])}.",
        *(_event(event, charge.currency) for event in charge.events),
    ]
    if charge.event_count > len(charge.events):
        sentences.append(
            f"{charge.event_count - len(charge.events)} more transactions are about this charge."
        )
    sentences.append(_rest(charge.total + charge.changed, charge.currency))
    return " ".join(sentences)


def _part(part: Part, currency: str) -> str:
    return f"{in_words(part.amount, currency)} for {part.text}"


def _event(event: Event, currency: str) -> str:
    when = f"on {event.posted_at:%Y-%m-%d} with {transaction_id(event.transaction)}"
    size = in_words(abs(event.amount), currency)
    if event.kind == "payment":
        return f"{size} was {'paid' if event.amount < 0 else 'paid back'} {when}: {event.description}."
    if event.kind == "refund":
        return f"{size} was refunded {when}: {event.description}."
    if event.kind == "fee" and event.amount > 0:
        return f"A fee of {size} was added {when}: {event.description}."
    change = "added to" if event.amount > 0 else "taken from"
    return f"{size} was {change} what is owed {when}: {event.description}."


def _rest(outstanding: int, currency: str) -> str:
    if outstanding == 0:
        return "Nothing is outstanding."
    if outstanding > 0:
        return f"{in_words(outstanding, currency)} is outstanding."
    return f"{in_words(-outstanding, currency)} is left over as a credit of the customer."


def _listed(texts: list[str]) -> str:
    *firsts, last = texts
    return f"{', '.join(firsts)} and {last}" if firsts else last
