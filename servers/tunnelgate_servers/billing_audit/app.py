"""The FastAPI application: `POST /mcp` for both eras of the protocol, and `GET /healthz`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from fastapi import FastAPI
from sqlalchemy import Engine, select

from tunnelgate_servers.billing_audit.answers import redact
from tunnelgate_servers.billing_audit.models import Account
from tunnelgate_servers.billing_audit.resources import AccountResources
from tunnelgate_servers.billing_audit.tools import BillingTools
from tunnelgate_servers.hosting import (
    LOOPBACK_HOSTS,
    Introduction,
    disposing,
    mcp_application,
    mcp_server,
    open_newest,
    open_reader,
    own_check,
    reading,
    utc_now,
)

PACKAGE: Final = "tunnelgate_servers.billing_audit"
"""Whose migrations make the database."""

_INTRODUCTION: Final = Introduction(
    "billing_audit",
    "Billing audit",
    "Read the history of customers' accounts in a double-entry ledger.",
    "list_accounts shows the accounts and what is owed. read_statement shows an account in a month, "
    "search_transactions finds transactions, and explain_charge says what a charge consists of and what "
    "became of it. Amounts are integers in minor units with a text beside. Of the numbers of cards and bank "
    "accounts, only the last four are shown. Nothing can be changed here: people make refunds, elsewhere.",
)


def create_app(
    *,
    database: str,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    resource: object = None,
    oauth: object = None,
    clock: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """Return the application that answers from the ledger in `database`, which it opens for reading only.

    A token opens the accounts that its claim `accounts` lists by their ids, or all with `"*"`. `resource` and
    `oauth` are for a server without a gate around it, which then verifies tokens by itself. `allowed_hosts`
    are the Host values that are answered. `clock` returns a time that is aware of its time zone.

    The application has to run its lifespan, once. Raises `OptionsError` for an option that cannot be used.
    """
    check = own_check(resource, oauth)
    engine = open_newest(open_reader, database, PACKAGE)
    server = mcp_server(_INTRODUCTION, BillingTools(engine, clock).toolset())
    server.middleware.insert(0, redact)
    AccountResources(engine).add_to(server)

    def is_ready() -> None:
        _read_one(engine)

    return mcp_application(
        server,
        check=check,
        is_ready=is_ready,
        allowed_hosts=allowed_hosts,
        while_serving=partial(disposing, engine),
    )


def _read_one(engine: Engine) -> None:
    with reading(engine) as connection:
        connection.execute(select(Account.id).limit(1)).all()
