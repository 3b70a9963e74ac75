"""Documents, their sections, and their passages, which the database's own full-text search finds.

In SQLite, triggers keep an FTS5 table in step with the passages. In PostgreSQL, a column beside them holds
their words, which whoever inserts them adds, for a configuration that leaves no word out.
"""

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_PATH_CHARACTERS = 500
_PATH = sa.String(_PATH_CHARACTERS).with_variant(sa.String(_PATH_CHARACTERS, collation="C"), "postgresql")

_SQLITE = (
    """
    CREATE VIRTUAL TABLE passage_words USING fts5 (
        title, heading, body,
        content = 'passages', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
    )
    """,
    "INSERT INTO passage_words (passage_words, rank) VALUES ('rank', 'bm25(2.0, 5.0, 1.0)')",
    """
    CREATE TRIGGER passages_inserted AFTER INSERT ON passages BEGIN
        INSERT INTO passage_words (rowid, title, heading, body)
        VALUES (new.id, new.title, new.heading, new.body);
    END
    """,
    """
    CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN
        INSERT INTO passage_words (passage_words, rowid, title, heading, body)
        VALUES ('delete', old.id, old.title, old.heading, old.body);
    END
    """,
)

_POSTGRESQL = (
    "CREATE TEXT SEARCH DICTIONARY passage_stems (TEMPLATE = snowball, LANGUAGE = 'english')",
    "CREATE TEXT SEARCH CONFIGURATION passage_words (COPY = simple)",
    """
    ALTER TEXT SEARCH CONFIGURATION passage_words
    ALTER MAPPING FOR asciiword, word, numword WITH passage_stems
    """,
    "ALTER TABLE passages ADD COLUMN words tsvector NOT NULL",
    # Without fast updates: they would leave to the readers what the index has not taken in yet.
    "CREATE INDEX passages_words ON passages USING gin (words) WITH (fastupdate = off)",
)


def upgrade() -> None:
    """Make the tables, and what makes their words searchable."""
    op.create_table(
        "documents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", _PATH, nullable=False, unique=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("headings", sa.Integer, nullable=False),
        sa.Column("modified_ns", sa.BigInteger),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("parsed_as", sa.Integer, nullable=False),
    )
    op.create_table(
        "sections",
        sa.Column("document_id", sa.Integer, sa.ForeignKey("documents.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("heading", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
    )
    op.create_table(
        "passages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("document_id", sa.Integer, sa.ForeignKey("documents.id"), nullable=False, index=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("heading", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Remove the tables, and what was made for their words."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in (*(["passage_words"] if is_sqlite else []), "passages", "sections", "documents"):
        op.drop_table(table)
    if not is_sqlite:
        op.execute("DROP TEXT SEARCH CONFIGURATION passage_words")
        op.execute("DROP TEXT SEARCH DICTIONARY passage_stems")
