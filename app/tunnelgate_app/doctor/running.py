"""Runs an examination in this process, and prints what it finds."""

import asyncio
import logging
import os
import shutil
import sys

import typer

from tunnelgate_app.doctor.examining import examine
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.doctor.rendering import Machines, People
from tunnelgate_app.doctor.wording import Wording

_SILENT = logging.NullHandler()


def run(options: Options, *, as_json: bool) -> bool:
    """Print what is found, and return whether nothing is wrong.

    Raises :class:`~tunnelgate_app.doctor.examining.UnknownRouteError`.
    """
    # What is logged on the way, the findings say; without a handler it would go to standard error.
    logging.getLogger().addHandler(_SILENT)
    wording = Wording()
    wording.leave_out(options.token or "")
    report = Machines(typer.echo, wording) if as_json else _for_people(wording)
    return asyncio.run(_examined(options, Surroundings(os.environ, wording.leave_out), report))


async def _examined(options: Options, surroundings: Surroundings, report: People | Machines) -> bool:
    await examine(options, surroundings, report.tell)
    return report.finish()


def _for_people(wording: Wording) -> People:
    is_terminal = sys.stdout.isatty()
    return People(
        typer.echo,
        wording,
        columns=shutil.get_terminal_size().columns if is_terminal else None,
        colours=is_terminal and not os.environ.get("NO_COLOR"),
    )
