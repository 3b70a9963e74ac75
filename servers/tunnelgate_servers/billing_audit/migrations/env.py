"""What Alembic runs."""

from tunnelgate_servers.hosting.migrating import run_migrations

run_migrations()
