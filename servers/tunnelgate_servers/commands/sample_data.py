"""Sample data for all four servers, made in a folder and moved into place when all of it is there."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tunnelgate_servers.billing_audit.seed import seed_ledger
from tunnelgate_servers.deploy_status.seed import write_releases
from tunnelgate_servers.docs_readonly.indexing import index_documents
from tunnelgate_servers.docs_readonly.seed import write_documents
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft.seed import seed_tickets

DOCUMENTS: Final = "documents"
DOCS: Final = "docs.sqlite"
TICKETS: Final = "tickets.sqlite"
BILLING: Final = "billing.sqlite"
RELEASES: Final = "releases"
MARK: Final = "seeded.json"
"""The file that says that the rest was made here, and of what."""

_NAMES: Final = (DOCUMENTS, DOCS, TICKETS, BILLING, RELEASES, MARK)


@dataclass(frozen=True, slots=True)
class Sample:
    """What sample data is made of; the same makes the same."""

    seed: int
    until: date
    documents: int


def make_sample_data(
    folder: Path, sample: Sample, on_progress: Callable[[int, int], None], *, replace: bool = False
) -> dict[str, str]:
    """Make sample data in `folder`, and return what is in each of its files and folders.

    `on_progress` is told how many documents were looked at for the index and how many there are. What an
    earlier call made is replaced when `replace` says so; nothing else ever is. Raises `OptionsError` where
    something is in the way or where the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_room(folder, replace=replace)
        with TemporaryDirectory(prefix=".seeding-", dir=folder) as work:
            made = _make(Path(work), sample, on_progress)
            for name in _NAMES:
                _remove(folder / name)
                (Path(work) / name).rename(folder / name)
    except OSError as error:
        raise OptionsError(f"{folder} cannot be written to: {error.strerror}.") from error
    return made


def _require_room(folder: Path, *, replace: bool) -> None:
    taken = [name for name in _NAMES if os.path.lexists(folder / name)]
    if taken and MARK not in taken:
        raise OptionsError(f"{folder / taken[0]} was not made by this command; choose another folder.")
    if taken and not replace:
        raise OptionsError(f"{folder} has sample data already; --replace makes it anew.")


def _make(work: Path, sample: Sample, on_progress: Callable[[int, int], None]) -> dict[str, str]:
    seed, until = sample.seed, sample.until
    (work / DOCUMENTS).mkdir()
    (work / RELEASES).mkdir()
    (work / MARK).write_bytes(orjson.dumps(asdict(sample), option=orjson.OPT_APPEND_NEWLINE))
    tickets = _fill(work / TICKETS, "tickets_draft", partial(seed_tickets, seed=seed, until=until))
    transactions = _fill(work / BILLING, "billing_audit", partial(seed_ledger, seed=seed, until=until))
    releases = write_releases(work / RELEASES, seed=seed, until=until)
    documents = write_documents(work / DOCUMENTS, seed=seed, until=until, count=sample.documents)
    index = index_documents(_url(work / DOCS), work / DOCUMENTS, on_progress=on_progress)
    return {
        DOCUMENTS: f"{documents} documents",
        DOCS: f"the index of {index.documents} documents",
        TICKETS: f"{tickets} tickets",
        BILLING: f"{transactions} transactions",
        RELEASES: f"{releases} release records",
    }


def _fill(file: Path, package: str, seed: Callable[[Engine], int]) -> int:
    engine = open_writer(read_url(_url(file)))
    try:
        migrate(engine, f"tunnelgate_servers.{package}")
        return seed(engine)
    finally:
        engine.dispose()


def _url(file: Path) -> str:
    return URL.create("sqlite", database=str(file)).render_as_string()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
