"""The server of all fixtures, as an ASGI application with one endpoint for both eras."""

from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import (
    EventCallback,
    EventId,
    EventMessage,
    EventStore,
    StreamableHTTPServerTransport,
    StreamId,
)
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import (
    CallToolRequestParams,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCResponse,
    ListToolsResult,
    PaginatedRequestParams,
    SetLevelRequestParams,
)
from starlette.applications import Starlette
from starlette.routing import Route

from tests.conformance.everything import asking, content, prompts, resources, rounds, streams, tasks
from tests.conformance.everything.call import Call, Context, Outcome, Schema, Tools

NAME = "tunnelgate-everything"
TOOLS = Tools.joined([content.TOOLS, streams.TOOLS, asking.TOOLS, rounds.TOOLS, tasks.TOOLS])
_RETRY_MILLISECONDS = 100
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_CACHED: dict[CacheableMethod, CacheHint] = {
    "tools/list": CacheHint(ttl_ms=60_000, scope="public"),
    "prompts/list": CacheHint(ttl_ms=60_000, scope="public"),
    "resources/list": CacheHint(ttl_ms=60_000, scope="public"),
    "resources/templates/list": CacheHint(ttl_ms=60_000, scope="public"),
    "resources/read": CacheHint(ttl_ms=0, scope="private"),
}


def create_app(*, any_host: bool = False) -> Starlette:
    """Return the application; it answers only to loopback names unless ``any_host`` is set."""
    hosts = TransportSecuritySettings(
        enable_dns_rebinding_protection=not any_host,
        allowed_hosts=[f"{name}:*" for name in _LOOPBACK],
        allowed_origins=[f"http://{name}:*" for name in _LOOPBACK],
    )
    sessions = _Sessions(_server(), security_settings=hosts, retry_interval=_RETRY_MILLISECONDS)
    return Starlette(
        routes=[Route("/mcp", StreamableHTTPASGIApp(sessions))], lifespan=lambda _: sessions.run()
    )


class _Announcing(Server[dict[str, Any]]):
    """Says in the handshake that its lists can change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        changing = NotificationOptions(prompts_changed=True, tools_changed=True)
        return super().create_initialization_options(
            notification_options or changing, experimental_capabilities, extensions
        )


def _server() -> Server[dict[str, Any]]:
    changes = InMemorySubscriptionBus()

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[fixture.tool for fixture in TOOLS.values()])

    async def call_tool(context: Context, params: CallToolRequestParams) -> Outcome:
        call = Call(
            context, params.arguments or {}, params.input_responses or {}, params.request_state, changes
        )
        return await TOOLS.call(params.name, call)

    server = _Announcing(
        NAME,
        version="1",
        instructions="Fixtures for the MCP conformance suite.",
        cache_hints=_CACHED,
        get_tool_input_schema=_input_schema,
        lifespan=tasks.keep_running,
        on_list_tools=list_tools,
        on_list_prompts=prompts.list_prompts,
        on_get_prompt=prompts.get_prompt,
        on_completion=prompts.complete,
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        on_subscribe_resource=resources.subscribe,
        on_unsubscribe_resource=resources.unsubscribe,
    )
    tasks.offer_tasks(server, ListenHandler(changes))
    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, streams.LEVELS.set)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


def _input_schema(tool: str) -> Schema | None:
    return TOOLS[tool].tool.input_schema if tool in TOOLS else None


class _Events(EventStore):
    """The events of one session, numbered.

    A resumed stream is fed from here until its answer: the SDK would lose what is stored between the end
    of the replay and the moment at which it listens again.
    """

    def __init__(self) -> None:
        self._events: list[tuple[StreamId, JSONRPCMessage | None]] = []
        self._grown = anyio.Event()

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        self._events.append((stream_id, message))
        self._grown.set()
        self._grown = anyio.Event()
        return str(len(self._events) - 1)

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> None:
        if not last_event_id.isdecimal() or int(last_event_id) >= len(self._events):
            return
        seen = int(last_event_id)
        stream = self._events[seen][0]
        number = 0
        while True:
            while number < len(self._events):
                each, message = self._events[number]
                if each == stream and message is not None:
                    if number > seen:
                        await send_callback(EventMessage(message, str(number)))
                    if isinstance(message, JSONRPCResponse | JSONRPCError):
                        return
                number += 1
            await self._grown.wait()


class _Sessions(StreamableHTTPSessionManager):
    """Gives each session events of its own: the SDK names streams by request id, which sessions share."""

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        self.event_store = _Events()
        return super()._admit_session(requestor)
