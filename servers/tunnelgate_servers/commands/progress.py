"""How far a long command has come: a bar on a terminal, and a line now and then elsewhere."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LINES: Final = 10  # in all, where there is no bar


@contextmanager
def shown_progress(what: str, stream: TextIO | None = None) -> Generator[Callable[[int, int], None]]:
    """Give what is called with how many are done and how many there are; it shows that on `stream`.

    `what` names them in the plural. Without a `stream` it is standard error.
    """
    console = Console(file=stream or sys.stderr)
    if not console.is_terminal:
        yield _Lines(console, what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


class _Lines:
    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what
        self._said = 0

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is whenever another tenth is done."""
        tenth = _LINES if done >= total else done * _LINES // total
        if tenth > self._said:
            self._said = tenth
            self._console.print(
                f"{self._what}: {done} of {total}", highlight=False, markup=False, soft_wrap=True
            )
