"""Deciding: which accounts a token opens, as the condition that every query starts from."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import select
from sqlalchemy.orm import aliased

from tunnelgate import Principal
from tunnelgate.reading.strict_json import is_array
from tunnelgate_servers.billing_audit.identifiers import account_number
from tunnelgate_servers.billing_audit.models import CUSTOMER, Account

EVERY = "*"
"""The claim `accounts` of a token that opens the accounts of all customers."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The accounts of customers that a caller may see: these numbers, or all where it is `None`."""

    numbers: frozenset[int] | None

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """Return what the claim `accounts` of a token says: a list of ids, or `"*"`.

        A claim that is missing or of another type opens nothing, and an entry that is no id adds nothing.
        """
        claim = principal.claims.get("accounts")
        if claim == EVERY:
            return cls(None)
        listed = claim if is_array(claim) else ()
        numbers = (account_number(each) for each in listed if isinstance(each, str))
        return cls(frozenset(number for number in numbers if number is not None))

    def accounts(self) -> type[Account]:
        """Return the accounts as queries have to name them: any other account is not in there."""
        query = select(Account).where(Account.kind == CUSTOMER)
        if self.numbers is not None:
            query = query.where(Account.id.in_(sorted(self.numbers)))
        return aliased(Account, query.subquery("open_accounts"))
