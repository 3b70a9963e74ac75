"""Brings the index up to date with a folder: what was changed is read again, and what is gone is removed.

All of it is one transaction, so that a reader sees the index from before or the one after it. Whether a file
was changed is told by its size and its time, and by a digest of what it holds where these differ.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from tunnelgate_servers.docs_readonly.fulltext import fulltext_of
from tunnelgate_servers.docs_readonly.options import sources_from_options
from tunnelgate_servers.docs_readonly.parsing import PARSERS_VERSION, kind_of
from tunnelgate_servers.docs_readonly.results import IndexReport, SkippedFile
from tunnelgate_servers.docs_readonly.sources import DocumentSources, FoundFile, SkippedError, text_of
from tunnelgate_servers.docs_readonly.writing import FileFacts, IndexWriter, writing_alone
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url, utc_now

PACKAGE: Final = "tunnelgate_servers.docs_readonly"
"""Whose migrations make the index."""

MAX_SKIPPED_FILES: Final = 50
"""How many of the files that were left out a report names."""

_SETTLED_NS = 2 * 10**9  # some file systems keep times to two seconds

_logger = logging.getLogger(PACKAGE)


def no_progress(done: int, total: int) -> None:
    """Tell nobody how far it is."""


class Indexer:
    """Brings the index in a database up to date with the documents of a folder.

    `database` is one that may be written, and is open only while that is done. `clock` returns what time it
    is, with its zone.
    """

    def __init__(
        self, database: URL, sources: DocumentSources, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._database = database
        self._sources = sources
        self._clock = clock

    def run(self, on_progress: Callable[[int, int], None] = no_progress) -> IndexReport:
        """Bring the index up to date, make it where there is none, and say what became of it.

        `on_progress` is called with the number of files that were looked at and of those that there are;
        what it raises ends the work and leaves the index as it was. Raises `DocumentsMissingError` when the
        folder is gone, and `OptionsError` when the database cannot be opened or written.
        """
        engine = open_writer(self._database)
        try:
            migrate(engine, PACKAGE)
            with writing_alone(engine) as connection:
                report = self._update(IndexWriter(connection, fulltext_of(engine)), on_progress)
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise OptionsError(f"The index cannot be written: {reason}.") from error
        finally:
            engine.dispose()
        _log(report)
        return report

    def _update(self, index: IndexWriter, on_progress: Callable[[int, int], None]) -> IndexReport:
        update = _Update(index, self._clock)
        files = self._sources.find()
        for number, file in enumerate(files):
            on_progress(number, len(files))
            update.take(file)
        report = update.finish()
        on_progress(len(files), len(files))
        return report


def index_documents(
    database: str,
    folder: str | Path,
    *,
    extra_files: Sequence[str | Path] = (),
    on_progress: Callable[[int, int], None] = no_progress,
) -> IndexReport:
    """Bring the index in a database up to date with the documents of a folder, as `Indexer` does."""
    sources = sources_from_options(folder, extra_files)
    return Indexer(read_url(database), sources).run(on_progress)


class _Update:
    """One update of the index, file by file."""

    def __init__(self, index: IndexWriter, clock: Callable[[], datetime]) -> None:
        self._index = index
        self._clock = clock
        self._known = index.known()
        self._seen: set[str] = set()
        self._skipped: list[SkippedFile] = []
        self._added = self._changed = 0

    def take(self, file: FoundFile) -> None:
        """Take a file into the index, unless it is there as it is, or note why it is left out."""
        try:
            if file.reason:
                raise SkippedError(file.reason)
            self._take(file)
        except SkippedError as error:
            self._skipped.append(SkippedFile(path=file.path, reason=str(error)))
        else:
            self._seen.add(file.path)

    def finish(self) -> IndexReport:
        """Remove what is gone, and say what the index holds now."""
        gone = [number for path, (number, _) in self._known.items() if path not in self._seen]
        for number in gone:
            self._index.remove(number)
        return IndexReport(
            documents=self._index.finish(),
            added=self._added,
            changed=self._changed,
            removed=len(gone),
            skipped=len(self._skipped),
            skipped_files=tuple(self._skipped[:MAX_SKIPPED_FILES]),
        )

    def _take(self, file: FoundFile) -> None:
        number, before = self._known.get(file.path, (None, None))
        if before and before.parsed_as != PARSERS_VERSION:
            before = None
        if before:
            stamp = file.stamp()
            if (stamp.size, stamp.modified_ns) == (before.size, before.modified_ns):
                return
        facts, text = self._read(file)
        if number is not None and before and before.digest == facts.digest:
            self._index.touch(number, facts)
            return
        parsed = kind_of(file.path).parse(text)
        if number is not None:
            self._index.remove(number)
        self._index.add(file.path, parsed, facts)
        self._added += number is None
        self._changed += number is not None

    def _read(self, file: FoundFile) -> tuple[FileFacts, str]:
        stamp, content = file.read()
        text = text_of(content)
        # A file that was just changed could be changed again and keep its time.
        now = int(self._clock().timestamp() * 10**9)
        modified_ns = stamp.modified_ns if stamp.modified_ns < now - _SETTLED_NS else None
        digest = hashlib.sha256(content).hexdigest()
        return FileFacts(stamp.size, modified_ns, digest, PARSERS_VERSION), text


def _log(report: IndexReport) -> None:
    for file in report.skipped_files:
        _logger.warning("Skipped %r: %s", file.path, file.reason)
    level = logging.INFO if report.documents else logging.WARNING
    _logger.log(
        level,
        "Indexed %d documents: %d added, %d changed, %d removed",
        report.documents,
        report.added,
        report.changed,
        report.removed,
    )
