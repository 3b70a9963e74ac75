"""The SQL of a PostgreSQL role that can only read; `postgres_role.sql` says how it is run.

Specification: https://www.postgresql.org/docs/current/ddl-priv.html
"""

from importlib import resources
from typing import Final

from tunnelgate_servers.hosting import OptionsError
from tunnelgate_servers.known import KnownServer

_MAX_OCTETS: Final = 63  # PostgreSQL would cut off the rest of a name


def role_sql(server: KnownServer, *, name: str, owner: str = "") -> str:
    """Return the SQL that makes the role `name`, which can read the tables of `server`.

    `owner` is the role that migrates the database; empty stands for the owner of the database.
    Raises `OptionsError` for a server that has nothing to read, or that writes, and for a name that
    PostgreSQL would not keep as it is.
    """
    if not server.has_database:
        raise OptionsError(f"{server.name} has no database.")
    if not server.only_reads:
        raise OptionsError(f"{server.name} writes to its database; a role that only reads is not for it.")
    template = resources.files("tunnelgate_servers").joinpath("postgres_role.sql").read_text("utf-8")
    return template.format(
        role=_literal(_checked(name)),
        owner=_literal(_checked(owner) if owner else ""),
        tables=_literal(" ".join(server.tables)),
    )


def _checked(name: str) -> str:
    if not name or not name.isprintable() or len(name.encode()) > _MAX_OCTETS:
        raise OptionsError(
            f"The name of a role is 1 to {_MAX_OCTETS} octets long and has no control characters."
        )
    if name.startswith("pg_") or name in ("public", "none"):
        raise OptionsError(f"PostgreSQL keeps the name {name} for itself.")
    return name


def _literal(text: str) -> str:
    # As E'…', a backslash means the same whatever standard_conforming_strings says.
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
