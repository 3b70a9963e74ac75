"""The index file: built whole beside its place, put there in one step, and only ever opened for reading."""

import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from tunnelgate_servers.docs_readonly.errors import IndexUnavailableError, OptionsError
from tunnelgate_servers.docs_readonly.markdown import parse_markdown
from tunnelgate_servers.docs_readonly.reader import IndexReader
from tunnelgate_servers.docs_readonly.results import IndexReport, SkippedFile
from tunnelgate_servers.docs_readonly.sources import DocumentSources, SourceDocument

APPLICATION_ID: Final = 0x54476478
"""What marks a SQLite file as an index of this server, in its header."""

_SQLITE_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 72  # the last four are the application id

_SCHEMA = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE documents (
        path TEXT NOT NULL PRIMARY KEY, title TEXT NOT NULL, size INTEGER NOT NULL, headings INTEGER NOT NULL,
        text TEXT NOT NULL
    );
    CREATE VIRTUAL TABLE sections USING fts5 (
        path UNINDEXED, title, heading, body, tokenize = 'porter unicode61 remove_diacritics 2'
    );
"""

_logger = logging.getLogger("tunnelgate_servers.docs_readonly")


class DocumentIndex:
    """The full-text index of some documents in one SQLite file.

    Nothing is ever written into the file that readers use: a rebuild replaces it as a whole. A connection is
    opened for each use, in the thread that uses it; that costs about 0.1 ms, and leaves nothing to share
    between threads or to close at the end.
    Raises `OptionsError` when the file exists and is not an index of this server.
    """

    def __init__(self, file: Path, sources: DocumentSources) -> None:
        _refuse_foreign_file(file)
        self._file = file
        self._sources = sources
        self._rebuilding = threading.Lock()

    def rebuild(self) -> IndexReport:
        """Read all documents and replace the index; calls from several threads follow one another.

        Until the last step, and after an error, readers have the index from before.
        Raises `DocumentsMissingError` when the folder is gone, and `OSError` or `sqlite3.Error` when the
        index cannot be written.
        """
        with self._rebuilding:
            folder = self._file.parent
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=f"{self._file.name}.", suffix=".building")
            building = Path(name)
            try:
                with os.fdopen(handle, "rb") as file:
                    report = _build(building, self._sources)
                    os.fsync(file.fileno())
                building.replace(self._file)
            finally:
                building.unlink(missing_ok=True)
            _sync_folder(folder)
        _log(report)
        return report

    @contextmanager
    def reader(self) -> Generator[IndexReader]:
        """Open the index for reading; for use in one thread.

        Raises `IndexUnavailableError` when the file cannot be opened or read, also from inside the block.
        """
        try:
            with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True)) as connection:
                yield IndexReader(connection)
        except sqlite3.Error as error:
            raise IndexUnavailableError("The index cannot be read.") from error


def _build(file: Path, sources: DocumentSources) -> IndexReport:
    documents = sections = 0
    skipped: list[SkippedFile] = []
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(_SCHEMA)
        for found in sources.read():
            if isinstance(found, SkippedFile):
                skipped.append(found)
            else:
                documents += 1
                sections += _insert(connection, found)
        connection.execute("INSERT INTO sections (sections) VALUES ('optimize')")
        connection.commit()
    return IndexReport(documents=documents, sections=sections, skipped=tuple(skipped))


def _insert(connection: sqlite3.Connection, document: SourceDocument) -> int:
    """Write one document and return how many sections it has."""
    markdown = parse_markdown(document.text)
    title = markdown.title or Path(document.path).stem
    connection.execute(
        "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
        (document.path, title, document.size, len(markdown.headings), document.text),
    )
    connection.executemany(
        "INSERT INTO sections VALUES (?, ?, ?, ?)",
        [(document.path, title, section.heading, markdown.body(section)) for section in markdown.sections],
    )
    return len(markdown.sections)


def _refuse_foreign_file(file: Path) -> None:
    """Keep a mistyped path from replacing somebody's data."""
    if not file.exists():
        return
    header = _header(file) if file.is_file() else b""
    ours = header[:16] == _SQLITE_MAGIC and header[-4:] == APPLICATION_ID.to_bytes(4, "big")
    if not ours:
        raise OptionsError(f"The index {file} exists and is not an index of this server; name another file.")


def _header(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_HEADER_BYTES)


def _sync_folder(folder: Path) -> None:
    """Make the replacement itself survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _log(report: IndexReport) -> None:
    for file in report.skipped:
        _logger.warning("Skipped %r: %s", file.path, file.reason)
    level = logging.INFO if report.documents else logging.WARNING
    _logger.log(level, "Indexed %d documents with %d sections", report.documents, report.sections)
