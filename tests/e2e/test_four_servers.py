"""Each sample server in the three places where it can stand: inside the gate, behind it, and alone."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from mcp import MCPError

from tests.servers.serving import Era, connected, own_check_options, sentence, served, structured, token
from tests.support.tokens import ISSUER, jwks
from tunnelgate import Policy
from tunnelgate_app.gateway import create_gateway
from tunnelgate_servers.billing_audit.seed import seed_ledger
from tunnelgate_servers.deploy_status.seed import write_releases
from tunnelgate_servers.docs_readonly.seed import write_documents
from tunnelgate_servers.hosting import migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft.seed import seed_tickets

pytestmark = pytest.mark.anyio

Place = Literal["mounted", "upstream", "alone"]

DOMAIN = "tunnel.example.com"
UNTIL = date(2026, 11, 1)


def documents(folder: Path) -> dict[str, Any]:
    write_documents(folder / "documents", seed=1, until=UNTIL, count=30)
    return {"folder": str(folder / "documents"), "database": f"sqlite:///{folder / 'docs.sqlite'}"}


def tickets(folder: Path) -> dict[str, Any]:
    return {"database": _seeded(folder, "tickets_draft", seed_tickets)}


def ledger(folder: Path) -> dict[str, Any]:
    return {"database": _seeded(folder, "billing_audit", seed_ledger)}


def releases(folder: Path) -> dict[str, Any]:
    write_releases(folder / "releases", seed=1, until=UNTIL)
    return {"releases": str(folder / "releases")}


def _seeded(folder: Path, name: str, seed: Callable[..., int]) -> str:
    url = f"sqlite:///{folder / name}.sqlite"
    engine = open_writer(read_url(url))
    migrate(engine, f"tunnelgate_servers.{name}")
    assert seed(engine, seed=1, until=UNTIL) > 0
    engine.dispose()
    return url


@dataclass(frozen=True)
class Sample:
    """A server, what a gate lists of it, what it has besides, and a call that works."""

    name: str
    options: Callable[[Path], dict[str, Any]]
    scopes: tuple[str, ...]
    listed: tuple[str, ...]
    unlisted: tuple[str, ...]
    call: tuple[str, Mapping[str, Any]]
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def mount(self) -> str:
        return f"tunnelgate_servers.{self.name}:create_app"

    @property
    def host(self) -> str:
        return f"{self.name.replace('_', '-')}.{DOMAIN}"

    @property
    def resource(self) -> str:
        return f"https://{self.host}/mcp"

    def token(self, resource: str | None = None) -> str:
        return token(*self.scopes, resource=resource or self.resource, claims=self.claims)


SAMPLES = [
    Sample(
        "docs_readonly",
        documents,
        ("docs:read",),
        ("search_docs", "read_doc", "list_docs"),
        ("reindex_docs",),
        ("list_docs", {}),
    ),
    Sample(
        "tickets_draft",
        tickets,
        ("tickets:read", "tickets:draft"),
        ("search_tickets", "read_ticket", "create_draft", "update_draft", "discard_draft"),
        ("submit_draft", "close_ticket"),
        ("create_draft", {"title": "The door is stuck", "body": "On the third floor."}),
    ),
    Sample(
        "billing_audit",
        ledger,
        ("billing:read",),
        ("list_accounts", "read_statement", "search_transactions", "explain_charge"),
        ("refund_charge",),
        ("list_accounts", {}),
        {"accounts": "*"},
    ),
    Sample(
        "deploy_status",
        releases,
        ("deploy:read",),
        ("list_services", "current_release", "release_history", "compare_releases"),
        ("rollback",),
        ("list_services", {}),
    ),
]


@dataclass(frozen=True)
class Standing:
    """A sample that is served somewhere: where, and under which name."""

    sample: Sample
    place: Place
    url: str

    @property
    def host(self) -> str | None:
        return None if self.place == "alone" else self.sample.host


def gate_for(sample: Sample, folder: Path, target: Mapping[str, Any]) -> Any:
    """Return a gate whose one route leads to the sample."""
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    policy = Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "upstream": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(folder / "jwks.json")}]},
            "routes": {
                sample.host: {"scopes": list(sample.scopes), "tools": list(sample.listed), **target},
            },
            "audit": {"file": str(folder / "audit.jsonl")},
        }
    )
    return create_gateway(policy)


@contextmanager
def standing(sample: Sample, place: Place, folder: Path) -> Generator[Standing]:
    create_app = import_module(f"tunnelgate_servers.{sample.name}").create_app
    options = sample.options(folder)
    with ExitStack() as running:
        if place == "mounted":
            target = {"mount": sample.mount, "options": {**options, "allowed_hosts": [sample.host]}}
            yield Standing(sample, place, running.enter_context(served(gate_for(sample, folder, target))))
            return
        own = f"https://{sample.name}.internal/mcp" if place == "upstream" else sample.resource
        alone = running.enter_context(served(create_app(**options, **own_check_options(folder, own))))
        if place == "alone":
            yield Standing(sample, place, alone)
            return
        # Where the server has to know who asks, a gate exchanges the caller's token for one like this.
        (folder / "credential").write_text(sample.token(own))
        target = {"upstream": alone, "credentials": {"bearer_file": str(folder / "credential")}}
        yield Standing(sample, place, running.enter_context(served(gate_for(sample, folder, target))))


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    chosen: Sample = request.param
    return chosen


@pytest.fixture(scope="module", params=["mounted", "upstream", "alone"])
def server(
    sample: Sample, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Standing]:
    with standing(sample, request.param, tmp_path_factory.mktemp(sample.name)) as stands:
        yield stands


@pytest.fixture(params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")])
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken


async def test_what_is_listed_is_what_the_gate_allows_and_alone_all_there_is(
    server: Standing, era: Era
) -> None:
    sample = server.sample
    async with connected(server.url, era, sample.token(), server.host) as client:
        tools = (await client.list_tools()).tools

    unlisted = sample.unlisted if server.place == "alone" else ()
    assert [tool.name for tool in tools] == [*sample.listed, *unlisted]
    for tool in tools:
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is not None


async def test_a_call_is_answered_with_structure_and_with_text(server: Standing, era: Era) -> None:
    name, arguments = server.sample.call
    async with connected(server.url, era, server.sample.token(), server.host) as client:
        result = await client.call_tool(name, dict(arguments))

    assert structured(result)
    assert result.content


async def test_a_tool_that_is_not_listed_is_unknown_and_alone_needs_a_scope(
    server: Standing, era: Era
) -> None:
    async with connected(server.url, era, server.sample.token(), server.host) as client:
        for name in server.sample.unlisted:
            if server.place == "alone":
                assert "scope" in sentence(await client.call_tool(name, {}))
            else:
                with pytest.raises(MCPError, match="Unknown tool"):
                    await client.call_tool(name, {})


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(None, id="no token"),
        pytest.param("https://elsewhere.example.com/mcp", id="a token for another server"),
    ],
)
async def test_without_its_own_token_nothing_is_answered(server: Standing, resource: str | None) -> None:
    headers = {"host": server.host} if server.host else {}
    if resource:
        headers["authorization"] = f"Bearer {server.sample.token(resource)}"
    async with httpx2.AsyncClient(headers=headers) as http:
        answer = await http.post(
            f"{server.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
