"""`tunnelgate connector`: what callers write down to reach a route."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from tunnelgate import Policy
from tunnelgate_app.client_settings.managed_agents import harmless_of, managed_agents
from tunnelgate_app.client_settings.mcp_json import mcp_json
from tunnelgate_app.client_settings.messages_api import messages_api
from tunnelgate_app.client_settings.reaching import ConnectorError, Fragment, Reached, reach
from tunnelgate_app.commands.shared import ConfigOption, say_what_is_wrong
from tunnelgate_app.errors import CommandError

Format = Literal["messages", "managed-agents", "mcp-json"]
Harmless = Mapping[str, Collection[str]]

_WRITERS: Mapping[Format, Callable[[Sequence[Reached], Harmless], Fragment]] = {
    "messages": lambda routes, _: messages_api(routes),
    "managed-agents": managed_agents,
    "mcp-json": lambda routes, _: mcp_json(routes),
}
_TITLES: Mapping[Format, str] = {
    "messages": "Messages API: in the body of a request to POST /v1/messages",
    "managed-agents": "Managed Agents: in an agent; its tokens are in a vault, named by the session",
    "mcp-json": ".mcp.json of clients that reach the gate by themselves",
}


@say_what_is_wrong
def connector(
    route: Annotated[list[str], typer.Option("--route", help="The route, by its name; may be repeated.")],
    config: ConfigOption = Path("tunnelgate.yaml"),
    format_: Annotated[
        Literal["messages", "managed-agents", "mcp-json", "all"],
        typer.Option("--format", help="Who the settings are for."),
    ] = "all",
    *,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Ask the servers which tools only read; an agent may call those at once."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Print what callers need to reach a route: its URL, and exactly the tools that it lists.

    Where a token goes stands the name of an environment variable, and never a token.

    Example: tunnelgate connector --route docs --format messages
    """
    policy = Policy.from_file(config)
    routes = [reach(policy, name) for name in dict.fromkeys(route)]
    harmless: Harmless = _ask(policy, routes) if ask else {}
    chosen: Sequence[Format] = tuple(_WRITERS) if format_ == "all" else (format_,)
    written: Mapping[Format, Fragment] = {each: _WRITERS[each](routes, harmless) for each in chosen}
    if as_json:
        typer.echo(json.dumps(_for_programs(routes, written), indent=2))
        return
    for each in routes:
        scopes = f" and the scopes {' '.join(each.scopes)}" if each.scopes else ""
        typer.echo(f"{each.variable}: an access token made for {each.resource}{scopes}")
    for name, fragment in written.items():
        header = f"\nanthropic-beta: {fragment.beta}" if fragment.beta else ""
        typer.echo(f"\n{_TITLES[name]}{header}\n{json.dumps(fragment.body, indent=2, ensure_ascii=False)}")


def _for_programs(routes: Sequence[Reached], written: Mapping[Format, Fragment]) -> Mapping[str, object]:
    tokens = [
        {"variable": each.variable, "resource": each.resource, "scopes": each.scopes} for each in routes
    ]
    fragments: dict[str, object] = {
        name: {"headers": {"anthropic-beta": each.beta} if each.beta else {}, "body": each.body}
        for name, each in written.items()
    }
    return {"tokens": tokens, **fragments}


def _ask(policy: Policy, routes: Sequence[Reached]) -> Harmless:
    return asyncio.run(_ask_all(policy, routes))


async def _ask_all(policy: Policy, routes: Sequence[Reached]) -> Harmless:
    try:
        from tunnelgate_app.asking.mcp import list_tools  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise CommandError(f"--ask needs {missing}: pip install 'tunnelgate[admin]'") from None
    from tunnelgate_app.asking.answers import AskingError  # noqa: PLC0415
    from tunnelgate_app.asking.credentials import own_token  # noqa: PLC0415
    from tunnelgate_app.asking.upstream import upstream_client  # noqa: PLC0415

    found: dict[str, Collection[str]] = {}
    for each in routes:
        if policy.routes[each.name].upstream is None:
            raise ConnectorError(f"the route {each.name} has no upstream to ask; leave --ask out")
        try:
            token = await own_token(policy, each.name)
            async with upstream_client(policy, each.name) as http:
                url = str(http.base_url.join(policy.routes[each.name].path))
                listing = await list_tools(http, url, token=token)
        except AskingError as error:
            raise ConnectorError(f"{each.name}: {error.sentence}") from None
        found[each.name] = harmless_of(listing)
        there = {tool.name for tool in listing.tools}
        for gone in (tool for tool in each.tools if tool not in there):
            typer.echo(f"warning: the server of {each.name} does not list {gone}", err=True)
    return found
