"""`tunnelgate certs`: the CA and the server certificate of a gate at a tunnel's end."""

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from tunnelgate.configuration.fields import duration
from tunnelgate_app.certificates.cluster import Secret, own_cluster
from tunnelgate_app.certificates.contents import (
    AUTHORITIES,
    NEXT_AUTHORITY,
    SERVER,
    Change,
    Files,
    crt,
    key,
)
from tunnelgate_app.certificates.files import locked, read_folder, write_change
from tunnelgate_app.certificates.keeping import complete, renew
from tunnelgate_app.certificates.making import KeyKind
from tunnelgate_app.certificates.names import names_of_domain, read_name
from tunnelgate_app.certificates.owner import Owner, open_keys, unreachable
from tunnelgate_app.certificates.rotating import begin_rotation, finish_rotation, sign_with_next
from tunnelgate_app.certificates.showing import as_json, as_text, examine
from tunnelgate_app.commands.shared import FOUND_WRONG, print_json, say_what_is_wrong

app = typer.Typer(
    name="certs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make, renew and show the certificates of a gate at a tunnel's end.",
)

_T = TypeVar("_T")

_SHOWN: Final = (*(crt(name) for name in (SERVER, *AUTHORITIES)), key(SERVER))

_IN_CLUSTER = "k8s-secret:"


def _folder(output: Path) -> Path:
    if str(output).startswith(_IN_CLUSTER):
        raise typer.BadParameter(f"only certs renew writes a Secret: --output = {str(output)!r}")
    return output


FolderOption = Annotated[
    Path,
    typer.Option(
        "--output", "--dir", help="The folder of the certificates and their keys.", callback=_folder
    ),
]
OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", metavar="UID[:GID]", help="Give what the gate reads to this user; needs root."),
]
DurationOption = Annotated[
    str, typer.Option("--cert-duration", help="How long a server certificate lives, such as 2160h.")
]
FOLDER: Final = Path("data")
_DOMAIN_FILE: Final = "tunnel-domain"
_MAX_DURATION: Final = timedelta(days=10 * 366)


@app.command()
@say_what_is_wrong
def init(
    domain: Annotated[
        str | None, typer.Option("--domain", help="The tunnel's domain; all names one label below it too.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A hostname of its own; may be given several times.")
    ] = None,
    output: FolderOption = FOLDER,
    *,
    owner: OwnerOption = None,
    cert_duration: DurationOption = "2160h",
    key_type: Annotated[
        KeyKind, typer.Option("--key-type", help="What key to make for the server.")
    ] = KeyKind.ECDSA_P256,
) -> None:
    """Make a CA and a server certificate, or what is missing of them; a CA that is there stays.

    The tunnel needs to know ca.crt. The gate needs tls.crt and tls.key, and never ca.key.

    Example: tunnelgate certs init --domain abcd1234.tunnel.anthropic.com --output data
    """
    names = _names(output, domain, host or [])
    lifetime = _duration("--cert-duration", cert_duration)
    _change(output, owner, lambda files, now: complete(files, names, now, lifetime, key_type), make=True)


@app.command(name="renew")
@say_what_is_wrong
def renew_certificate(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "--dir",
            help="The folder of the certificates and their keys, or k8s-secret:NAME in a pod.",
        ),
    ] = FOLDER,
    authority: Annotated[
        Path | None,
        typer.Option("--authority", help="With k8s-secret:NAME: the folder of ca.crt and ca.key."),
    ] = None,
    renew_before: Annotated[
        str, typer.Option("--renew-before", help="How long before its end it is due; 0 is always.")
    ] = "720h",
    *,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key, and do it now.")] = False,
    owner: OwnerOption = None,
    cert_duration: DurationOption = "2160h",
) -> None:
    """Sign a server certificate that ends soon, or has a fault, anew; the tunnel needs to know nothing.

    Run it once a day. A gate that runs picks the new one up by itself.
    In a pod of Kubernetes it can renew tls.crt and tls.key of a Secret; the pod's account needs the
    rights to get and to update that one.

    Example: tunnelgate certs renew --output data
    """
    lifetime = _duration("--cert-duration", cert_duration)
    before = _duration("--renew-before", renew_before, least=timedelta(0))
    if before >= lifetime:
        raise typer.BadParameter(
            "--renew-before must be shorter than --cert-duration, or every run would renew"
        )

    def decide(files: Files, now: datetime) -> Change:
        return renew(files, now, lifetime, before, with_new_key=new_key)

    if not str(output).startswith(_IN_CLUSTER):
        if authority is not None:
            raise typer.BadParameter("--authority is for --output k8s-secret:NAME")
        _change(output, owner, decide)
        return
    if authority is None or owner is not None:
        raise typer.BadParameter("--output k8s-secret:NAME needs --authority, and takes no --owner")
    _change_secret(str(output).removeprefix(_IN_CLUSTER), authority, decide)


