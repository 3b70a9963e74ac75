"""Asks the servers behind the gate for their tools, as the gate reaches them."""

from collections.abc import Callable
from urllib.parse import urlsplit

from tunnelgate import Policy, Route, RouteUpstream
from tunnelgate.credentials import Credential, ExchangedToken
from tunnelgate.errors import ConfigurationError, Unavailable
from tunnelgate.reading.fault import Fault
from tunnelgate.upstream.resolving import Resolve
from tunnelgate_app.asking.answers import AskingError, Limits, Listing
from tunnelgate_app.asking.mcp import list_tools
from tunnelgate_app.asking.upstream import client_of
from tunnelgate_app.doctor.judging.upstreams import AskedUpstream, KeptFrom, Unusable
from tunnelgate_app.doctor.trying.mounting import mounted
from tunnelgate_app.mounting import MountError

_MAY_BE_ABOUT_HOST = (403, 421)


class UpstreamTrial:
    """Lists tools without the gate between, with the credentials that the gate would send.

    ``resolve`` looks names up, ``limits`` are for each question, and ``leave_out`` is told each
    secret before it is sent.
    """

    def __init__(
        self, policy: Policy, *, resolve: Resolve, limits: Limits, leave_out: Callable[[str], None]
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._limits = limits
        self._leave_out = leave_out

    async def ask(self, name: str, credential: Credential | None, token: str | None) -> AskedUpstream:
        """Return what the server behind the route ``name`` answers.

        ``credential`` has the token that it takes, which may be had only for a caller's ``token``.
        """
        route = self._policy.routes[name]
        if route.upstream is None:
            return await self._ask_mounted(name, route)
        where = f"{route.upstream.url}{route.path}"
        if isinstance(credential, ExchangedToken) and token is None:
            sentence = "its token is had for a caller's only; --token-file gives one"
            return AskedUpstream(name, where, KeptFrom(sentence))
        try:
            sent = (
                None if credential is None else await credential.token_for(token.encode() if token else None)
            )
        except (Fault, Unavailable) as error:
            return AskedUpstream(name, where, Unusable(f"its token cannot be had: {error}"))
        if sent is not None:
            self._leave_out(sent)
        return await self._ask_remote(name, route, route.upstream, sent)

    async def _ask_remote(
        self, name: str, route: Route, upstream: RouteUpstream, token: str | None
    ) -> AskedUpstream:
        public = urlsplit(self._policy.endpoints(name)[0]).netloc
        where = f"{upstream.url}{route.path}"
        try:
            listing = await self._list(
                name, route, upstream, public if upstream.preserve_host else None, token
            )
        except ConfigurationError as error:
            return AskedUpstream(name, where, Unusable("; ".join(map(str, error.faults))))
        except AskingError as failure:
            takes_other = False
            if failure.status in _MAY_BE_ABOUT_HOST:
                other = None if upstream.preserve_host else public
                takes_other = await self._answers(name, route, upstream, other, token)
            return AskedUpstream(
                name,
                where,
                failure,
                has_credentials=token is not None,
                path=route.path,
                preserves_host=upstream.preserve_host,
                takes_other_host=takes_other,
            )
        return AskedUpstream(name, where, listing)

    async def _ask_mounted(self, name: str, route: Route) -> AskedUpstream:
        where = route.mount or ""
        try:
            async with mounted(route, self._limits.seconds) as client:
                url = self._policy.endpoints(name)[0]
                listing = await list_tools(client, url, limits=self._limits)
        except MountError as error:
            return AskedUpstream(name, where, Unusable(str(error)), is_mounted=True)
        except AskingError as failure:
            return AskedUpstream(name, where, failure, path=route.path, is_mounted=True)
        return AskedUpstream(name, where, listing)

    async def _answers(
        self, name: str, route: Route, upstream: RouteUpstream, host: str | None, token: str | None
    ) -> bool:
        try:
            await self._list(name, route, upstream, host, token)
        except AskingError:
            return False
        return True

    async def _list(
        self, name: str, route: Route, upstream: RouteUpstream, host: str | None, token: str | None
    ) -> Listing:
        gate = self._policy.upstream
        async with client_of(gate, upstream, name, host=host, resolve=self._resolve) as client:
            return await list_tools(client, f"{upstream.url}{route.path}", token=token, limits=self._limits)
