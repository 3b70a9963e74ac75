"""What Alembic runs to migrate the index."""

from tunnelgate_servers.hosting.migrating import run_migrations

run_migrations()
