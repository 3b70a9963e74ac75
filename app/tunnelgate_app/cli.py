"""The `tunnelgate` command.

Exit codes: 0 is fine, 1 found something wrong, 2 was used wrongly, such as with a faulty file.
"""

import shlex
import shutil
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Literal, ParamSpec

import typer

from tunnelgate import ConfigurationError, Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate_app import demo as demo_files
from tunnelgate_app.client import DemoClient
from tunnelgate_app.demo import DemoError, DemoRoute, DemoState
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.logs import configure_logs
from tunnelgate_app.server import ListenError, open_listener, run
from tunnelgate_app.serving import listener_faults, prepare

_FOUND_WRONG = 1
_USED_WRONGLY = 2
_P = ParamSpec("_P")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="The gate at the private end of an MCP tunnel.",
)

ConfigOption = Annotated[Path, typer.Option("--config", help="The configuration, a YAML file.")]
RouteOption = Annotated[str, typer.Option("--route", help="The route, by its name in the demo.")]
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


def _say_what_is_wrong(command: Callable[_P, None]) -> Callable[_P, None]:
    @wraps(command)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(_USED_WRONGLY) from None
        except (DemoError, ListenError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(_FOUND_WRONG) from None

    return wrapped


@app.command()
@_say_what_is_wrong
def demo(
    port: PortOption = 8080,
    docs: Annotated[
        Path | None, typer.Option("--docs", help="A folder of Markdown to serve; ours by default.")
    ] = None,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Run the gate with a sample server and a development issuer, on this machine alone.

    Example: tunnelgate demo --port 9000
    """
    documents, extra_files = demo_files.default_documents() if docs is None else (docs, ())
    listener = open_listener(f"{demo_files.HOST}:{port}")
    configuration = demo_files.prepare(state, port, documents, extra_files)
    policy = Policy.from_file(configuration)
    configure_logs(policy.log_level)
    gateway = create_gateway(policy)
    typer.echo(demo_files.introduction(DemoState.from_folder(state), state, _command()))
    seconds = policy.shutdown_timeout
    if not run(gateway, listener, shutdown_timeout=seconds, on_stop=gateway.stop):
        raise typer.Exit(_FOUND_WRONG)


@app.command()
@_say_what_is_wrong
def serve(config: ConfigOption = Path("tunnelgate.yaml"), http: ParserOption = "strict") -> None:
    """Run the gate that a configuration describes.

    Example: tunnelgate serve --config tunnelgate.yaml
    """
    policy = Policy.from_file(config)
    configure_logs(policy.log_level)
    gateway, tls = prepare(policy)
    listener = open_listener(policy.listen_addr, socket_mode=policy.socket_mode)
    seconds = policy.shutdown_timeout
    if not run(gateway, listener, parser=http, tls=tls, shutdown_timeout=seconds, on_stop=gateway.stop):
        raise typer.Exit(_FOUND_WRONG)


@app.command()
@_say_what_is_wrong
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
@_say_what_is_wrong
def token(
    route: RouteOption,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="A scope to ask for; all by default.")
    ] = None,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Print a token for a route of the running demo, from its development issuer.

    Example: curl -H "Authorization: Bearer $(tunnelgate token --route docs)" ...
    """
    client = DemoClient(DemoState.from_folder(state))
    typer.echo(client.fetch_token(_route(route), tuple(scope or ())))


@app.command()
@_say_what_is_wrong
def probe(
    route: RouteOption,
    state: StateOption = demo_files.default_state_folder(),  # noqa: B008 - computed once, shown in --help
) -> None:
    """Ask a route of the running demo for its tools, call one, and ask a host that is blocked.

    Example: tunnelgate probe --route docs
    """
    answers, wrong = DemoClient(DemoState.from_folder(state)).probe(_route(route))
    for key, value in answers.items():
        typer.echo(f"{key}: {value}")
    for sentence in wrong:
        typer.echo(sentence, err=True)
    if wrong:
        raise typer.Exit(_FOUND_WRONG)


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
