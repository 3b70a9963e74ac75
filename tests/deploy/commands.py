"""Whether a command line is one that a program of ours takes, without running what it asks for."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.main import get_command


def check_command(app: typer.Typer, words: Sequence[str]) -> None:
    """Raise what the command line would say of ``words``, which stand behind the name of the program."""
    command: Any = get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            raise ValueError(f"{' '.join(words)}: there is no command {' '.join(rest[:1])!r}")
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)
