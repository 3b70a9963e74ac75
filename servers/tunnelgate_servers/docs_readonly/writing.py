"""Writes documents into the index, inside of a transaction of somebody else."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from tunnelgate_servers.docs_readonly.folding import composed
from tunnelgate_servers.docs_readonly.fulltext import FullText, NewPassage
from tunnelgate_servers.docs_readonly.models import Document, Passage, Section
from tunnelgate_servers.docs_readonly.parsing import ParsedDocument
from tunnelgate_servers.docs_readonly.passages import passages_of

_MUCH: Final = 0.1  # of the documents, from which on it is worth to put their words into order


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file was like when it was read, as the columns of a document say it."""

    size: int
    modified_ns: int | None
    digest: str
    parsed_as: int


@contextmanager
def writing_alone(engine: Engine) -> Generator[Connection]:
    """Open a transaction of which there is one at a time, and beside which readers go on reading.

    It is committed unless the block raises.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Pages that went to the file before the end would lock the readers out until then. It has to
            # be said before the transaction begins.
            connection.connection.cursor().execute("PRAGMA cache_spill = OFF")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE documents IN SHARE ROW EXCLUSIVE MODE")
            yield connection


class IndexWriter:
    """The index, as who brings it up to date sees it, in the transaction of `writing_alone`."""

    def __init__(self, connection: Connection, fulltext: FullText) -> None:
        self._connection = connection
        self._fulltext = fulltext
        self._written = 0

    def known(self) -> Mapping[str, tuple[int, FileFacts]]:
        """Return the ids of the documents by their paths, and what their files were like."""
        wanted = select(
            Document.path,
            Document.id,
            Document.size,
            Document.modified_ns,
            Document.digest,
            Document.parsed_as,
        )
        rows = self._connection.execute(wanted)
        return {
            path: (number, FileFacts(size, modified_ns, digest, parsed_as))
            for path, number, size, modified_ns, digest, parsed_as in rows
        }

    def add(self, path: str, parsed: ParsedDocument, file: FileFacts) -> None:
        """Add a document whose path is not in the index."""
        title = parsed.title or PurePosixPath(path).stem
        document = {
            "path": path,
            "title": title,
            "text": parsed.text,
            "headings": sum(1 for section in parsed.sections if section.level),
            "size": file.size,
            "modified_ns": file.modified_ns,
            "digest": file.digest,
            "parsed_as": file.parsed_as,
        }
        number = self._connection.execute(insert(Document).returning(Document.id), document).scalar_one()
        sections = [
            {
                "document_id": number,
                "position": position,
                "heading": section.heading,
                "level": section.level,
                "start": section.start,
                "end": section.end,
            }
            for position, section in enumerate(parsed.sections)
        ]
        if sections:
            self._connection.execute(insert(Section), sections)
        self._fulltext.add(
            self._connection,
            [
                NewPassage(number, composed(title), composed(section.heading), passage)
                for section in parsed.sections
                for passage in passages_of(composed(section.body))
            ],
        )
        self._written += 1

    def remove(self, number: int) -> None:
        """Remove the document with this id."""
        for table, column in ((Passage, Passage.document_id), (Section, Section.document_id)):
            self._connection.execute(delete(table).where(column == number))
        self._connection.execute(delete(Document).where(Document.id == number))
        self._written += 1

    def touch(self, number: int, file: FileFacts) -> None:
        """Note when the file of a document was changed, when nothing else of it was."""
        changed = {"modified_ns": file.modified_ns}
        self._connection.execute(update(Document).where(Document.id == number), changed)

    def finish(self) -> int:
        """Put the words into order where much was written, and return how many documents there are."""
        count = self._connection.execute(select(func.count()).select_from(Document)).scalar_one()
        if self._written > _MUCH * count:
            self._fulltext.settle(self._connection)
        return count
