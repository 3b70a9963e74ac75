"""`tunnelgate doctor`: tries every layer between a client and the servers behind the gate."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import typer

from tunnelgate.configuration.fields import duration
from tunnelgate.fetching import read_object
from tunnelgate_app.commands.shared import FOUND_WRONG, ConfigOption, say_what_is_wrong
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.errors import CommandError

_T = TypeVar("_T")


class DoctorError(CommandError):
    """The doctor cannot begin; the text says why."""


@say_what_is_wrong
def doctor(  # noqa: PLR0917 - the options of a command have a place each
    config: ConfigOption = Path("tunnelgate.yaml"),
    route: Annotated[
        str | None, typer.Option("--route", help="Look at this route alone; at all by default.")
    ] = None,
    connector_metrics: Annotated[
        str | None,
        typer.Option(
            "--connector-metrics",
            metavar="URL",
            help="Where cloudflared has its metrics; its usual ports on this machine by default.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="The certificate of the tunnel's CA; ca.crt beside the gate's by default."),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option("--gate", metavar="ADDR", help="Where the gate listens; listen_addr by default."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="A file with an access token for a route. It is never printed."),
    ] = None,
    tool: Annotated[
        str | None, typer.Option("--tool", help="A tool whose call harms nothing; needs --route.")
    ] = None,
    arguments: Annotated[
        str, typer.Option("--arguments", metavar="JSON", help="What it is called with.")
    ] = "{}",
    client_address: Annotated[
        str | None,
        typer.Option(
            "--client-address",
            metavar="IP",
            help="Whom to speak for, where the gate reads the client's address from a header.",
        ),
    ] = None,
    edge: Annotated[
        list[str] | None,
        typer.Option("--edge", metavar="HOST:PORT", help="A region of the edge; the two global by default."),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option("--api", metavar="HOST:PORT", help="The API; api.anthropic.com:443 by default."),
    ] = None,
    timeout: Annotated[
        str,
        typer.Option("--timeout", help="How long each check may take; all take 12 times as long at most."),
    ] = "5s",
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Leave out the edge and the API.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try every layer between a client and the servers behind the gate, and say what to do.

    It asks as the tunnel does, lists tools, and calls one only with a token: the one that is named, or the
    first that says that it only reads. The exit code is 1 when something is wrong.

    Example: tunnelgate doctor --route docs --token-file token
    """
    if tool is not None and route is None:
        raise typer.BadParameter("--tool needs --route, so that it is clear whose tool it is")
    try:
        from tunnelgate_app.doctor.examining import UnknownRouteError  # noqa: PLC0415 - see below
        from tunnelgate_app.doctor.judging.call import Call  # noqa: PLC0415
        from tunnelgate_app.doctor.options import Options  # noqa: PLC0415
        from tunnelgate_app.doctor.running import run  # noqa: PLC0415
        from tunnelgate_app.doctor.targets import Target  # noqa: PLC0415
        from tunnelgate_app.doctor.trying.edge import API, REGIONS  # noqa: PLC0415
    except ModuleNotFoundError as error:  # what asks servers is an extra
        missing = str(error.name).partition(".")[0]
        raise DoctorError(f"the doctor needs {missing}: pip install 'tunnelgate[admin]'") from None
    options = Options(
        config,
        route=route,
        connector=None
        if connector_metrics is None
        else _read("--connector-metrics", connector_metrics, _url),
        authorities=ca,
        gate=None if gate is None else _read("--gate", gate, GateAddress.read),
        token=None if token_file is None else _token(token_file),
        call=None if tool is None else Call(tool, _read("--arguments", arguments, _object)),
        client_address=client_address,
        is_offline=offline,
        seconds=_read("--timeout", timeout, _seconds),
        regions=tuple(_read("--edge", each, Target.from_text) for each in edge) if edge else REGIONS,
        api=API if api is None else _read("--api", api, Target.from_text),
    )
    try:
        _end(is_ok=run(options, as_json=as_json))
    except UnknownRouteError as error:
        raise typer.BadParameter(f"--route: {error}") from None


def _end(*, is_ok: bool) -> None:
    if not is_ok:
        raise typer.Exit(FOUND_WRONG)


def _read(option: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {text!r} {error}") from None


def _url(text: str) -> str:
    parts = urlsplit(text)
    # The port is read where it is asked for.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is not a URL such as http://127.0.0.1:20241")
    return text


def _seconds(text: str) -> float:
    seconds = duration(text)
    if not isinstance(seconds, float) or seconds <= 0:
        raise ValueError("is not a duration such as 5s")
    return seconds


def _object(text: str) -> Mapping[str, Any]:
    try:
        return read_object(text.encode())
    except ValueError:
        raise ValueError("is not a JSON object") from None


def _token(file: Path) -> str:
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--token-file: {file} cannot be read: {error}") from None
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise typer.BadParameter(f"--token-file: {file} has no token in it, which is one word")
    return token
