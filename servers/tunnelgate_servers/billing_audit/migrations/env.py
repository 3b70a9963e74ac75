"""What Alembic runs to migrate the ledger."""

from tunnelgate_servers.hosting.migrating import run_migrations

run_migrations()
