"""One harmless call through everything: which tool is one, and what came of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunnelgate import Route
from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.faults import path_of
from tunnelgate_app.asking.answers import AskingError, Called, Failure, Listing, Tool
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.wording import listed

_SAY = Findings(Layer.CALL)
_SERVER_ERROR = 500
_UNKNOWN_TOOL = "Unknown tool"
_SHOWN = 160  # characters of what a tool returned


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to call, and with what."""

    tool: str
    arguments: Mapping[str, Any]


def harmless_call(route: Route, tools: Sequence[Tool]) -> Call | None:
    """Return a call that the server itself says only reads, and that needs no arguments, if there is one."""
    for tool in tools:
        is_listed = route.tools == EVERYTHING or tool.name in (route.tools or ())
        required = (tool.input_schema or {}).get("required") or ()
        if is_listed and tool.read_only and not tool.destructive and not required:
            return Call(tool.name, {})
    return None


def finding_without_token(names: Sequence[str]) -> Finding:
    """Return that there is no token for these routes."""
    advice = "Name a file with one: --token-file FILE. Tokens are never printed."
    return _SAY.skipped(f"{listed(names)}: call a tool", "there is no token that passes here", advice)


def finding_of_proof(name: str, route: Route) -> Finding:
    """Return that tokens alone do not suffice at a route."""
    found = f"tokens come with a proof here, {route.proof}, which the doctor cannot give"
    return _SAY.skipped(f"{name}: call a tool", found)


def finding_without_call(name: str) -> Finding:
    """Return that no tool is known that could be called and harms nothing."""
    found = "no listed tool says that it only reads and needs no arguments"
    advice = f"Name one that harms nothing: --route {name} --tool NAME --arguments JSON."
    return _SAY.skipped(f"{name}: call a tool", found, advice)


def findings_of_list(name: str, route: Route, came: Listing | AskingError) -> Iterator[Finding]:
    """Yield whether the list that a client sees has what the allowlist has, and nothing besides."""
    tried = f"{name}: list the tools through the gate"
    if isinstance(came, AskingError):
        yield _SAY.wrong(tried, str(came), _advice(came))
        return
    seen = [tool.name for tool in came.tools]
    if route.tools == EVERYTHING:
        yield _SAY.fine(tried, f"{listed(seen)}, and every tool is allowed")
        return
    allowed = tuple(route.tools or ())
    beyond = [each for each in seen if each not in allowed]
    if beyond:
        advice = "The gate that runs has another list. Its log says why it keeps the old one."
        yield _SAY.wrong(
            tried, f"{listed(beyond)} shown, which {path_of(('routes', name, 'tools'))} has not", advice
        )
        return
    hidden = [each for each in allowed if each not in seen]
    if hidden:
        advice = "The server has them not, or this token lacks a claim that they need."
        yield _SAY.warning(tried, f"{listed(seen) or 'nothing'}; not {listed(hidden)}", advice)
        return
    yield _SAY.fine(tried, f"{listed(seen)}, as the allowlist has them")


def finding_of_call(name: str, call: Call, came: Called | AskingError) -> Finding:
    """Return what came of calling a tool through the gate."""
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    tried = f"{name}: call {call.tool} {arguments} through the gate"
    if isinstance(came, AskingError):
        return _SAY.wrong(tried, str(came), _advice(came))
    said = " ".join(came.texts) or json.dumps(came.structured, ensure_ascii=False, default=str)
    shown = said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"
    if came.is_error:
        return _SAY.warning(
            tried, f"the tool says that it failed: {shown}", "See --arguments, and the server's log."
        )
    return _SAY.fine(tried, shown)


def finding_of_unlisted_tool(name: str, tool: str, came: Called | AskingError) -> Finding:
    """Return whether a tool that nobody listed is refused like one that does not exist."""
    tried = f"{name}: call {tool}, which nobody listed"
    if isinstance(came, Called):
        advice = "The gate passed on what its list has not. See that --gate is the gate itself."
        return _SAY.wrong(tried, "it was called", advice)
    if came.failure is Failure.MCP_ERROR and _UNKNOWN_TOOL in str(came):
        return _SAY.fine(tried, "refused, like a tool that does not exist")
    return _SAY.wrong(tried, str(came), _advice(came))


def _advice(error: AskingError) -> str:
    match error.failure:
        case Failure.NEEDS_TOKEN:
            return "The gate refused the token. See the findings about OAuth."
        case Failure.REFUSED if (error.status or 0) >= _SERVER_ERROR:
            return "The gate had no answer of the server. See the upstreams above."
        case Failure.REFUSED:
            return (
                "The gate refused it. Its record of the request has the reason; the token may lack a scope."
            )
        case Failure.MCP_ERROR:
            return (
                "The gate or the server refused it in words of MCP. The gate's record of the request has "
                "the reason."
            )
        case _:
            return "See the findings about the listener and the upstreams."
