"""The servers behind a proxy are asked at the same time, and each has its own answer."""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from starlette.responses import Response

from tests.support.listing import answering_server, listed, listing_server, tool
from tests.support.processes import free_port
from tests.support.remote import served_elsewhere
from tests.support.resolving import Names
from tunnelgate import Policy
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.asking.answers import Limits
from tunnelgate_app.importing.asking import ask_upstreams

READS = tool("search", annotations={"readOnlyHint": True})
WRITES = tool("write")


def policy_with(routes: Mapping[str, str], **upstream: Any) -> Policy:
    return Policy.from_mapping(
        {
            "tunnel_domain": "tunnel.example.com",
            "upstream": {"allowed_ips": ["127.0.0.1"], **upstream},
            "routes": dict(routes),
        }
    )


@contextmanager
def served(**apps: ASGIApp) -> Generator[dict[str, str]]:
    with ExitStack() as stack:
        yield {
            name: f"http://127.0.0.1:{stack.enter_context(served_elsewhere(app))}"
            for name, app in apps.items()
        }


@pytest.mark.anyio
async def test_each_server_has_its_own_proposal() -> None:
    with served(docs=listing_server(READS, WRITES), empty=listing_server()) as routes:
        proposals = await ask_upstreams(
            policy_with({**routes, "gone": f"http://127.0.0.1:{free_port()}"}), {}, {}, Limits()
        )

    assert list(proposals) == ["docs", "empty", "gone"]
    assert [each.name for each in proposals["docs"].listed] == ["search"]
    assert [each.name for each in proposals["docs"].left_out] == ["write"]
    assert (proposals["empty"].listed, proposals["empty"].failure) == ((), None)
    assert "the server cannot be reached: " in str(proposals["gone"].failure)


@pytest.mark.anyio
async def test_more_servers_than_are_asked_at_a_time_are_all_asked() -> None:
    names = [f"r{number}" for number in range(12)]
    with served(docs=listing_server(READS)) as routes:
        proposals = await ask_upstreams(policy_with(dict.fromkeys(names, routes["docs"])), {}, {}, Limits())

    assert [name for name, each in proposals.items() if len(each.listed) == 1] == names


@pytest.mark.anyio
async def test_a_server_is_asked_at_its_path_and_with_its_token() -> None:
    heard: list[Any] = []
    with served(docs=answering_server(lambda method, params: listed(READS), heard=heard)) as routes:
        here = await ask_upstreams(policy_with(routes), {}, {"docs": "one-token"}, Limits())
        elsewhere = await ask_upstreams(policy_with(routes), {"docs": "/other"}, {}, Limits())

    assert {each.headers["authorization"] for each in heard} == {"Bearer one-token"}
    assert here["docs"].needs_token
    assert elsewhere["docs"].failure == "the server answers 404 where MCP is expected"
    assert not elsewhere["docs"].needs_token


@pytest.mark.anyio
async def test_a_server_that_wants_a_token_says_so() -> None:
    refusing = answering_server(lambda method, params: Response(status_code=401))
    with served(docs=refusing) as routes:
        proposals = await ask_upstreams(policy_with(routes), {}, {}, Limits())

    assert proposals["docs"].needs_token
    assert proposals["docs"].failure == ("the server answers 401: it needs a token, and does not say which")


@pytest.mark.anyio
async def test_names_are_looked_up_and_judged() -> None:
    proposals = await ask_upstreams(
        policy_with({"docs": "http://wiki.internal:9000"}),
        {},
        {},
        Limits(),
        resolve=Names({"wiki.internal": ["10.0.0.1"]}),
    )

    assert proposals["docs"].failure == (
        "IP validation failed: wiki.internal: 10.0.0.1 is not in upstream.allowed_ips"
    )


@pytest.mark.anyio
async def test_certificates_that_are_on_another_machine_keep_only_their_server_from_being_asked() -> None:
    with served(docs=listing_server(READS)) as routes:
        policy = policy_with(
            {**routes, "secure": "https://127.0.0.1:9443"}, tls={"ca_file": "/no/such/ca.pem"}
        )
        proposals = await ask_upstreams(policy, {}, {}, Limits())

    assert len(proposals["docs"].listed) == 1
    assert "upstream.tls.ca_file = '/no/such/ca.pem'" in str(proposals["secure"].failure)
