"""The allowlist against what the server lists: what vanished, what appeared, what its hints say."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tunnelgate import Route
from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration.faults import path_of
from tunnelgate_app.asking.answers import Tool
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.wording import listed

_SAY = Findings(Layer.TOOLS)


def findings_of_tools(name: str, route: Route, tools: Sequence[Tool]) -> Iterator[Finding]:
    """Yield how the allowlist of the route ``name`` stands to the ``tools`` that its server lists."""
    there = {tool.name: tool for tool in tools}
    if route.tools == EVERYTHING:
        yield _SAY.warning(f"{name}: tools", f"every one is allowed: {listed(there)}", "List them by name.")
        allowed: tuple[str, ...] = tuple(there)
    else:
        allowed = tuple(route.tools or ())
        yield from _of_list(name, allowed, there)
    yield from _of_spellings(name, there)
    yield from _of_hints(name, route, [there[each] for each in allowed if each in there])


def _of_list(name: str, allowed: Sequence[str], there: dict[str, Tool]) -> Iterator[Finding]:
    path = path_of(("routes", name, "tools"))
    vanished = [each for each in allowed if each not in there]
    for each in vanished:
        alike = [one for one in there if one.casefold() == each.casefold()]
        if alike:
            found, advice = (
                f"it is {alike[0]} at the server, and names differ by case",
                f"Write {alike[0]} in {path}.",
            )
        else:
            found = "the server has no such tool any more"
            advice = (
                f"Take it out of {path}, or see why the server lost it: agents that know it call in vain."
            )
        yield _SAY.wrong(f"{name}: {each}", found, advice)
    if allowed and not vanished:
        count = "the 1 tool" if len(allowed) == 1 else f"all {len(allowed)} tools"
        yield _SAY.fine(f"{name}: {path}", f"{count} that it lists exist")
    appeared = [each for each in there if each not in allowed]
    if appeared and allowed:
        marked = [f"{each} ({_hints(there[each])})" for each in appeared]
        yield _SAY.fine(f"{name}: tools that nobody listed", f"{listed(marked)}; the gate refuses them")
    elif appeared:
        found = f"nothing is allowed of {listed(appeared)}"
        yield _SAY.warning(
            f"{name}: {path}", found, "`tunnelgate import` proposes a list; write down what is meant."
        )


def _of_spellings(name: str, there: dict[str, Tool]) -> Iterator[Finding]:
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for each in there:
        spellings[each.casefold()].append(each)
    for alike in spellings.values():
        if len(alike) > 1:
            yield _SAY.warning(
                f"{name}: {listed(alike)}",
                "two tools whose names differ by case alone",
                "The gate tells them apart, and not every client and reader does. Rename one at the server.",
            )


def _of_hints(name: str, route: Route, tools: Sequence[Tool]) -> Iterator[Finding]:
    path = path_of(("routes", name, "tools"))
    for tool in tools:
        if tool.read_only and tool.destructive:
            found = "the server says of it both that it only reads and that it destroys"
            yield _SAY.warning(
                f"{name}: {tool.name}", found, f"See what it does, and take it out of {path} until then."
            )
        elif tool.destructive and not _is_guarded(route, tool.name):
            found = "it is listed, and the server says that it destroys"
            advice = (
                "See that this is meant and was not changed at the server; a scope of its own goes into "
                f"{path}."
            )
            yield _SAY.warning(f"{name}: {tool.name}", found, advice)
    changing = [tool.name for tool in tools if not tool.read_only]
    if changing:
        yield _SAY.fine(f"{name}: listed tools not marked readOnlyHint", listed(changing))


def _is_guarded(route: Route, tool: str) -> bool:
    """Return whether a tool needs more than every request of its route."""
    rule = route.tools.get(tool) if isinstance(route.tools, Mapping) else None
    return rule is not None and bool(rule.scopes or rule.claims)


def _hints(tool: Tool) -> str:
    if tool.read_only and not tool.destructive:
        return "reads only"
    return "destructive" if tool.destructive else "not marked as reading only"
