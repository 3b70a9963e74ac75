"""What SQLite itself refuses: a change of what was written, and sums other than zero."""

from typing import Final

UP: Final = (
    """
    CREATE TRIGGER transactions_no_update BEFORE UPDATE ON transactions
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only: what is in it cannot be changed or deleted'); END
    """,
    """
    CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only: what is in it cannot be changed or deleted'); END
    """,
    """
    CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only: what is in it cannot be changed or deleted'); END
    """,
    """
    CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only: what is in it cannot be changed or deleted'); END
    """,
    # INSERT OR REPLACE deletes what is there, and no trigger hears of that.
    """
    CREATE TRIGGER transactions_no_replace BEFORE INSERT ON transactions
    WHEN EXISTS (SELECT 1 FROM transactions WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only: what is in it cannot be changed or deleted'); END
    """,
    """
    CREATE TRIGGER accounts_no_replace BEFORE INSERT ON accounts
    WHEN EXISTS (SELECT 1 FROM accounts WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'The number, kind and currency of an account cannot be changed'); END
    """,
    """
    CREATE TRIGGER accounts_same BEFORE UPDATE ON accounts
    WHEN OLD.id <> NEW.id OR OLD.kind <> NEW.kind OR OLD.currency <> NEW.currency
    BEGIN SELECT RAISE(ABORT, 'The number, kind and currency of an account cannot be changed'); END
    """,
    """
    CREATE TRIGGER entries_order BEFORE INSERT ON entries
    WHEN NEW.position > coalesce((SELECT entry_count FROM transactions WHERE id = NEW.transaction_id), 0)
        OR NEW.position <> 1 + (SELECT count(*) FROM entries WHERE transaction_id = NEW.transaction_id)
    BEGIN
        SELECT RAISE(ABORT, 'Entries are numbered from 1 to entry_count and written with their transaction');
    END
    """,
    """
    CREATE TRIGGER entries_sum AFTER INSERT ON entries
    WHEN NEW.position = (SELECT entry_count FROM transactions WHERE id = NEW.transaction_id)
        AND EXISTS (
            SELECT 1 FROM entries JOIN accounts ON accounts.id = entries.account_id
            WHERE entries.transaction_id = NEW.transaction_id
            GROUP BY accounts.currency HAVING sum(entries.amount) <> 0
        )
    BEGIN SELECT RAISE(ABORT, 'The entries of a transaction have to sum to zero in every currency'); END
    """,
    """
    CREATE TRIGGER entries_customer AFTER INSERT ON entries
    WHEN (
        SELECT count(DISTINCT accounts.id) FROM entries
        JOIN accounts ON accounts.id = entries.account_id
        JOIN transactions ON transactions.id = entries.transaction_id
        WHERE transactions.id = NEW.transaction_id
        AND accounts.kind = 'customer' AND transactions.kind <> 'adjustment'
    ) > 1
    BEGIN SELECT RAISE(ABORT, 'Only an adjustment may be between two customers'); END
    """,
)
"""The statements that make the rules."""

DOWN: Final = (
    "DROP TRIGGER transactions_no_update",
    "DROP TRIGGER transactions_no_delete",
    "DROP TRIGGER entries_no_update",
    "DROP TRIGGER entries_no_delete",
    "DROP TRIGGER transactions_no_replace",
    "DROP TRIGGER accounts_no_replace",
    "DROP TRIGGER accounts_same",
    "DROP TRIGGER entries_order",
    "DROP TRIGGER entries_sum",
    "DROP TRIGGER entries_customer",
)
"""The statements that remove them."""
