"""The `tunnelgate-servers` command.

Exit codes: 0 is fine, 1 found something wrong, 2 was used wrongly, such as with a faulty file.
"""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeAlias

import typer
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tunnelgate import ConfigurationError
from tunnelgate_app.logs import configure_logs
from tunnelgate_servers.commands.options import read_options
from tunnelgate_servers.commands.progress import shown_progress
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url
from tunnelgate_servers.hosting.running import Server, open_listener
from tunnelgate_servers.known import SERVERS
from tunnelgate_servers.postgres_roles import role_sql

_FOUND_WRONG = 1
_USED_WRONGLY = 2
_FIRST_DAY = date(2000, 1, 1)
_LAST_DAY = date(2099, 12, 31)
_P = ParamSpec("_P")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The sample MCP servers: their data, their databases, and each of them by itself.",
)


def _known(name: str) -> str:
    if name not in SERVERS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(SERVERS)}")
    return name


ServerArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        callback=_known, metavar="SERVER", help=f"One of {', '.join(SERVERS)}.", show_default=False
    ),
]
DatabaseOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--database", metavar="URL", help="Such as sqlite:///FILE or postgresql://…", show_default=False
    ),
]


def _say_what_is_wrong(command: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (ConfigurationError, OptionsError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(_USED_WRONGLY) from None
        except SQLAlchemyError as error:
            # Without the statement, which may hold what is to be written.
            reason = error.orig if isinstance(error, DBAPIError) else error
            typer.echo(f"The database does not do this: {' '.join(str(reason).split())}.", err=True)
            raise typer.Exit(_FOUND_WRONG) from None

    return wrapped


@app.command("migrate")
@_say_what_is_wrong
def migrate_database(server: ServerArgument, database: DatabaseOption) -> None:
    """Bring a server's database to its newest form.

    A SQLite file is made where there is none.

    Example: tunnelgate-servers migrate tickets-draft --database sqlite:///tickets.sqlite
    """
    known = SERVERS[server]
    if not known.has_database:
        raise OptionsError(f"{server} has no database.")
    engine = open_writer(read_url(database))
    try:
        migrate(engine, known.package)
    finally:
        engine.dispose()
    typer.echo(f"The database of {server} has its newest form.")


@app.command()
@_say_what_is_wrong
def reindex(
    folder: Annotated[
        Path,
        typer.Option("--folder", metavar="FOLDER", help="The documents.", show_default=False),
    ],
    database: DatabaseOption,
) -> None:
    """Bring the index of docs-readonly up to date.

    What was changed in the folder is read again, and what is gone is removed.

    Example: tunnelgate-servers reindex --folder documents --database sqlite:///docs.sqlite
    """
    from tunnelgate_servers.docs_readonly.indexing import (  # noqa: PLC0415 - it needs that server
        PACKAGE,
        index_documents,
    )

    logging.getLogger(PACKAGE).addHandler(logging.NullHandler())  # what it would say is printed below
    with shown_progress("documents") as on_progress:
        report = index_documents(database, folder, on_progress=on_progress)
    typer.echo(
        f"The index has {report.documents} documents: {report.added} new, {report.changed} changed, "
        f"{report.removed} removed."
    )
    for skipped in report.skipped_files:
        name = skipped.path if skipped.path.isprintable() else ascii(skipped.path)
        typer.echo(f"left out: {name}: {skipped.reason}", err=True)
    if report.skipped > len(report.skipped_files):
        typer.echo(f"left out: {report.skipped - len(report.skipped_files)} more", err=True)


@app.command()
@_say_what_is_wrong
def role(
    server: ServerArgument,
    name: Annotated[
        str,
        typer.Option(
            "--name", help="The name of the role; tunnelgate_reader by default.", show_default=False
        ),
    ] = "tunnelgate_reader",
    owner: Annotated[
        str,
        typer.Option(
            "--owner", help="Who migrates; the owner of the database by default.", show_default=False
        ),
    ] = "",
) -> None:
    """Print the SQL of a PostgreSQL role that only reads.

    It can read what one server keeps, and do nothing else.

    Example: tunnelgate-servers role billing-audit | psql -v ON_ERROR_STOP=1 billing
    """
    typer.echo(role_sql(SERVERS[server], name=name, owner=owner), nl=False)


@app.command()
@_say_what_is_wrong
def serve(
    server: ServerArgument,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Its options, a YAML file.", show_default=False)
    ],
) -> None:
    """Run a server by itself.

    It answers the tokens that were made for it.

    Example: tunnelgate-servers serve docs-readonly --config docs.yaml
    """
    options = read_options(server, config)
    configure_logs("warn")
    try:
        # Before the application, because what still listens there may have the same database.
        listener = open_listener(*options.address)
    except OptionsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_FOUND_WRONG) from None
    with listener:
        application = SERVERS[server].create_app(**options.given)
        has_served = Server(application, listener).serve_until_stopped()
    raise typer.Exit(0 if has_served else _FOUND_WRONG)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("it is no day such as 2026-03-31") from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise typer.BadParameter(f"it is not between {_FIRST_DAY} and {_LAST_DAY}")
    return day


@app.command()
@_say_what_is_wrong
def seed(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to make it.", show_default=False)],
    number: Annotated[
        int, typer.Option("--seed", min=0, max=999_999_999, help="The same number makes the same data.")
    ] = 1,
    until: Annotated[
        date | None,
        typer.Option(
            "--until", parser=_day, metavar="DATE", help="Its last day; today by default.", show_default=False
        ),
    ] = None,
    documents: Annotated[
        int, typer.Option("--documents", min=1, max=100_000, help="How many documents.")
    ] = 300,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what this command has made there.")
    ] = False,
) -> None:
    """Make sample data for all four servers.

    These are documents with their index, SQLite databases, and release records.

    Example: tunnelgate-servers seed sample --seed 7 --until 2026-11-22
    """
    from tunnelgate_servers.commands.sample_data import (  # noqa: PLC0415 - it needs all four servers
        Sample,
        make_sample_data,
    )

    sample = Sample(number, until or datetime.now(UTC).date(), documents)
    with shown_progress("documents") as on_progress:
        made = make_sample_data(folder, sample, on_progress, replace=replace)
    for name, text in made.items():
        typer.echo(f"{folder / name}: {text}")
    typer.echo(f"Made with --seed {sample.seed} --until {sample.until} --documents {sample.documents}.")
