"""What a database's own full-text search does for the index, and nothing else of it.

Both ways find the same passages for the same words: English forms of a word, letter case and accents make
no difference, and no word is left out. How relevant a passage is they judge each in its own way.
"""

from sqlalchemy import Engine

from tunnelgate_servers.docs_readonly.fulltext.interface import FullText, NewPassage, Passage
from tunnelgate_servers.docs_readonly.fulltext.postgresql import PostgresqlFullText
from tunnelgate_servers.docs_readonly.fulltext.sqlite import SqliteFullText

__all__ = ["FullText", "NewPassage", "Passage", "fulltext_of"]


def fulltext_of(engine: Engine) -> FullText:
    """Return the full-text search of the database that an engine is for."""
    return SqliteFullText() if engine.dialect.name == "sqlite" else PostgresqlFullText()
