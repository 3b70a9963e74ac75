"""The `tunnelgate` command.

Exit codes: 0 is fine, 1 found something wrong, 2 was used wrongly, such as with a faulty file.
"""

import os
import shlex
import shutil
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tunnelgate import ConfigurationError, Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate_app import demo as demo_files
from tunnelgate_app.client import DemoClient, summary
from tunnelgate_app.commands import certs, connect, connector, doctor, import_, tunnel
from tunnelgate_app.commands.shared import FOUND_WRONG, ConfigOption, say_what_is_wrong
from tunnelgate_app.demo import DemoError, DemoRoute, DemoState
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.logs import configure_logs
from tunnelgate_app.reloading.following import follow
from tunnelgate_app.reloading.reading import read_configuration
from tunnelgate_app.server import Parser, run
from tunnelgate_app.serving import listener_faults, prepare

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The gate at the private end of an MCP tunnel.",
)
app.add_typer(certs.app, name="certs")
app.command("connect")(connect.connect)
app.command("connector")(connector.connector)
app.command("doctor")(doctor.doctor)
app.command("import")(import_.import_)
app.add_typer(tunnel.app, name="tunnel")

StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="TUNNELGATE_STATE", help="The folder that the demo keeps its files in."),
]
PortOption = Annotated[
    int, typer.Option("--port", min=1, max=65535, help="The port to listen on, on loopback.")
]
ParserOption = Annotated[
    Literal["strict", "h11"], typer.Option("--http", help="The HTTP parser: strict is the fast one.")
]


@app.command()
@say_what_is_wrong
def demo(
    port: PortOption = 8080,
    docs: Annotated[
        Path | None, typer.Option("--docs", help="A folder of documents to serve; ours by default.")
    ] = None,
    *,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make the data of the servers anew, without what was drafted.")
    ] = False,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Run the gate with four sample servers, a desk where people submit drafts, and a development issuer.

    It is for this machine alone. The data of the servers is made at the first start and kept.

    Example: tunnelgate demo --port 9000
    """
    documents, extra_files = demo_files.default_documents() if docs is None else (docs, ())
    listener = open_listener(f"{demo_files.HOST}:{port}")
    configuration = demo_files.prepare(state, port, documents, extra_files)
    _make_data(state, fresh=fresh)
    policy = Policy.from_file(configuration)
    configure_logs(policy.log_level)
    gateway = create_gateway(policy)
    typer.echo(demo_files.introduction(DemoState.from_folder(state), state, _command()))
    _run(gateway, listener, policy)


@app.command()
@say_what_is_wrong
def serve(
    config: ConfigOption = Path("tunnelgate.yaml"),
    http: ParserOption = "strict",
    tunnel_domain: Annotated[
        str | None,
        typer.Option("--tunnel-domain", help="The domain, in place of the file's."),
    ] = None,
) -> None:
    """Run the gate that a configuration describes.

    A file of Anthropic's proxy is one as well, and `tunnelgate -config FILE` does the same.

    Example: tunnelgate serve --config tunnelgate.yaml
    """
    if tunnel_domain is not None:
        os.environ["TUNNELGATE_TUNNEL_DOMAIN"] = tunnel_domain  # where each reload looks as well
    reading = read_configuration(config)
    policy = reading.policy
    configure_logs(policy.log_level)
    gateway, tls = prepare(policy)
    follow(gateway, reading, tls)
    listener = open_listener(policy.listen_addr, socket_mode=policy.socket_mode)
    _run(gateway, listener, policy, parser=http, tls=tls)


@app.command()
@say_what_is_wrong
def check(config: ConfigOption = Path("tunnelgate.yaml")) -> None:
    """Read a configuration and say every fault in it; open no other file, mount, fetch and run nothing.

    Example: tunnelgate check --config tunnelgate.yaml
    """
    policy = Policy.from_file(config)
    faults = listener_faults(policy)
    if faults:
        raise ConfigurationError(str(config), faults)
    for name, route in policy.routes.items():
        listed = (*(route.tools or ()), *(route.prompts or ()), *(route.resources or ()), *route.methods)
        allowed = ", ".join(listed) or "no tools"
        typer.echo(f"{' '.join(policy.hostnames(name))}: {allowed}")
        if route.open_paths:
            typer.echo(f"  without a token: {', '.join(route.open_paths)}")
        if route.upstream is not None:
            typer.echo(f"  to {route.upstream.url}")
        elif route.mount is None:
            path = path_of(("routes", name))
            typer.echo(f"warning: {path} has neither mount nor upstream, and `serve` needs one", err=True)
    for warning in policy.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
@say_what_is_wrong
def token(
    route: Annotated[str, typer.Option("--route", help="The route, by its name in the demo.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="A scope to ask for; all by default.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="A person to log in as, such as alice; nobody by default.")
    ] = None,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Print a token for a route of the running demo, from its development issuer.

    Example: curl -H "Authorization: Bearer $(tunnelgate token --route docs)" ...
    """
    client = DemoClient(DemoState.from_folder(state))
    typer.echo(client.fetch_token(_route(route), tuple(scope or ()), user))


@app.command()
@say_what_is_wrong
def probe(
    route: Annotated[
        str | None,
        typer.Option("--route", help="The route, by its name in the demo; all, and in short, by default."),
    ] = None,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Ask the routes of the running demo for their tools, call one of each, and ask a host that is blocked.

    For one route, every answer is printed whole.

    Example: tunnelgate probe --route docs
    """
    routes = demo_files.ROUTES.values() if route is None else [_route(route)]
    client = DemoClient(DemoState.from_folder(state))
    found: list[str] = []
    for each in routes:
        answers, wrong = client.probe(each)
        found += wrong if route else [f"{each.name}: {sentence}" for sentence in wrong]
        whole = [f"{key}: {value}" for key, value in answers.items()]
        typer.echo("\n".join(whole if route else summary(each, answers)))
    for sentence in found:
        typer.echo(sentence, err=True)
    if found:
        raise typer.Exit(FOUND_WRONG)


def _run(
    gateway: Gateway,
    listener: socket.socket,
    policy: Policy,
    *,
    parser: Parser = "strict",
    tls: ListenerTls | None = None,
) -> None:
    if not run(
        gateway,
        listener,
        parser=parser,
        tls=tls,
        transport=policy.transport,
        shutdown_timeout=policy.shutdown_timeout,
        on_stop=gateway.stop,
    ):
        raise typer.Exit(FOUND_WRONG)


def _make_data(state: Path, *, fresh: bool) -> None:
    try:
        from tunnelgate_app.demo.data import make_data  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise DemoError(f"the demo needs {missing}: pip install 'tunnelgate[servers]'") from None
    make_data(state, until=datetime.now(UTC).date(), fresh=fresh)


def _route(name: str) -> DemoRoute:
    if name not in demo_files.ROUTES:
        raise typer.BadParameter(f"the demo has no route {name!r}; it has {', '.join(demo_files.ROUTES)}")
    return demo_files.ROUTES[name]


def _command() -> str:
    """Return how this command was called, as the person would type it again."""
    called = sys.argv[0]
    if shutil.which("tunnelgate") == called:
        return "tunnelgate"
    return shlex.quote(str(Path(called).absolute()))  # the other terminal may be in another folder
