"""What Alembic runs to migrate tickets and drafts."""

from tunnelgate_servers.hosting.migrating import run_migrations

run_migrations()
