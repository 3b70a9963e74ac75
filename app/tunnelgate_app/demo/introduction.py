"""What a person reads when the demo has started: one screen, with lines that can be copied as they stand."""

import shlex
import sys
import textwrap
from pathlib import Path

from tunnelgate_app.demo.preparing import PROGRAM
from tunnelgate_app.demo.routes import BLOCKED_HOST, DESK_ROUTE, ISSUER_ROUTE, ROUTES, hostname_of, url_of
from tunnelgate_app.demo.state import DemoState, default_state_folder

_COLUMNS = 100
_NAME = 26


def introduction(state: DemoState, folder: Path, command: str) -> str:
    """Return what a person reads; ``command`` is how they call us."""
    folder = folder.absolute()
    options = "" if folder == default_state_folder() else f" --state {shlex.quote(str(folder))}"
    program = f"{shlex.quote(sys.executable)} {shlex.quote(str(folder / PROGRAM))}"
    docs = ROUTES["docs"]
    lines = [f"Four private MCP servers behind the gate, on {state.gate}", ""]
    for route in ROUTES.values():
        lines += _row(route.hostname, ", ".join(route.tools))
        lines += _row("", f"not listed, though the server has it: {', '.join(route.unlisted)}")
    lines += [
        *_row(hostname_of(DESK_ROUTE), f"where people submit drafts: {url_of(DESK_ROUTE, state.port)}/"),
        *_row(hostname_of(ISSUER_ROUTE), "the development issuer of the tokens, where people log in"),
        *_row("every other host", f"403, such as for {BLOCKED_HOST}"),
        "",
        "From another terminal, what each server lists, a call of each, and a host that is blocked:",
        f"  {command} probe{options}",
        "A token for alice, who can submit at the desk what is drafted with it:",
        f"  {command} token --route tickets --user alice{options}",
        "With curl:",
        f"  curl -s {state.gate}/mcp -H 'Host: {docs.hostname}' \\",
        f'    -H "Authorization: Bearer $({command} token --route {docs.name}{options})" \\',
        "    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\",
        """    -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'""",
        "With the official Python SDK, by a short program to start from:",
        f"  TOKEN=$({command} token --route {docs.name}{options}) {program} {docs.name}",
        "With a client that logs in by itself, where names below localhost lead to this machine:",
        f"  {ROUTES['tickets'].resource(state.port)}",
        "",
        f"Each decision is a line of {folder / 'audit.jsonl'}",
        f"The whole configuration is {folder / 'tunnelgate.yaml'}",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def _row(name: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _COLUMNS - _NAME - 2)
    names = [name, *[""] * (len(wrapped) - 1)]
    return [f"  {each:{_NAME}}{line}" for each, line in zip(names, wrapped, strict=True)]
