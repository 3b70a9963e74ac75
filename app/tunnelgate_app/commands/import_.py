"""`tunnelgate import`: a configuration out of a file of Anthropic's proxy, and of what its servers list."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from tunnelgate import Policy
from tunnelgate.configuration import fields
from tunnelgate.configuration.sources import in_full
from tunnelgate_app.asking.answers import Limits
from tunnelgate_app.commands.shared import FOUND_WRONG, say_what_is_wrong
from tunnelgate_app.errors import CommandError
from tunnelgate_app.importing.files import check_is_new, read_token, relocated, write_whole
from tunnelgate_app.importing.proposing import Proposal
from tunnelgate_app.importing.proxy_file import read_proxy_file
from tunnelgate_app.importing.settings import PLACEHOLDER_ISSUER, settings_of
from tunnelgate_app.importing.writing import write_configuration

_STANDARD_OUTPUT = Path("-")


@say_what_is_wrong
def import_(  # noqa: PLR0917 - typer reads them by name
    config: Annotated[Path, typer.Argument(help="The configuration of Anthropic's proxy.")],
    output: Annotated[
        Path, typer.Option("--output", help="Where ours is written; - is standard output.")
    ] = Path("tunnelgate.yaml"),
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="Who makes the tokens; without it, a placeholder.")
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", help="The MCP endpoint of a route, as ROUTE=PATH; /mcp by default."),
    ] = None,
    token_file: Annotated[
        list[str] | None,
        typer.Option("--token-file", help="A file with a token to ask a route's server with, as ROUTE=FILE."),
    ] = None,
    tunnel_domain: Annotated[
        str | None, typer.Option("--tunnel-domain", help="What the proxy's flag says, if it is started so.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=600, help="How many seconds one server may take.")
    ] = 30.0,
    *,
    connect: Annotated[
        bool, typer.Option("--connect/--no-connect", help="Whether servers are asked for their tools.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a configuration from a file of Anthropic's proxy.

    Each server behind the proxy is asked for its tools. Those that it marks as read-only are listed, and
    the others stand below them as comments. The exit code is 1 where a server could not be asked.

    Example: tunnelgate import config.yaml --issuer https://login.example.com/
    """
    is_printed = output == _STANDARD_OUTPUT
    if not is_printed:
        check_is_new(output, force=force)
        if output.exists() and output.samefile(config):
            raise CommandError(f"{output} is the proxy's file itself; --output names another")
    file = read_proxy_file(config, tunnel_domain=tunnel_domain)
    paths = _by_route("--path", path, file.routes)
    token_files = _by_route("--token-file", token_file, file.routes)
    for each in paths.values():
        _check("--path", each, fields.url_path)
    if issuer is not None:
        _check("--issuer", issuer, fields.url)
    tokens = {name: read_token(Path(each)) for name, each in token_files.items()}
    makes_tokens = issuer or PLACEHOLDER_ISSUER
    there = settings_of(file, makes_tokens, lambda name: str(config.absolute().parent / name))
    proposals: Mapping[str, Proposal] = dict.fromkeys(file.routes, Proposal())
    policy = Policy.from_mapping(in_full(dict(there)), str(config))
    if connect:
        proposals = _ask(policy, paths, tokens, timeout)
    place = relocated(config, Path("tunnelgate.yaml") if is_printed else output)
    here = relocated(Path("here"), Path("tunnelgate.yaml") if is_printed else output)
    text = write_configuration(
        config.name,
        settings_of(file, makes_tokens, place),
        proposals,
        paths,
        {name: here(each) for name, each in token_files.items()},
    )
    # Whatever the servers said, what is written is a configuration or nothing is.
    Policy.from_mapping(in_full(yaml.safe_load(text)), str(output))
    if is_printed:
        typer.echo(text, nl=False)
    else:
        write_whole(output, text, force=force)
    for line in _summary(proposals):
        typer.echo(line, err=is_printed)
    failed = [f"{name}: {each.failure}" for name, each in proposals.items() if each.failure]
    for sentence in failed:
        typer.echo(sentence, err=True)
    if failed:
        raise typer.Exit(FOUND_WRONG)


def _ask(
    policy: Policy, paths: Mapping[str, str], tokens: Mapping[str, str], seconds: float
) -> Mapping[str, Proposal]:
    try:
        from tunnelgate_app.importing.asking import ask_upstreams  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise CommandError(
            f"to ask servers, import needs {missing}: pip install 'tunnelgate[admin]', or say --no-connect"
        ) from None
    return asyncio.run(ask_upstreams(policy, paths, tokens, Limits(seconds=seconds)))


def _by_route(option: str, given: Sequence[str] | None, routes: Mapping[str, str]) -> Mapping[str, str]:
    named: dict[str, str] = {}
    for each in given or ():
        name, separator, value = each.partition("=")
        if not separator or not value:
            raise typer.BadParameter(f"{each!r} is not ROUTE=…", param_hint=option)
        if name not in routes:
            raise typer.BadParameter(
                f"{name!r} is no route; there are {', '.join(routes)}", param_hint=option
            )
        if name in named:
            raise typer.BadParameter(f"{name!r} stands twice", param_hint=option)
        named[name] = value
    return named


def _check(option: str, value: str, check: Callable[[str], object]) -> None:
    try:
        check(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} {error}", param_hint=option) from None


def _summary(proposals: Mapping[str, Proposal]) -> Iterator[str]:
    for name, proposal in proposals.items():
        if proposal.server is not None:
            yield f"{name}: {len(proposal.listed)} listed, {len(proposal.left_out)} left out"
        elif proposal.failure is None:
            yield f"{name}: not asked"
