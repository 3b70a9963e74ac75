"""The Python SDK 2.x as a client."""

import asyncio
import warnings
from collections.abc import Awaitable
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import Subscription
from mcp.shared.exceptions import MCPError
from mcp.types import (
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitResult,
    Implementation,
    ListRootsResult,
    PromptReference,
    ResourceTemplateReference,
    Root,
    TextContent,
)
from pydantic import BaseModel, FileUrl

from tests.clients.programs.scenario import (
    PING,
    RAW_HEADERS,
    ROOT,
    Json,
    Kind,
    Plan,
    Seen,
    failure,
    filled,
    say,
    steps_of,
    take,
)

_MODES = {"legacy": "legacy", "auto": "auto", "modern": "2026-07-28"}


def _json(model: BaseModel) -> dict[str, Json]:
    found: dict[str, Json] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


class _Speaker:
    def __init__(self, client: Client, seen: Seen) -> None:
        self.client = client
        self.seen = seen
        # What only the legacy era has is deprecated, and is what this is about.
        self.legacy: Any = client

    def greeting(self) -> Json:
        client = self.client
        return {
            "version": client.protocol_version,
            "server": None if client.server_info is None else _json(client.server_info),
            "capabilities": _json(client.server_capabilities),
            "instructions": client.instructions,
        }

    async def page(self, kind: Kind, cursor: str | None) -> dict[str, Json]:
        lists = {
            "tools": self.client.list_tools,
            "prompts": self.client.list_prompts,
            "resources": self.client.list_resources,
            "templates": self.client.list_resource_templates,
        }
        answer: Awaitable[BaseModel] = lists[kind](cursor=cursor, cache_mode="bypass")
        return _json(await answer)

    async def call(
        self, tool: str, arguments: Json = None, meta: Json = None, progress: list[Json] | None = None
    ) -> Json:
        seen = progress

        async def report(progress: float, total: float | None, message: str | None) -> None:
            if seen is not None:
                seen.append([progress, total, message])

        callback = None if seen is None else report
        return _json(
            await self.client.call_tool(tool, arguments or {}, progress_callback=callback, meta=meta)
        )

    async def prompt(self, name: str, arguments: dict[str, str] | None = None) -> Json:
        return _json(await self.client.get_prompt(name, arguments))

    async def read(self, uri: str) -> Json:
        return _json(await self.client.read_resource(uri, cache_mode="bypass"))

    async def complete(self, ref: dict[str, str], argument: dict[str, str]) -> Json:
        model = PromptReference if ref["type"] == "ref/prompt" else ResourceTemplateReference
        return _json(await self.client.complete(model.model_validate(ref), argument))

    async def ping(self) -> Json:
        return _json(await self.legacy.send_ping())

    async def set_level(self, level: str) -> Json:
        return _json(await self.legacy.set_logging_level(level))

    async def subscribe(self, uri: str) -> Json:
        return _json(await self.legacy.subscribe_resource(uri))

    async def unsubscribe(self, uri: str) -> Json:
        return _json(await self.legacy.unsubscribe_resource(uri))

    async def listen_to_tools(self, then_call: str) -> Json:
        async with self.client.listen(tools_list_changed=True) as subscription:
            await self.client.call_tool(then_call)
            event = await anext(subscription)
            return {"honored": _honored(subscription), "event": type(event).__name__}

    async def listen_to_resources(self, uris: list[str]) -> Json:
        async with self.client.listen(resource_subscriptions=uris) as subscription:
            return {"honored": _honored(subscription)}


def _honored(subscription: Subscription) -> Json:
    return _json(subscription.honored)


async def main() -> None:
    """Do what the plan says."""
    plan, seen = Plan(), Seen()

    async def on_response(response: httpx2.Response) -> None:
        seen.response(response.request.method, response.status_code, response.headers)

    async def on_elicitation(context: object, params: Any) -> ElicitResult:
        seen.asked.append(_json(params))
        assert isinstance(params, ElicitRequestFormParams)
        return ElicitResult(action="accept", content=filled(params.requested_schema))

    async def on_sampling(context: object, params: Any) -> CreateMessageResult:
        seen.asked.append(_json(params))
        return CreateMessageResult(role="assistant", content=TextContent(text="Paris"), model="none")

    async def on_roots(context: object) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl(ROOT), name="work")])

    async def on_log(params: Any) -> None:
        seen.log.append(_json(params))

    async def on_message(message: Any) -> None:
        seen.notification(getattr(message, "method", None))

    http = httpx2.AsyncClient(headers=plan.headers, timeout=15, event_hooks={"response": [on_response]})
    async with http:
        try:
            async with Client(
                streamable_http_client(plan.url, http_client=http),
                mode=_MODES[plan.era],
                client_info=Implementation(name="python-2", version="1"),
                elicitation_callback=on_elicitation,
                sampling_callback=on_sampling,
                list_roots_callback=on_roots,
                logging_callback=on_log,
                message_handler=on_message,
            ) as client:
                await take(plan.steps, steps_of(_Speaker(client, seen), plan.names), MCPError, seen)
        except Exception as error:  # noqa: BLE001  # whatever a client makes of an answer is a finding
            say("connect", failed=failure(error), **seen.refusal())
            return
        if seen.session_id is not None and "use a closed session" in plan.steps:
            headers = {**RAW_HEADERS, "mcp-session-id": seen.session_id}
            answer = await http.post(plan.url, json=PING, headers=headers)
            say("use a closed session", saw=answer.status_code)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
