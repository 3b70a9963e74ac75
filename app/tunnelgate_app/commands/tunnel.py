"""`tunnelgate tunnel`: the tunnels themselves, by Anthropic's Tunnels API."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunnelgate_app.administration import operations
from tunnelgate_app.administration.api_url import API_URL
from tunnelgate_app.administration.authority import read_authority
from tunnelgate_app.administration.credentials import credentials_from
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.failures import printable
from tunnelgate_app.administration.files import kept_tunnel_id
from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.reading import is_certificate_id, is_tunnel_id
from tunnelgate_app.administration.records import State, Tunnel, TunnelToken, state_of
from tunnelgate_app.administration.telling import (
    certificate_table,
    effect_of_rotation,
    next_steps,
    tunnel_lines,
    tunnel_table,
)
from tunnelgate_app.certificates.owner import Owner
from tunnelgate_app.commands.shared import print_json, say_what_is_wrong

if TYPE_CHECKING:  # what it imports may be missing
    from tunnelgate_app.administration.client import TunnelsClient

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, list and archive tunnels, their CAs and their tokens, by Anthropic's Tunnels API.",
)

ApiUrl = Annotated[str, typer.Option("--api-url", envvar="API_URL", help="The URL of the API.")]
AuthTokenFile = Annotated[
    Path | None,
    typer.Option("--auth-token-file", help="A file with the token to ask with, not the environment's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[
    Path, typer.Option("--output", help="The folder of the tunnel: its id, its domain, its token.")
]
TunnelId = Annotated[
    str | None,
    typer.Option(
        "--tunnel-id", envvar="TUNNEL_ID", help="The tunnel; by default the one whose folder is --output."
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="The file for the tunnel's token alone, in place of --output."),
]
OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", metavar="UID[:GID]", help="Give the token's file to this user; needs root."),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Print the token, too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Archived = Annotated[bool, typer.Option("--archived", help="With those that are archived.")]

_FOLDER = Path("data")
_MAX_NAME = 255
_CUSTOM_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"


@app.command()
@say_what_is_wrong
def create(
    name: Annotated[
        str | None, typer.Option("--name", help=f"What people call it, at most {_MAX_NAME} characters.")
    ] = None,
    output: Output = _FOLDER,
    token_file: TokenFile = None,
    owner: OwnerOption = None,
    *,
    reveal: Reveal = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Make a tunnel, and write its id, its domain and its token to files.

    It is never tried twice by itself, because each time makes another tunnel.

    Example: tunnelgate tunnel create --name docs --output data
    """
    if name is not None and not 1 <= len(name) <= _MAX_NAME:
        raise typer.BadParameter(f"a name has 1 to {_MAX_NAME} characters, and this one has {len(name)}")
    place = _place(output, token_file, owner)
    with _client(api_url, auth_token_file) as client:
        tunnel, token = operations.create_tunnel(client, name, place)
    typer.echo("".join(f"warning: {each}\n" for each in place.warnings()), nl=False, err=True)
    if as_json:
        state = State.NEEDS_CERTIFICATE
        print_json({**tunnel.document(state), "token": _token_document(token, place, reveal=reveal)})
    else:
        typer.echo(tunnel_lines(tunnel, State.NEEDS_CERTIFICATE))
        _print_token(token, place, reveal=reveal)
        typer.echo(f"\n{next_steps(tunnel, place)}")


