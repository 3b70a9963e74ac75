"""The sample servers by the names that the command knows them by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from fastapi import FastAPI
from sqlalchemy import MetaData


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server: its name on the command line, its package, and what it does with a database."""

    name: str
    package: str
    has_database: bool = True
    only_reads: bool = True

    @property
    def create_app(self) -> Callable[..., FastAPI]:
        """Return what makes the application out of the options."""
        function: Callable[..., FastAPI] = self._module("").create_app
        return function

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the tables in its database, and of the one that Alembic keeps."""
        metadata: Any = self._module(".models").Base.metadata
        named: MetaData = metadata
        return (*sorted(named.tables), f"{self.package.rpartition('.')[2]}_version")

    def _module(self, name: str) -> ModuleType:
        # A command needs one of them at most, and each takes a while.
        return import_module(f"{self.package}{name}")


SERVERS: Final[Mapping[str, KnownServer]] = {
    server.name: server
    for server in (
        KnownServer("docs-readonly", "tunnelgate_servers.docs_readonly"),
        KnownServer("tickets-draft", "tunnelgate_servers.tickets_draft", only_reads=False),
        KnownServer("billing-audit", "tunnelgate_servers.billing_audit"),
        KnownServer("deploy-status", "tunnelgate_servers.deploy_status", has_database=False),
    )
}
"""The servers by their names."""
