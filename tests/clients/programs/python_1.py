"""The Python SDK 1.x as a client, in an environment of its own.

What it imports is not installed where types are checked, and would clash with what is.
"""

import asyncio
import importlib
import warnings
from datetime import timedelta
from typing import Any

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

_types: Any = importlib.import_module("mcp.types")
_httpx: Any = importlib.import_module("httpx")
_session: Any = importlib.import_module("mcp.client.session")
_transport: Any = importlib.import_module("mcp.client.streamable_http")
_exceptions: Any = importlib.import_module("mcp.shared.exceptions")
_url: Any = importlib.import_module("pydantic").AnyUrl
_READ_LIMIT = timedelta(seconds=15)


def _json(model: Any) -> dict[str, Json]:
    found: dict[str, Json] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


class _Speaker:
    def __init__(self, session: Any, hello: Any, seen: Seen) -> None:
        self.session = session
        self.hello = hello
        self.seen = seen

    def greeting(self) -> Json:
        hello = _json(self.hello)
        return {
            "version": hello["protocolVersion"],
            "server": hello["serverInfo"],
            "capabilities": hello["capabilities"],
            "instructions": hello.get("instructions"),
        }

    async def page(self, kind: Kind, cursor: str | None) -> dict[str, Json]:
        lists = {
            "tools": self.session.list_tools,
            "prompts": self.session.list_prompts,
            "resources": self.session.list_resources,
            "templates": self.session.list_resource_templates,
        }
        params = None if cursor is None else _types.PaginatedRequestParams(cursor=cursor)
        return _json(await lists[kind](params=params))

    async def call(
        self, tool: str, arguments: Json = None, meta: Json = None, progress: list[Json] | None = None
    ) -> Json:
        seen = progress

        async def report(progress: float, total: float | None, message: str | None) -> None:
            if seen is not None:
                seen.append([progress, total, message])

        callback = None if seen is None else report
        return _json(
            await self.session.call_tool(tool, arguments or {}, progress_callback=callback, meta=meta)
        )

    async def prompt(self, name: str, arguments: dict[str, str] | None = None) -> Json:
        return _json(await self.session.get_prompt(name, arguments))

    async def read(self, uri: str) -> Json:
        return _json(await self.session.read_resource(_url(uri)))

    async def complete(self, ref: dict[str, str], argument: dict[str, str]) -> Json:
        is_prompt = ref["type"] == "ref/prompt"
        model = _types.PromptReference if is_prompt else _types.ResourceTemplateReference
        return _json(await self.session.complete(model.model_validate(ref), argument))

    async def ping(self) -> Json:
        return _json(await self.session.send_ping())

    async def set_level(self, level: str) -> Json:
        return _json(await self.session.set_logging_level(level))

    async def subscribe(self, uri: str) -> Json:
        return _json(await self.session.subscribe_resource(_url(uri)))

    async def unsubscribe(self, uri: str) -> Json:
        return _json(await self.session.unsubscribe_resource(_url(uri)))

    async def listen_to_tools(self, then_call: str) -> Json:
        raise NotImplementedError(then_call)

    async def listen_to_resources(self, uris: list[str]) -> Json:
        raise NotImplementedError(uris)


async def main() -> None:
    """Do what the plan says."""
    plan, seen = Plan(), Seen()

    async def on_response(response: Any) -> None:
        seen.response(response.request.method, response.status_code, response.headers)

    async def on_elicitation(context: Any, params: Any) -> Any:
        seen.asked.append(_json(params))
        return _types.ElicitResult(action="accept", content=filled(params.requestedSchema))

    async def on_sampling(context: Any, params: Any) -> Any:
        seen.asked.append(_json(params))
        content = _types.TextContent(type="text", text="Paris")
        return _types.CreateMessageResult(role="assistant", content=content, model="none")

    async def on_roots(context: Any) -> Any:
        return _types.ListRootsResult(roots=[_types.Root(uri=ROOT, name="work")])

    async def on_log(params: Any) -> None:
        seen.log.append(_json(params))

    async def on_message(message: Any) -> None:
        seen.notification(getattr(getattr(message, "root", None), "method", None))

    hooks = {"response": [on_response]}
    async with _httpx.AsyncClient(headers=plan.headers, timeout=15, event_hooks=hooks) as http:
        try:
            transport = _transport.streamable_http_client(plan.url, http_client=http)
            async with (
                transport as (reading, writing, _),
                _session.ClientSession(
                    reading,
                    writing,
                    read_timeout_seconds=_READ_LIMIT,
                    elicitation_callback=on_elicitation,
                    sampling_callback=on_sampling,
                    list_roots_callback=on_roots,
                    logging_callback=on_log,
                    message_handler=on_message,
                    client_info=_types.Implementation(name="python-1", version="1"),
                ) as session,
            ):
                speaker = _Speaker(session, await session.initialize(), seen)
                await take(plan.steps, steps_of(speaker, plan.names), _exceptions.McpError, seen)
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
