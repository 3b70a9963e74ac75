"""The data that the demo's servers show: made once, by their own seeds, and kept until it is to be fresh."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

from alembic.util import CommandError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tunnelgate_app.demo.configuration import DATA
from tunnelgate_app.demo.state import DemoError, written_into
from tunnelgate_servers import billing_audit, tickets_draft
from tunnelgate_servers.billing_audit.seed import seed_ledger
from tunnelgate_servers.deploy_status.seed import write_releases
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft.seed import seed_tickets

_SEED: Final = 1
_UNFINISHED: Final = ".unfinished"
_BESIDE: Final = ("-journal", "-wal", "-shm")  # what SQLite puts beside a database

Seed = Callable[[Engine], int]


def make_data(folder: Path, *, until: date, fresh: bool = False) -> None:
    """Make what the servers show, with events up to ``until``.

    What is there is kept, and brought to the newest form; with ``fresh`` it is made anew.
    Raises :class:`DemoError` when the folder cannot be written, or a database in it cannot be used.
    """
    folder = folder.absolute()
    with written_into(folder):
        if fresh:
            for name in DATA.values():
                _remove(folder / name)
        _make_database(
            folder / DATA["tickets"],
            tickets_draft.__name__,
            lambda engine: seed_tickets(engine, seed=_SEED, until=until),
        )
        _make_database(
            folder / DATA["billing"],
            billing_audit.__name__,
            lambda engine: seed_ledger(engine, seed=_SEED, until=until),
        )
        _make_releases(folder / DATA["deploy"], until)


def _make_database(file: Path, package: str, seed: Seed) -> None:
    """Make a database with its data, so that it is there whole or not at all, or migrate the one there is."""
    is_new = not file.exists()
    opened = _unfinished(file) if is_new else file
    try:
        engine = open_writer(read_url(f"sqlite:///{opened}"))
        try:
            migrate(engine, package)
            if is_new:
                seed(engine)
        finally:
            engine.dispose()
    except (OptionsError, SQLAlchemyError, CommandError) as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())  # without the SQL
        raise DemoError(f"{file} cannot be used; make it anew: tunnelgate demo --fresh ({reason})") from None
    if is_new:
        opened.replace(file)


def _make_releases(folder: Path, until: date) -> None:
    if not folder.exists():
        unfinished = _unfinished(folder)
        write_releases(unfinished, seed=_SEED, until=until)
        unfinished.replace(folder)


def _unfinished(path: Path) -> Path:
    """Return where something is made before it is whole, with nothing there from a start that broke off."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    _remove(unfinished)
    return unfinished


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return
    for suffix in ("", *_BESIDE):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