@app.command()
@say_what_is_wrong
def rotate_ca(
    output: FolderOption = FOLDER,
    *,
    sign: Annotated[
        bool, typer.Option("--sign", help="Let the next CA sign; the tunnel must know it by now.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Remove the old CA; the tunnel should have archived it by now.")
    ] = False,
    owner: OwnerOption = None,
    cert_duration: DurationOption = "2160h",
) -> None:
    """Replace the CA in three steps, while calls go on: make the next one, let it sign, remove the old one.

    After each step it says what to do at the tunnel before the next.

    Example: tunnelgate certs rotate-ca --output data
    """
    if sign and finish:
        raise typer.BadParameter("--sign and --finish are two steps")
    lifetime = _duration("--cert-duration", cert_duration)

    def step(files: Files, now: datetime) -> Change:
        if sign:
            return sign_with_next(files, now, lifetime)
        return finish_rotation(files, now) if finish else begin_rotation(files, now)

    _change(output, owner, step)


@app.command()
@say_what_is_wrong
def show(
    output: FolderOption = FOLDER,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="A hostname that must be covered; may be given several times."),
    ] = None,
    *,
    as_machine: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the certificates of a folder, what is wrong with them, and how long they live.

    The exit code is 1 where something is wrong or ends soon.

    Example: tunnelgate certs show --output data --host docs.abcd1234.tunnel.anthropic.com
    """
    hostnames = [_read("--host", each, read_name) for each in host or ()]
    shown = examine(read_folder(output, _SHOWN), hostnames, datetime.now(UTC), open_keys(output))
    if as_machine:
        print_json(as_json(shown))
    else:
        typer.echo(as_text(shown))
    if any(each.is_wrong for each in shown):
        raise typer.Exit(FOUND_WRONG)


def _change(
    folder: Path, owner: str | None, decide: Callable[[Files, datetime], Change], *, make: bool = False
) -> None:
    new_owner = None if owner is None else _read("--owner", owner, Owner.from_text)
    with locked(folder, make=make):
        change = decide(read_folder(folder), datetime.now(UTC))
        write_change(folder, change, new_owner)
    for sentence in change.said:
        typer.echo(f"{folder}: {sentence}")
    for sentence in (*change.warned, *unreachable(folder, new_owner)):
        typer.echo(f"warning: {folder}: {sentence}", err=True)
    here = "" if folder == FOLDER else f" --output {shlex.quote(str(folder))}"
    if change.upload is not None:
        file = shlex.quote(str(folder / change.upload))
        typer.echo(f"Tell the tunnel of it: tunnelgate tunnel add-ca {file}")
    if change.upload == crt(NEXT_AUTHORITY):
        typer.echo(f"When the tunnel has both: tunnelgate certs rotate-ca --sign{here}")
    if change.archive is not None:
        typer.echo(f"When calls go on, archive the old CA: tunnelgate tunnel archive-ca ID{here}")
        typer.echo(f"Its ID is in: tunnelgate tunnel list-cas{here}, beside {change.archive}")
        typer.echo(f"Then remove it here: tunnelgate certs rotate-ca --finish{here}")


def _change_secret(name: str, authority: Path, decide: Callable[[Files, datetime], Change]) -> None:
    known = read_folder(authority, (file for each in AUTHORITIES for file in (crt(each), key(each))))
    secret = Secret(own_cluster(), name)
    change = decide({**secret.files((crt(SERVER), key(SERVER))), **known}, datetime.now(UTC))
    if change.writes:
        secret.write(change)
    for sentence in change.said:
        typer.echo(f"{_IN_CLUSTER}{name}: {sentence}")
    for sentence in change.warned:
        typer.echo(f"warning: {authority}: {sentence}", err=True)


def _names(folder: Path, domain: str | None, hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the names that were asked for; without any, those of the tunnel that the folder is for."""
    if domain is None and not hosts:
        kept = read_folder(folder, [_DOMAIN_FILE]).get(_DOMAIN_FILE) if folder.is_dir() else None
        if kept is None:
            raise typer.BadParameter("name the tunnel's domain with --domain, or hostnames with --host")
        domain = kept.decode("ascii", "replace").strip()
    below = () if domain is None else _read("--domain", domain, names_of_domain)
    return (*below, *(_read("--host", each, read_name) for each in hosts))


def _duration(option: str, text: str, *, least: timedelta = timedelta(minutes=1)) -> timedelta:
    """Return a length of time, written as in the configuration, or ``0``."""
    given = _read(option, "0s" if text == "0" else text, duration)
    length = timedelta(seconds=given) if isinstance(given, float) else timedelta(-1)
    if not least <= length <= _MAX_DURATION:
        raise typer.BadParameter(f"{option} = {text!r} is not a duration such as 2160h, of at most ten years")
    return length


def _read(option: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} = {text!r} {error}") from None
