"""Asks the servers behind a proxy for their tools, several at the same time."""

import asyncio
from collections.abc import Mapping

from tunnelgate import ConfigurationError, Policy
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate_app.asking.answers import AskingError, Failure, Limits
from tunnelgate_app.asking.mcp import list_tools
from tunnelgate_app.asking.upstream import upstream_client
from tunnelgate_app.importing.proposing import Proposal, propose

_AT_A_TIME = 8


async def ask_upstreams(
    policy: Policy,
    paths: Mapping[str, str],
    tokens: Mapping[str, str],
    limits: Limits,
    *,
    resolve: Resolve = resolve_by_system,
) -> Mapping[str, Proposal]:
    """Return what is proposed for each route of ``policy``.

    ``paths`` are MCP endpoints other than ``/mcp`` and ``tokens`` what servers are asked with, both by
    the names of routes; ``limits`` are for one server. What cannot be asked is in its proposal.
    """
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def ask(name: str) -> Proposal:
        async with slots:
            path = paths.get(name, policy.routes[name].path)
            return await _ask(policy, name, path, tokens.get(name), limits=limits, resolve=resolve)

    proposals = await asyncio.gather(*map(ask, policy.routes))
    return dict(zip(policy.routes, proposals, strict=True))


async def _ask(
    policy: Policy, name: str, path: str, token: str | None, *, limits: Limits, resolve: Resolve
) -> Proposal:
    try:
        http = upstream_client(policy, name, resolve=resolve)
    except ConfigurationError as error:  # its files of TLS may be on another machine
        return Proposal(failure="; ".join(map(str, error.faults)))
    async with http:
        url = http.base_url.join(path)
        try:
            listing = await list_tools(http, str(url), token=token, limits=limits)
        except AskingError as error:
            needs_token = error.failure is Failure.NEEDS_TOKEN
            return Proposal(failure=error.sentence, needs_token=needs_token)
    return propose(listing, needs_token=token is not None)