@app.command("list")
@say_what_is_wrong
def list_(
    *,
    archived: Archived = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """List the tunnels, newest first, with their states: Needs certificate, Active, Archived.

    Example: tunnelgate tunnel list --archived
    """
    with _client(api_url, auth_token_file) as client:
        tunnels = operations.list_tunnels(client, archived=archived)
    if as_json:
        print_json([tunnel.document(state) for tunnel, state in tunnels])
    else:
        typer.echo(tunnel_table(tunnels) if tunnels else "There are no tunnels.")


@app.command()
@say_what_is_wrong
def show(
    tunnel_id: TunnelId = None,
    output: Output = _FOLDER,
    *,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Show a tunnel and the CAs that are registered for it.

    Example: tunnelgate tunnel show --output data
    """
    chosen, now = _chosen(tunnel_id, output), datetime.now(UTC)
    with _client(api_url, auth_token_file) as client:
        tunnel = client.tunnel(chosen)
        certificates = () if tunnel.archived_at is not None else client.certificates(chosen)
    state = state_of(tunnel, certificates)
    if as_json:
        listed = [each.document(now) for each in certificates]
        print_json({**tunnel.document(state), "certificates": listed})
    else:
        typer.echo(tunnel_lines(tunnel, state))
        if certificates:
            typer.echo(f"\n{certificate_table(certificates, now)}")


@app.command("add-ca")
@say_what_is_wrong
def add_ca(
    file: Annotated[Path, typer.Argument(help="The CA certificate in PEM, without its key.")],
    tunnel_id: TunnelId = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The folder of the tunnel; by default that of the file.")
    ] = None,
    *,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Register a CA certificate, so that what it signs is trusted; a tunnel has at most two.

    It is checked by the rules for CAs before anything is sent.

    Example: tunnelgate tunnel add-ca data/ca.crt
    """
    chosen, now = _chosen(tunnel_id, output or file.parent), datetime.now(UTC)
    authority = read_authority(file, now)
    with _client(api_url, auth_token_file) as client:
        registered = operations.add_ca(client, chosen, authority)
    if as_json:
        print_json({**registered.certificate.document(now), "was_there": registered.was_there})
    else:
        typer.echo(
            f"{file} was registered for {chosen} before; nothing was sent."
            if registered.was_there
            else f"{file} is registered for {chosen}."
        )
        typer.echo(certificate_table([registered.certificate], now))


@app.command("list-cas")
@say_what_is_wrong
def list_cas(
    tunnel_id: TunnelId = None,
    output: Output = _FOLDER,
    *,
    archived: Archived = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """List the CAs that are registered for a tunnel.

    Example: tunnelgate tunnel list-cas --output data
    """
    chosen, now = _chosen(tunnel_id, output), datetime.now(UTC)
    with _client(api_url, auth_token_file) as client:
        certificates = client.certificates(chosen, archived=archived)
    if as_json:
        print_json([each.document(now) for each in certificates])
    else:
        nothing = f"{chosen} has no CA. It takes no traffic until one is registered."
        typer.echo(certificate_table(certificates, now) if certificates else nothing)


@app.command("archive-ca")
@say_what_is_wrong
def archive_ca(
    certificate_id: Annotated[str, typer.Argument(help="The CA, by its id, which begins with tcrt_.")],
    tunnel_id: TunnelId = None,
    output: Output = _FOLDER,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Archive a CA: what it has signed is trusted no more. It asks first where it is the last one.

    Example: tunnelgate tunnel archive-ca tcrt_011CZkZaBF1tNoB5wlCeusgy
    """
    if not is_certificate_id(certificate_id):
        raise typer.BadParameter(f"{certificate_id!r} is no id of a CA, which begins with tcrt_")
    chosen, now = _chosen(tunnel_id, output), datetime.now(UTC)
    with _client(api_url, auth_token_file) as client:
        if not yes and [each.id for each in client.certificates(chosen)] == [certificate_id]:
            what = f"{certificate_id} is the last CA of {chosen}. Without one, no traffic comes through."
            _confirm(what, "the CA's id", certificate_id)
        certificate = client.archive_certificate(chosen, certificate_id)
    if as_json:
        print_json(certificate.document(now))
    else:
        typer.echo(f"{certificate.id} is archived.")


@app.command("reveal-token")
@say_what_is_wrong
def reveal_token(
    tunnel_id: TunnelId = None,
    output: Output = _FOLDER,
    token_file: TokenFile = None,
    owner: OwnerOption = None,
    *,
    reveal: Reveal = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Write the token that a tunnel has to a file. Each time is recorded in the organization's activity log.

    The token of a relay tunnel cannot be had again; rotate it.

    Example: tunnelgate tunnel reveal-token --tunnel-id tnl_011CZkZaBF1tNoB5wlCeusgy --output data
    """
    place = _place(output, token_file, owner)
    chosen = _chosen(tunnel_id, output)
    with _client(api_url, auth_token_file) as client:
        tunnel, token = operations.reveal_token(client, chosen, place)
    typer.echo("".join(f"warning: {each}\n" for each in place.warnings()), nl=False, err=True)
    if as_json:
        print_json({"tunnel_id": tunnel.id, "token": _token_document(token, place, reveal=reveal)})
    else:
        _print_token(token, place, reveal=reveal)


@app.command("rotate-token")
@say_what_is_wrong
def rotate_token(
    tunnel_id: TunnelId = None,
    output: Output = _FOLDER,
    token_file: TokenFile = None,
    owner: OwnerOption = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for the audit of the service.")] = None,
    *,
    reveal: Reveal = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Give a tunnel a new token, in place of the one in its file, and say what becomes of connections.

    It is never tried twice by itself. The old token opens no more connections.

    Example: tunnelgate tunnel rotate-token --output data --reason "yearly rotation"
    """
    place = _place(output, token_file, owner)
    chosen = _chosen(tunnel_id, output)
    with _client(api_url, auth_token_file) as client:
        tunnel, token = operations.rotate_token(client, chosen, place, reason)
    typer.echo("".join(f"warning: {each}\n" for each in place.warnings()), nl=False, err=True)
    effect = effect_of_rotation(tunnel.transport)
    if as_json:
        told = {"tunnel_id": tunnel.id, "transport": tunnel.transport, "effect": effect}
        print_json({**told, "token": _token_document(token, place, reveal=reveal)})
    else:
        _print_token(token, place, reveal=reveal)
        typer.echo(effect)


@app.command()
@say_what_is_wrong
def archive(
    tunnel_id: Annotated[str, typer.Option("--tunnel-id", help="The tunnel, by its id.")],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
    api_url: ApiUrl = API_URL,
    auth_token_file: AuthTokenFile = None,
) -> None:
    """Archive a tunnel, which cannot be undone: its domain, its CAs and its token are gone for good.

    It asks for the id once more.

    Example: tunnelgate tunnel archive --tunnel-id tnl_011CZkZaBF1tNoB5wlCeusgy
    """
    chosen = _checked(tunnel_id)
    with _client(api_url, auth_token_file) as client:
        tunnel = client.tunnel(chosen)
        if tunnel.archived_at is None:
            if not yes:
                _confirm(_what_archiving_does(tunnel), "the tunnel's id", chosen)
            tunnel = client.archive(chosen)
    if as_json:
        print_json(tunnel.document(State.ARCHIVED))
    else:
        typer.echo(tunnel_lines(tunnel, State.ARCHIVED))


def _client(api_url: str, auth_token_file: Path | None) -> "TunnelsClient":
    credentials = credentials_from(os.environ, auth_token_file)
    os.environ.pop(_CUSTOM_HEADERS, None)  # the SDK would let it take the place of these credentials
    try:
        from tunnelgate_app.administration.client import TunnelsClient  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise AdministrationError(
            f"`tunnelgate tunnel` needs {missing}: pip install 'tunnelgate[admin]'"
        ) from None
    return TunnelsClient(credentials, api_url)


def _chosen(tunnel_id: str | None, folder: Path) -> str:
    chosen = kept_tunnel_id(folder) if tunnel_id is None else tunnel_id
    if chosen is None:
        raise typer.BadParameter(
            f"name the tunnel by --tunnel-id, or its folder by --output; {folder} is that of no tunnel"
        )
    return _checked(chosen)


def _place(folder: Path, token_file: Path | None, owner: str | None) -> Place:
    try:
        return Place.of(folder, token_file, None if owner is None else Owner.from_text(owner))
    except ValueError as error:
        raise typer.BadParameter(f"--owner {owner!r} {error}") from None


def _checked(tunnel_id: str) -> str:
    if not is_tunnel_id(tunnel_id):
        raise typer.BadParameter(
            f"{tunnel_id!r} is no id of a tunnel, which begins with tnl_; see `tunnelgate tunnel list`"
        )
    return tunnel_id


def _confirm(what: str, name: str, expected: str) -> None:
    typer.echo(what, err=True)
    typer.echo(f"Type {name} to archive it: ", nl=False, err=True)
    if typer.get_text_stream("stdin").readline().strip() != expected:
        raise AdministrationError(f"nothing was archived: {name} was not typed; where nobody can, give --yes")


def _what_archiving_does(tunnel: Tunnel) -> str:
    name = f" ({printable(tunnel.display_name)})" if tunnel.display_name else ""
    return (
        f"{tunnel.id}{name} is archived for good: {tunnel.domain} is never given out again, its CAs are"
        " archived with it, and its token is invalid."
    )


def _token_document(token: TunnelToken, place: Place, *, reveal: bool) -> dict[str, Any]:
    shown = {"value": token.value} if reveal else {}
    return {"id": token.id, "file": str(place.token_file), **shown}


def _print_token(token: TunnelToken, place: Place, *, reveal: bool) -> None:
    typer.echo(f"The token {token.id} is in {place.token_file}, which its owner alone can read.")
    if reveal:
        typer.echo(token.value)
