"""What Alembic runs for the migrations of this server."""

from tunnelgate_servers.hosting.migrating import run_migrations

run_migrations()
