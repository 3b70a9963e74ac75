"""Folders of documents to index, and readers of what was indexed."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly.indexing import Indexer
from tunnelgate_servers.docs_readonly.reader import IndexReader
from tunnelgate_servers.docs_readonly.sources import DocumentSources
from tunnelgate_servers.hosting import open_reader, read_url

NAME = "docs-readonly"

GUIDE = """\
Read this first.

# Guide

How the **gate** is set up.

## Routes

A route has a hostname.

### Mounts

An application in the same process.

```sh
# not a heading
```

## Audit

Every decision goes to audit.jsonl.
"""


def write_documents(folder: Path, documents: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in documents.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def later() -> datetime:
    """Return a time at which all files of a test were written long ago."""
    return datetime.now(UTC) + timedelta(hours=1)


def indexer_of(url: str, folder: Path, *extra_files: Path, **options: Any) -> Indexer:
    """Return what indexes a folder."""
    sources = DocumentSources(folder.resolve(), extra_files)
    return Indexer(read_url(url), sources, **{"clock": later, **options})


def indexed(databases: Databases, folder: Path) -> str:
    """Index a folder in a new database, and return its URL."""
    url = databases.new()
    indexer_of(url, folder).run()
    return url


@contextmanager
def opened(databases: Databases, url: str) -> Generator[Engine]:
    """Open a database as the server does, for reading only."""
    engine = open_reader(read_url(databases.reader(url, NAME)))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def reader_of(
    databases: Databases, documents: Path | Mapping[str, str | bytes], place: Path
) -> Generator[IndexReader]:
    """Index documents, which are written below `place` if they are not there yet, and give their reader."""
    folder = documents if isinstance(documents, Path) else write_documents(place / "docs", documents)
    with opened(databases, indexed(databases, folder)) as engine:
        yield IndexReader(engine)
