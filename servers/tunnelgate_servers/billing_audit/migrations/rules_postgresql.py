"""What PostgreSQL itself refuses: a change of what was written, and sums other than zero."""

from typing import Final

UP: Final = (
    """
    CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'The ledger is append-only: what is in it cannot be changed or deleted'
        USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change()
    """,
    """
    CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change()
    """,
    """
    CREATE FUNCTION billing_refuse_other_account() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'The number, kind and currency of an account cannot be changed'
        USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER accounts_same BEFORE UPDATE ON accounts FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.kind <> NEW.kind OR OLD.currency <> NEW.currency)
    EXECUTE FUNCTION billing_refuse_other_account()
    """,
    """
    CREATE FUNCTION billing_check_order() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.position > coalesce((SELECT entry_count FROM transactions WHERE id = NEW.transaction_id), 0)
            OR NEW.position <> 1 + (SELECT count(*) FROM entries WHERE transaction_id = NEW.transaction_id)
        THEN
            RAISE EXCEPTION 'Entries are numbered from 1 to entry_count and written with their transaction'
            USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER entries_order BEFORE INSERT ON entries
    FOR EACH ROW EXECUTE FUNCTION billing_check_order()
    """,
    """
    CREATE FUNCTION billing_check_sum() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT 1 FROM entries JOIN accounts ON accounts.id = entries.account_id
            WHERE entries.transaction_id = NEW.transaction_id
            GROUP BY accounts.currency HAVING sum(entries.amount) <> 0
        ) THEN
            RAISE EXCEPTION 'The entries of a transaction have to sum to zero in every currency'
            USING ERRCODE = 'check_violation';
        END IF;
        IF (
            SELECT count(DISTINCT accounts.id) FROM entries
            JOIN accounts ON accounts.id = entries.account_id
            JOIN transactions ON transactions.id = entries.transaction_id
            WHERE transactions.id = NEW.transaction_id
            AND accounts.kind = 'customer' AND transactions.kind <> 'adjustment'
        ) > 1 THEN
            RAISE EXCEPTION 'Only an adjustment may be between two customers'
            USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER entries_sum AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION billing_check_sum()
    """,
)
"""The statements that make the rules."""

DOWN: Final = (
    "DROP FUNCTION billing_refuse_change CASCADE",
    "DROP FUNCTION billing_refuse_other_account CASCADE",
    "DROP FUNCTION billing_check_order CASCADE",
    "DROP FUNCTION billing_check_sum CASCADE",
)
"""The statements that remove them."""
