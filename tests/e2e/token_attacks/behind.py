"""An application behind a gateway that writes down what reaches it, and that breaks when it is asked to."""

from pathlib import Path
from typing import Any

import orjson

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send

SAFE, BREAKS, BREAKS_LATE = "safe_tool", "tool_that_breaks", "tool_that_breaks_late"


class ToolBrokeError(Exception):
    """What this application raises."""


def create_app(seen: str) -> ASGIApp:
    """Return an application that appends the headers of each request to the file ``seen``, as JSON."""
    file = Path(seen)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        with file.open("ab") as written:  # noqa: ASYNC230 - a line of a test, on nobody's way
            written.write(orjson.dumps(headers) + b"\n")
        message = orjson.loads((await receive())["body"])
        tool = message["params"]["name"]
        if tool == BREAKS:
            raise ToolBrokeError("before it answers")
        result: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
        answer = orjson.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        if tool == BREAKS_LATE:
            await send({"type": "http.response.body", "body": answer[:5], "more_body": True})
            raise ToolBrokeError("while it answers")
        return await send({"type": "http.response.body", "body": answer})

    return app
