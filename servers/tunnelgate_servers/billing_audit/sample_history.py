"""What happens on the account of a customer: invoices every month, and what becomes of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from tunnelgate_servers.billing_audit.posting import Line, Posting
from tunnelgate_servers.billing_audit.sample_customers import Customer

_PLANS: Final = (("Team plan", 1200), ("Business plan", 2400), ("Enterprise plan", 4900))
_ADD_ONS: Final = (
    ("Priority support", 9900),
    ("Storage, 250 GB", 1500),
    ("Storage, 1 TB", 4900),
    ("Audit log export", 2900),
)
_OUTCOMES: Final = {
    "paid": 74,
    "late": 8,
    "in parts": 4,
    "refunded in part": 4,
    "lost": 3,
    "charged back": 2,
    "refunded": 2,
    "disputed": 2,
    "without tax": 1,
}
"""What becomes of a charge, and how often."""

_LATE_FEE: Final = 1500
_CHARGEBACK_FEE: Final = 2000
_GOODWILL: Final = (
    "Refund for the outage of the search cluster",
    "Refund for seats that were removed in the middle of the month",
    "Goodwill refund after a support case",
)
_WHOLE: Final = (
    "Refund of an invoice that was sent twice",
    "Refund after a cancellation within fourteen days",
)
_GROUPS: Final = 4


@dataclass(frozen=True, slots=True)
class Event:
    """A posting to be, and the charge that it is about, which is an earlier event."""

    posting: Posting
    about: "Event | None" = None


@dataclass(slots=True)
class History:
    """Draws what happens on one account; `own` are the company's accounts in its currency, by their kinds."""

    random: Random
    account: int
    customer: Customer
    own: Mapping[str, int]
    _seats: int = field(init=False)
    _plan: tuple[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._seats = self.random.randint(3, 60)
        self._plan = self.random.choice(_PLANS)

    def events(self, months: Sequence[date]) -> Iterator[Event]:
        """Yield what happens about the invoices of these months, each of which begins with its first day."""
        for month in months:
            self._seats = max(1, self._seats + self.random.choice((-1, 0, 0, 0, 1, 2)))
            charge = self._charge(month)
            yield charge
            yield from self._outcome(charge)

    def _charge(self, month: date) -> Event:
        plan, price = self._plan
        lines = [(f"{plan}, {self._seats} seats", price * self._seats)]
        lines += [line for line in _ADD_ONS if self.random.randrange(4) == 0]
        if self.random.randrange(3) == 0:
            calls = self.random.randint(20, 900)
            lines.append((f"API calls, {calls} thousand", calls * 17))
        amounts = [(text, self._price(cents)) for text, cents in lines]
        net = sum(amount for _, amount in amounts)
        tax = (net * self.customer.country.tax + 5000) // 10000
        entries = [Line(self.own["revenue"], -amount, text) for text, amount in amounts]
        if tax:
            entries.append(Line(self.own["tax"], -tax, self.customer.country.tax_text))
        when = _moment(month, self.random, hours=(5, 7))
        return Event(
            Posting(
                posted_at=when,
                kind="charge",
                description=f"Subscription for {when:%B %Y}",
                reference=f"INV-{month:%Y-%m}-{self.account}",
                lines=[Line(self.account, net + tax, "Invoice"), *entries],
            )
        )

    def _outcome(self, charge: Event) -> Iterator[Event]:
        owed = charge.posting.lines[0].amount
        match self.random.choices(tuple(_OUTCOMES), tuple(_OUTCOMES.values()))[0]:
            case "lost":
                yield from self._lost(charge, owed)
            case "late":
                fee = self._price(_LATE_FEE)
                yield self._later(charge, 31, "fee", "Late fee", fee, own="fees")
                yield self._payment(charge, self.random.randint(33, 50), -owed - fee)
            case "in parts":
                first = owed * self.random.randint(30, 70) // 100
                yield self._payment(charge, self.random.randint(5, 14), -first, "first part")
                yield self._payment(charge, self.random.randint(20, 40), first - owed, "second part")
            case "charged back":
                yield from self._charged_back(charge, owed)
            case "disputed":
                yield from self._disputed(charge, owed)
            case "without tax":
                yield from self._without_tax(charge, owed)
            case outcome:
                yield self._payment(charge, self.random.randint(2, 20), -owed)
                if outcome == "refunded in part":
                    yield from self._refund(charge, owed * self.random.randint(5, 40) // 100, _GOODWILL)
                elif outcome == "refunded":
                    yield from self._refund(charge, owed, _WHOLE)

    def _lost(self, charge: Event, owed: int) -> Iterator[Event]:
        fee = self._price(_LATE_FEE)
        yield self._later(charge, 31, "fee", "Late fee", fee, own="fees")
        text = "Written off after three reminders"
        yield self._later(charge, 130, "adjustment", text, -owed - fee, own="losses")

    def _charged_back(self, charge: Event, owed: int) -> Iterator[Event]:
        yield self._payment(charge, 4, -owed)
        text = "Chargeback: the bank took the payment back"
        yield self._later(charge, 25, "adjustment", text, owed, own="cash")
        fee = self._price(_CHARGEBACK_FEE)
        yield self._later(charge, 25, "fee", "Fee of the bank for the chargeback", fee, own="fees")
        if self.random.randrange(2):
            text = "Chargeback decided in our favour: the bank paid again"
            yield self._later(charge, 55, "adjustment", text, -owed, own="cash")
            yield self._later(charge, 56, "fee", "Fee for the chargeback waived", -fee, own="fees")
        else:
            yield self._payment(charge, self.random.randint(40, 60), -owed - fee)

    def _disputed(self, charge: Event, owed: int) -> Iterator[Event]:
        part = owed // self.random.randint(2, 5)
        yield self._payment(charge, 12, part - owed, "less the disputed part")
        text = "Disputed by the customer, set aside while it is examined"
        yield self._later(charge, 13, "adjustment", text, -part, own="disputes")
        if self.random.randrange(2):
            yield self._later(charge, 34, "adjustment", "Dispute closed: it is owed", part, own="disputes")
            yield self._payment(charge, 45, -part)

    def _without_tax(self, charge: Event, owed: int) -> Iterator[Event]:
        tax = self._tax_in(charge)
        if tax:
            text = "Reverse charge: the customer gave a tax number after the invoice"
            yield self._later(charge, 6, "tax", text, -tax, own="tax")
        yield self._payment(charge, self.random.randint(7, 20), tax - owed)

    def _refund(self, charge: Event, amount: int, reasons: Sequence[str]) -> Iterator[Event]:
        tax = amount * self._tax_in(charge) // charge.posting.lines[0].amount
        reason = self.random.choice(reasons)
        day = self.random.randint(22, 28)
        lines = [
            Line(self.account, -amount, reason),
            Line(self.own["revenue"], amount - tax, reason),
            *([Line(self.own["tax"], tax, self.customer.country.tax_text)] if tax else []),
        ]
        yield self._event(charge, day, "refund", reason, lines)
        yield self._later(charge, day + 2, "payment", "Refund paid out", amount, own="cash")

    def _payment(self, charge: Event, days: int, amount: int, note: str = "") -> Event:
        text = self._way_to_pay() + (f", {note}" if note else "")
        return self._later(charge, days, "payment", text, amount, own="cash")

    def _way_to_pay(self) -> str:
        """Return how it was paid, now and then in the words of people who type what they should not."""
        card, bank_account = self.customer.card, self.customer.bank_account
        typed = self.random.randrange(25) == 0
        if card is not None:
            return f"Paid on the phone, card {_grouped(card)}" if typed else "Card payment"
        account = _grouped(bank_account or "")
        return f"Bank transfer, sender wrote: from {account}" if typed else "Bank transfer"

    def _later(self, charge: Event, days: int, kind: str, text: str, amount: int, *, own: str) -> Event:
        lines = [Line(self.account, amount, text), Line(self.own[own], -amount, text)]
        return self._event(charge, days, kind, text, lines)

    def _event(self, charge: Event, days: int, kind: str, text: str, lines: Sequence[Line]) -> Event:
        day = charge.posting.posted_at.date() + timedelta(days=days)
        when = _moment(day, self.random, hours=(8, 18))
        return Event(Posting(when, kind, text, charge.posting.reference, lines), charge)

    def _tax_in(self, charge: Event) -> int:
        return sum(-line.amount for line in charge.posting.lines if line.account == self.own["tax"])

    def _price(self, cents: int) -> int:
        numerator, denominator = self.customer.country.rate
        return cents * numerator // denominator


def _moment(day: date, random: Random, *, hours: tuple[int, int]) -> datetime:
    clock = time(random.randint(*hours), random.randrange(60), random.randrange(60), tzinfo=UTC)
    return datetime.combine(day, clock)


def _grouped(number: str) -> str:
    return " ".join(number[place : place + _GROUPS] for place in range(0, len(number), _GROUPS))
