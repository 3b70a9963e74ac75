"""Prints a conversation with each of the demo's servers, by the official client of a person who logs in.

python -m tests.e2e.conversations
"""

import asyncio
import logging
import tempfile
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml
from mcp import Client, MCPError

from tests.e2e.logging_in import Storage, Tunnel
from tests.e2e.visiting import Visitor
from tests.support.audit import Records
from tests.support.processes import SCRIPTS, environment, free_port, running
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_app.demo import ACCOUNTS, ROUTES

_USER = "alice"
_ACCOUNT_OF_BOB = ACCOUNTS["bob"][0]
_CHARACTERS = 300  # of a text
_ENTRIES = 3  # of a list
_WIDTH = 108


@dataclass
class Conversation:
    """What a client asked of one server and what it was told, as lines."""

    tunnel: Tunnel
    client: Client
    lines: list[str] = field(default_factory=list[str])
    told: int = 0

    def say(self, sentence: str) -> None:
        """Write down what happens besides."""
        self.lines += textwrap.wrap(f"# {sentence}", _WIDTH, subsequent_indent="# ")

    async def list_tools(self) -> None:
        """Ask what can be called."""
        tools = [tool.name for tool in (await self.client.list_tools()).tools]
        self._login()
        self.lines += ["> tools/list", f"  {', '.join(tools)}"]

    async def call(self, tool: str, *only: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and return its answer; `only` are the members that are shown of it."""
        result = await self.client.call_tool(tool, arguments)
        self._login()
        self._asked(tool, arguments)
        if result.is_error:
            for each in result.content:
                self.lines += _indented(f"error: {getattr(each, 'text', each)}")
            return {}
        content: dict[str, Any] = result.structured_content or {}
        text = yaml.safe_dump(
            _short(content, only), sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=None
        )
        self.lines += [f"  {line}" for line in text.splitlines()]
        return content

    async def refused(self, tool: str, **arguments: Any) -> None:
        """Call a tool that the gate does not let through."""
        self._asked(tool, arguments)
        try:
            result = await self.client.call_tool(tool, arguments)
        except MCPError as error:
            self.lines.append(f"  {error.error.code} {error.error.message}")
        else:
            self.lines.append(f"  was let through: {result}")

    def _asked(self, tool: str, arguments: Mapping[str, Any]) -> None:
        asked = f"> {tool} {orjson.dumps(dict(arguments)).decode()}"
        self.lines += textwrap.wrap(asked, _WIDTH, subsequent_indent="> ", break_on_hyphens=False)

    def _login(self) -> None:
        """Write down what the person was asked since."""
        for step in self.tunnel.steps[self.told :]:
            if step.method == "POST" and step.url.endswith("/authorize"):
                self.say(f"{step.sent['user']} logs in and allows {step.sent['scope'].replace(' ', ' and ')}")
        self.told = len(self.tunnel.steps)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _short(value: Any, only: Collection[str]) -> Any:
    if is_object(value):
        shown = {name: each for name, each in value.items() if not only or name in only}
        return {name: _short(each, only) for name, each in shown.items() if each is not None}
    if is_array(value):
        more = [f"… and {len(value) - _ENTRIES} more"] if len(value) > _ENTRIES else []
        return [*(_short(each, only) for each in value[:_ENTRIES]), *more]
    if isinstance(value, str):
        text = " ".join(value.split())
        return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
    return value


async def docs(talk: Conversation) -> None:
    """Find out how a step-up works."""
    await talk.list_tools()
    found = await talk.call(
        "search_docs", "matched", "hits", "path", "heading", "snippet", query="step-up scope challenge"
    )
    hit = found["hits"][0]
    await talk.call("read_doc", "path", "section", "text", path=hit["path"], section=hit["heading"])
    await talk.call("list_docs", "documents", "path", "title")
    talk.say("the server has this tool, and nobody listed it")
    await talk.refused("reindex_docs")


async def tickets(talk: Conversation) -> None:
    """Find out who had a problem before, draft a ticket, and let the person submit it."""
    await talk.list_tools()
    found = await talk.call(
        "search_tickets", "hits", "id", "title", "state", query="cannot log in", state="closed"
    )
    await talk.call("read_ticket", "id", "title", "body", "state", "requester", id=found["hits"][0]["id"])
    similar = found["hits"][0]["id"]
    shown = ("id", "title", "body", "priority", "version", "state", "submit_at")
    draft = await talk.call(
        "create_draft",
        *shown,
        title="Cannot log in to the returns portal after the password change",
        body="Since this morning alice is sent back to the login page each time.",
        idempotency_key="returns-portal-1",
    )
    changed = await talk.call(
        "update_draft",
        *shown,
        draft_id=draft["id"],
        expected_version=draft["version"],
        body=f"Since this morning alice is sent back to the login page. It looks like {similar}.",
        priority="high",
    )
    await talk.call("update_draft", draft_id=draft["id"], expected_version=draft["version"], priority="low")
    talk.say("the server has this tool, and nobody listed it")
    await talk.refused("submit_draft", draft_id=draft["id"])
    number = await submitted_at_the_desk(talk, changed["submit_at"])
    await talk.call("read_ticket", "id", "title", "state", "priority", "requester", id=number)
    await talk.call("read_ticket", id=draft["id"])


async def submitted_at_the_desk(talk: Conversation, url: str) -> str:
    """Log in at the desk as the person, read the draft, post its form, and return the ticket's number."""
    async with talk.tunnel.http("user") as http:
        person = Visitor(http)
        asked = await person.open(url.replace("/draft?", "/login?"))
        talk.say(f"{_USER} opens {url} in her browser and logs in")
        page = await person.submit(asked, "authorize", {"user": _USER, "decision": "approve"})
        talk.told = len(talk.tunnel.steps)
        talk.say(f"she reads: {page.text}")
        done = await person.submit(page, "/submit")
        talk.say(f"she submits, and reads: {done.text}")
    return next(word.rstrip(".") for word in done.text.split() if word.startswith("TCK-"))


async def billing(talk: Conversation) -> None:
    """Find out what a customer was charged for, and what became of it."""
    await talk.list_tools()
    await talk.call("list_accounts", "count", "accounts", "id", "holder", "card", "balance", "text", limit=3)
    shown = ("transactions", "transaction", "account", "holder", "posted_at", "description", "amount", "text")
    refunds = await talk.call("search_transactions", *shown, kind="refund", limit=2)
    refund = refunds["transactions"][0]
    account, day = refund["account"], refund["posted_at"][:10]
    await talk.call(
        "read_statement",
        *("opening_balance", "debits", "credits", "closing_balance", "count", "lines"),
        *("posted_at", "kind", "description", "amount", "text"),
        account=account,
        month=day[:7],
    )
    before = {"kind": "charge", "account": account, "date_to": day, "limit": 1}
    charges = await talk.call("search_transactions", *shown, **before)
    charge = charges["transactions"][0]["transaction"]
    await talk.call("explain_charge", charge=charge)
    talk.say(f"an account that the token of {_USER} does not name")
    await talk.call("read_statement", account=_ACCOUNT_OF_BOB)
    talk.say("the server has this tool, and nobody listed it")
    await talk.refused("refund_charge", charge=charge, amount=100, reason="They asked nicely.")


async def deploy(talk: Conversation) -> None:
    """Find out what is new in production, and what production lacks."""
    await talk.list_tools()
    await talk.call("list_services", "services", "service", "environments", "environment", "version")
    where = {"service": "checkout", "environment": "production"}
    shown = ("version", "kind", "outcome", "released_at", "released_by", "summary")
    await talk.call("current_release", "current", *shown, "cluster", "explanation", **where)
    history = await talk.call("release_history", "releases", *shown, **where)
    compared = ("differences", "what", "before", "after", "direction", "between_total")
    earlier = history["releases"][2]["version"]
    await talk.call("compare_releases", *compared, "between", *shown, **where, from_version=earlier)
    await talk.call("compare_releases", *compared, "version", **where, to_environment="staging")
    talk.say("the server has this tool, and nobody listed it")
    await talk.refused("rollback", **where)


CONVERSATIONS: Mapping[str, Callable[[Conversation], Awaitable[None]]] = {
    "docs": docs,
    "tickets": tickets,
    "billing": billing,
    "deploy": deploy,
}


async def transcript(port: int, name: str) -> list[str]:
    """Return a conversation with one server of the demo that listens on `port`, as lines."""
    async with talking(port, name) as talk:
        await CONVERSATIONS[name](talk)
    return talk.lines


@asynccontextmanager
async def talking(port: int, name: str) -> AsyncGenerator[Conversation]:
    tunnel = Tunnel(port, Records())
    url = ROUTES[name].resource(port)
    async with tunnel.client(Storage(), url=url, user=_USER) as client:
        talk = Conversation(tunnel, client)
        talk.say(f"the client was told {url} and nothing else")
        yield talk


def main() -> None:
    """Print the conversations."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [str(SCRIPTS / "tunnelgate"), "demo", "--port", str(port)]
        with running(command, environment(Path(folder))):
            for name in CONVERSATIONS:
                lines = asyncio.run(transcript(port, name))
                print("\n".join([f"== {ROUTES[name].hostname}", *lines, ""]))  # noqa: T201 - it is what this is for


if __name__ == "__main__":
    main()
