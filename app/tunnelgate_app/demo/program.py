"""A short program for the official Python SDK, which the demo writes beside its configuration."""

from tunnelgate_app.demo.routes import TUNNEL_DOMAIN
from tunnelgate_app.demo.state import DemoState


def python_client(state: DemoState) -> str:
    """Return a program that lists the tools of the route that it is told, with the token in `TOKEN`."""
    return f"""\
\"\"\"TOKEN=$(tunnelgate token --route docs) python client.py docs\"\"\"

import asyncio
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

HEADERS = {{
    "Authorization": f"Bearer {{os.environ['TOKEN']}}",
    "Host": f"{{sys.argv[1]}}.{TUNNEL_DOMAIN}",
}}


async def main():
    async with httpx2.AsyncClient(headers=HEADERS) as http:
        async with Client(streamable_http_client("{state.gate}/mcp", http_client=http)) as client:
            print([tool.name for tool in (await client.list_tools()).tools])


asyncio.run(main())
"""
