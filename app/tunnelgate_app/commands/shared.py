"""What commands have in common: their exit codes, how they say what is wrong, and their options."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import orjson
import typer

from tunnelgate import ConfigurationError
from tunnelgate_app.errors import CommandError

FOUND_WRONG = 1
USED_WRONGLY = 2

_P = ParamSpec("_P")

ConfigOption = Annotated[Path, typer.Option("--config", help="The configuration, a YAML file.")]


def say_what_is_wrong(command: Callable[_P, None]) -> Callable[_P, None]:
    """Return ``command`` so that its errors are sentences on standard error, with an exit code."""

    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(USED_WRONGLY) from None
        except CommandError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(FOUND_WRONG) from None
        except BrokenPipeError:  # whoever read it has seen enough
            raise
        except OSError as error:
            typer.echo(f"{error.filename or 'what is printed'}: {error.strerror or error}", err=True)
            raise typer.Exit(FOUND_WRONG) from None

    return wrapped


def print_json(document: Any) -> None:
    """Print ``document`` as JSON in ASCII, in which nothing of what others said moves a cursor."""
    plain = orjson.loads(orjson.dumps(document, option=orjson.OPT_UTC_Z))
    typer.echo(json.dumps(plain, indent=2).replace("\x7f", "\\u007f"))
