"""What the database itself refuses: a change of what was written, and sums other than zero.

Both databases: entries come with their transaction, numbered from 1 to its entry_count, and a deferred
foreign key from the transaction to its last entry refuses the commit while one is missing. None can be added
later, and nothing can be changed or deleted.

The sums: PostgreSQL has a deferred constraint trigger. SQLite has no triggers at the commit; there the
trigger of the last entry adds them up, as the transaction is then complete. So both refuse in the database
and not in the program that writes, whichever program that is. Of SQLite's, only the foreign keys are left to
the program, which has to turn them on; without, a transaction may lack entries, but is not added to later.
"""

from types import ModuleType

from alembic import op

from tunnelgate_servers.billing_audit.migrations import rules_postgresql, rules_sqlite

revision = "v0002"
down_revision = "v0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the rules."""
    for statement in _rules().UP:
        op.execute(statement)


def downgrade() -> None:
    """Remove the rules."""
    for statement in _rules().DOWN:
        op.execute(statement)


def _rules() -> ModuleType:
    return rules_sqlite if op.get_bind().dialect.name == "sqlite" else rules_postgresql
