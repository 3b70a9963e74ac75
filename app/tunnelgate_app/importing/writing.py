"""Writes a proposal as a configuration for people, with everything from servers in comments or quoted."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, cast

import yaml

from tunnelgate.upstream.addresses import RFC1918
from tunnelgate_app.asking.answers import printable
from tunnelgate_app.importing.proposing import LeftOut, Proposal
from tunnelgate_app.importing.settings import PLACEHOLDER_ISSUER

_LONGEST = 300  # characters of a name or a sentence in a comment

_HEAD = """\
# Written by `tunnelgate import` from {source}, a file of Anthropic's proxy.
#
# Each route lists the tools that its server marks as read-only. The others stand below them as comments;
# remove the first `# ` of a line to list its tool. The marks, the titles and the descriptions are claims
# of the servers themselves, and nobody has checked them: look at a tool before you rely on one.
"""
_COMMENTS: Mapping[str, str] = {
    "clients": "The connector runs on this machine.",
    "routes": "Callers reach each route at its hostname, with a token that was made for it.",
}
_CREDENTIALS = "The server takes tokens of its own, and the gate never passes the caller's on. Name one here:"
_ASK_AGAIN = "Import again with --token-file to ask with a token; the gate never passes the caller's on."
_PLACEHOLDER = """\
A PLACEHOLDER, with which no token is accepted and every request is refused: name who makes your tokens."""


def write_configuration(
    source: str,
    settings: Mapping[str, Any],
    proposals: Mapping[str, Proposal],
    paths: Mapping[str, str],
    token_files: Mapping[str, str],
) -> str:
    """Return the configuration with these ``settings``, and for each route its proposal.

    ``source`` is the name of the proxy's file; ``paths`` are MCP endpoints other than ``/mcp``, by the
    names of their routes, and ``token_files`` hold the tokens that servers were asked with.
    """
    lines = [_HEAD.format(source=printable(source, _LONGEST))]
    for key, value in settings.items():
        lines += _comment("", _COMMENTS.get(key, ""))
        if key == "upstream" and value.get("allowed_ips") == RFC1918:
            lines += _comment("", "The proxy's default: the private networks of RFC 1918.")
        if key == "routes":
            lines += ["routes:", *_routes(value, proposals, paths, token_files)]
        elif key == "oauth":
            lines += _oauth(value["issuers"][0]["issuer"])
        elif isinstance(value, Mapping):
            lines += [f"{key}:", *_section(cast("Mapping[str, Any]", value), "  ")]
        else:
            lines.append(f"{key}: {_written(value)}")
    return "\n".join(lines) + "\n"


def _oauth(issuer: str) -> Iterator[str]:
    yield "oauth:"
    yield "  issuers:"
    if issuer == PLACEHOLDER_ISSUER:
        yield from _comment("    ", _PLACEHOLDER)
    yield f"    - issuer: {scalar(issuer)}"


def _section(section: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _section(cast("Mapping[str, Any]", value), f"{indent}  ")
        else:
            yield f"{indent}{key}: {_written(value)}"


def _routes(
    routes: Mapping[str, str],
    proposals: Mapping[str, Proposal],
    paths: Mapping[str, str],
    token_files: Mapping[str, str],
) -> Iterator[str]:
    for name, url in routes.items():
        proposal = proposals[name]
        yield f"  {scalar(name)}:"
        yield from _comment("    ", _about(proposal))
        yield f"    upstream: {scalar(url)}"
        if name in paths:
            # A route that lists nothing may have nothing but its upstream.
            yield f"    {'' if proposal.listed else '# '}path: {scalar(paths[name])}"
        if proposal.needs_token and proposal.server is None:
            yield from _comment("    ", _ASK_AGAIN)
        elif proposal.needs_token:
            yield from _comment("    ", _CREDENTIALS)
            yield f"    # credentials: {{bearer_file: {_in_flow(token_files.get(name, f'{name}.token'))}}}"
        if proposal.listed or proposal.left_out:
            yield "    tools:"
        yield from (_with_note(f"      - {scalar(tool.name)}", tool.note) for tool in proposal.listed)
        yield from map(_left_out, proposal.left_out)


def _about(proposal: Proposal) -> str:
    server = proposal.server
    if server is None:
        reason = proposal.failure or "the server was not asked"
        return f"Nothing is listed, so every request is refused: {printable(reason, _LONGEST)}"
    said = " ".join(each for each in (server.name, server.version) if each)
    who = f"The server calls itself {printable(said, _LONGEST)}, and speaks" if said else "The server speaks"
    some = "" if proposal.listed else " It marks no tool as read-only, so none is listed."
    return f"{who} MCP {printable(server.protocol_version, _LONGEST)}.{some}"


def _left_out(tool: LeftOut) -> str:
    if not tool.is_usable:
        return _with_note(
            f'      # Cannot be listed: "{printable(tool.name, _LONGEST)}" {tool.reason}', tool.note
        )
    return _with_note(f"      # - {scalar(tool.name)}", f"{tool.reason}. {tool.note}".rstrip())


def _with_note(line: str, note: str) -> str:
    return f"{line}  # {note}" if note else line


def _comment(indent: str, sentence: str) -> list[str]:
    return [f"{indent}# {sentence}"] if sentence else []


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(_in_flow(str(each)) for each in cast('Sequence[object]', value))}]"
    return str(value)


def scalar(text: str) -> str:
    """Return a text as it stands in YAML, in ASCII: plain where that is read as this very text.

    Letters that look like others are seen to be others.
    """
    is_plain = text[:1].isalnum() or text.startswith("/")
    return text if is_plain and yaml.safe_dump([text], width=inf) == f"- {text}\n" else _quoted(text)


def _in_flow(text: str) -> str:
    """Return a text as it stands between brackets, where less may be plain."""
    is_plain = yaml.safe_dump([text], default_flow_style=True, width=inf) == f"[{text}]\n"
    return text if is_plain else _quoted(text)


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=inf).removesuffix("\n")
