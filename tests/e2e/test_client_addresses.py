"""Who is calling: every vector of the corpus over real connections to a whole gate, with either parser."""

import json
import socket
import struct
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from tests.support.asgi import Spy
from tests.support.audit import Records
from tests.support.client_gate import (
    ClientGate,
    Pairs,
    check_client,
    connect,
    connect_unix,
    open_client_gate,
    run,
    settings_of,
)
from tests.support.raw import HOST, LIMIT, PARSERS, SAFE, Outcome, Parser, Settling, request_of
from tunnelgate import AuditLog, ClientAllowlist, ConfigurationError, Policy, Reason
from tunnelgate_app.listening.addresses import open_listener
from tunnelgate_app.server import Loop

CORPUS = Path(__file__).parents[1] / "corpus" / "ip-attacks.jsonl"
XFF: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"
CF: Final = "cf-connecting-ip"
LOOPS: tuple[Loop, ...] = ("asyncio", "uvloop")
# Addresses of peers that this machine does not have, and those of its own that stand in for them.
STAND_INS = {"198.51.100.9": "127.0.0.9"}
# Refused as the corpus says, and more strictly or for another reason than it has in mind.
STRICTER: Mapping[str, tuple[int, Reason, str | None]] = {
    # A name with an underscore is not dropped: whoever sends it sends no request that has one reading.
    "I028": (400, Reason.HEADER_LOOKALIKE, None),
    # A trailer is dropped by either parser, so that the header alone says who the client is.
    "I050": (403, Reason.CLIENT_NOT_ALLOWED, "198.51.100.9"),
}


@dataclass(frozen=True)
class Vector:
    """One line of the corpus."""

    id: str
    kind: Literal["client", "upstream"]
    description: str
    input: Mapping[str, Any]
    expected: Literal["allow", "deny", "error"]
    client_ip: str | None = None
    why: str = ""

    @property
    def is_configuration(self) -> bool:
        return "config" in self.input

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.input["headers"]]

    @property
    def peer(self) -> str | None:
        """Where the request comes from on this machine; ``None`` for a Unix socket."""
        peer: str | None = self.input["peer"]
        return peer if peer is None else STAND_INS.get(peer, peer)

    @property
    def expectation(self) -> tuple[int, Reason | None, str | None]:
        """Status, reason and the client that is written down."""
        if self.id in STRICTER:
            return STRICTER[self.id]
        if self.expected == "error":
            is_twice = len(self.headers) > 1 and self.input["source"] == CF
            return 400, Reason.HEADER_DUPLICATED if is_twice else Reason.CLIENT_ADDRESS_UNREADABLE, None
        client = self.peer if self.client_ip == self.input["peer"] else self.client_ip
        return (200, None, client) if self.expected == "allow" else (403, Reason.CLIENT_NOT_ALLOWED, client)


VECTORS = [
    vector
    for vector in (Vector(**json.loads(line)) for line in CORPUS.read_text("utf-8").splitlines())
    if vector.kind == "client"
]
REQUESTS = [vector for vector in VECTORS if not vector.is_configuration]


def named(vector: Vector) -> str:
    return f"{vector.id} {vector.description}"


@dataclass
class Gates:
    """Gates with one parser, each started when somebody needs it."""

    parser: Parser
    folder: Path
    stack: ExitStack
    started: dict[str, tuple[ClientGate, int | str]] = field(
        default_factory=dict[str, tuple[ClientGate, int | str]]
    )

    def ask(
        self,
        clients: Mapping[str, Any],
        headers: Pairs = (),
        *,
        source: str | None = "127.0.0.1",
        trailers: Pairs = (),
    ) -> Outcome:
        """Ask the gate with these settings of ``clients``, over a Unix socket if there is no ``source``."""
        key = repr((source is None, sorted(clients.items())))
        if key not in self.started:
            self.started[key] = self._start(clients, on_unix_socket=source is None)
        gate, address = self.started[key]
        if isinstance(address, str):
            return gate.ask(connect_unix(address), headers, trailers=trailers)
        return gate.ask(connect(address, source or ""), headers, trailers=trailers)

    def _start(self, clients: Mapping[str, Any], *, on_unix_socket: bool) -> tuple[ClientGate, int | str]:
        path = f"{self.folder / str(len(self.started))}.sock"
        listener = open_listener(f"unix:{path}" if on_unix_socket else "127.0.0.1:0")
        self.stack.enter_context(closing(listener))
        # A configuration for a Unix socket trusts it; but any server may have put the library behind one.
        listen_addr = f"unix:{path}" if clients.get("trust_unix_socket") else "127.0.0.1:8080"
        gate = self.stack.enter_context(
            open_client_gate(listener, clients, self.parser, listen_addr=listen_addr)
        )
        return gate, path if on_unix_socket else listener.getsockname()[1]


@pytest.fixture(scope="module", params=PARSERS, ids=lambda parser: f"with the {parser} parser")
def gates(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gates]:
    with ExitStack() as stack:
        yield Gates(request.param, tmp_path_factory.mktemp("sockets"), stack)


def test_every_vector_of_the_corpus_about_clients_is_a_request_or_a_configuration() -> None:
    assert len(VECTORS) == len({vector.id for vector in VECTORS}) == 26
    assert len(REQUESTS) == 23
    assert {vector.id for vector in REQUESTS} >= STRICTER.keys()


@pytest.mark.promise("one-address-source")
@pytest.mark.parametrize("vector", REQUESTS, ids=named)
def test_a_client_is_let_through_or_refused_as_the_corpus_says(gates: Gates, vector: Vector) -> None:
    clients = {
        "allowed_ips": vector.input["client_allow"],
        "address_from": vector.input["source"],
        "trusted_proxies": vector.input["trusted"],
    }

    outcome = gates.ask(
        clients,
        vector.headers,
        source=vector.peer,
        trailers=[(name, value) for name, value in vector.input.get("trailers", [])],
    )

    check_client(outcome, *vector.expectation)
    assert [record["peer"] for record in outcome.records] == [vector.peer]


CONFIGURATIONS: Mapping[str, tuple[dict[str, Any], str]] = {
    "I043": (
        {"allowed_ips": ["203.0.113.0/24"], "address_from": XFF, "trusted_proxies": ["*"]},
        "clients.trusted_proxies[0] = '*': is not a network such as 10.0.0.0/8, nor an address",
    ),
    "I044": (
        {"allowed_ips": ["203.0.113.0/24"], "address_from": XFF, "trusted_proxies": ["0.0.0.0/0"]},
        (
            "clients.trusted_proxies[0] = '0.0.0.0/0': allows every address; list the networks that are "
            "meant, or set trust_wide_networks: true as well"
        ),
    ),
    "I046": ({"allowed_ips": []}, "clients.allowed_ips = []: is empty, which would allow nothing"),
}


@pytest.mark.promise("closed-by-default")
@pytest.mark.parametrize("vector", [each for each in VECTORS if each.is_configuration], ids=named)
def test_a_configuration_that_trusts_or_allows_everybody_or_nobody_is_not_accepted(vector: Vector) -> None:
    clients, fault = CONFIGURATIONS[vector.id]

    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping(settings_of(clients))

    assert vector.expected == "error"
    assert [str(each) for each in caught.value.faults] == [fault]


@pytest.mark.promise("one-address-source")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            [(XFF, "1.1.1.1"), (XFF, "203.0.113.7")],
            (200, None, "203.0.113.7"),
            id="two lines, the last one counts",
        ),
        pytest.param(
            [(XFF, "203.0.113.7"), (XFF, "1.1.1.1")],
            (403, Reason.CLIENT_NOT_ALLOWED, "1.1.1.1"),
            id="two lines the other way round",
        ),
        pytest.param(
            [(XFF, "203.0.113.7, 10.0.0.5"), (XFF, "127.0.0.1:80")],
            (200, None, "203.0.113.7"),
            id="past trusted proxies in both lines",
        ),
        pytest.param([], (400, Reason.CLIENT_ADDRESS_UNREADABLE, None), id="no header from a trusted proxy"),
        pytest.param(
            [("X-FORWARDED-FOR", "203.0.113.7")], (200, None, "203.0.113.7"), id="the name in capitals"
        ),
        pytest.param(
            [(CF, "203.0.113.7"), (FORWARDED, "for=203.0.113.7")],
            (400, Reason.CLIENT_ADDRESS_UNREADABLE, None),
            id="other headers in its place",
        ),
        pytest.param(
            [(XFF, "203.0.113.7"), ("Forwarded", "for="), (CF, "x")],
            (200, None, "203.0.113.7"),
            id="other headers beside it, which nobody reads",
        ),
    ],
)
def test_the_one_configured_header_says_who_the_client_is(
    gates: Gates, headers: list[tuple[str, str]], expected: tuple[int, Reason | None, str | None]
) -> None:
    clients = {
        "allowed_ips": ["203.0.113.0/24"],
        "address_from": XFF,
        "trusted_proxies": ["127.0.0.1", "10.0.0.0/24"],
    }

    check_client(gates.ask(clients, headers), *expected)


@pytest.mark.promise("client-network")
@pytest.mark.parametrize(
    "header",
    [
        pytest.param((XFF, "203.0.113.7"), id="X-Forwarded-For"),
        pytest.param((CF, "203.0.113.7"), id="CF-Connecting-IP"),
        pytest.param((FORWARDED, "for=203.0.113.7"), id="Forwarded"),
        pytest.param((FORWARDED, 'for="'), id="a Forwarded that cannot be read"),
        pytest.param(("x-real-ip", "203.0.113.7"), id="X-Real-IP"),
        pytest.param(("true-client-ip", "203.0.113.7"), id="True-Client-IP"),
        pytest.param(("client-ip", "203.0.113.7"), id="Client-IP"),
    ],
)
def test_where_the_peer_is_the_client_no_header_changes_anything(
    gates: Gates, header: tuple[str, str]
) -> None:
    clients = {"allowed_ips": ["127.0.0.0/29", "203.0.113.0/24"]}

    outside = gates.ask(clients, [header], source="127.0.0.9")
    inside = gates.ask(clients, [header], source="127.0.0.2")

    check_client(outside, 403, Reason.CLIENT_NOT_ALLOWED, "127.0.0.9")
    check_client(inside, 200, None, "127.0.0.2")


@pytest.mark.promise("one-reading")
@pytest.mark.parametrize(
    "name", ["x_forwarded_for", "X_Forwarded_For", "x-forwarded_for", "cf_connecting_ip", "CF-Connecting_IP"]
)
def test_an_underscore_in_the_name_of_such_a_header_is_refused_whatever_counts(
    gates: Gates, name: str
) -> None:
    by_peer = {"allowed_ips": ["127.0.0.0/29"]}
    by_header = {"allowed_ips": ["203.0.113.0/24"], "address_from": CF, "trusted_proxies": ["127.0.0.1"]}

    for clients in (by_peer, by_header):
        outcome = gates.ask(clients, [(name, "203.0.113.7"), (CF, "203.0.113.7")])

        check_client(outcome, 400, Reason.HEADER_LOOKALIKE, None)


@pytest.mark.promise("one-address-source")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([(CF, "203.0.113.7")], (200, None, "203.0.113.7"), id="a client that may connect"),
        pytest.param(
            [(CF, "192.0.2.1")], (403, Reason.CLIENT_NOT_ALLOWED, "192.0.2.1"), id="a client that may not"
        ),
        pytest.param([], (400, Reason.CLIENT_ADDRESS_UNREADABLE, None), id="no client"),
        pytest.param(
            [(CF, "203.0.113.7"), (CF, "203.0.113.7")],
            (400, Reason.HEADER_DUPLICATED, None),
            id="a client twice",
        ),
    ],
)
def test_whoever_connects_to_a_unix_socket_that_is_trusted_says_who_the_client_is(
    gates: Gates, headers: list[tuple[str, str]], expected: tuple[int, Reason | None, str | None]
) -> None:
    clients = {"allowed_ips": ["203.0.113.0/24"], "address_from": CF, "trust_unix_socket": True}

    outcome = gates.ask(clients, headers, source=None)

    check_client(outcome, *expected)
    assert [record["peer"] for record in outcome.records] == [None]


@pytest.mark.promise("client-network")
@pytest.mark.parametrize(
    ("client", "status"),
    [
        pytest.param("203.0.113.7", 200, id="in both networks"),
        pytest.param("203.0.113.8", 403, id="in the gate's alone"),
        pytest.param("127.0.0.1", 403, id="the proxy itself, which the gate allows"),
    ],
)
def test_the_networks_of_a_route_are_compared_with_what_the_header_says(client: str, status: int) -> None:
    clients = {
        "allowed_ips": ["203.0.113.0/24", "127.0.0.1"],
        "address_from": FORWARDED,
        "trusted_proxies": ["127.0.0.1"],
    }
    routes = {HOST: {"tools": [SAFE], "clients": {"allowed_ips": ["203.0.113.7"]}}}
    with (
        closing(open_listener("127.0.0.1:0")) as listener,
        open_client_gate(listener, clients, routes=routes) as gate,
    ):
        outcome = gate.ask(connect(listener.getsockname()[1]), [(FORWARDED, f"for={client}")])

    check_client(outcome, status, None if status == 200 else Reason.CLIENT_NOT_ALLOWED, client)


# Of such a connection the server can read what was sent, and not from where.
@pytest.mark.promise("client-network")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("parser", PARSERS)
def test_a_connection_that_was_reset_is_not_taken_for_a_unix_socket(parser: Parser, loop: Loop) -> None:
    spy, records = Spy(), Records()
    layer = ClientAllowlist(spy, allowed_ips=["203.0.113.0/24"], address_from=XFF, trust_unix_socket=True)
    seen = threading.Event()
    settling = Settling(AuditLog(layer, sink=Watched(records, seen)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), LIMIT) as connection:
            connection.sendall(request_of(b"", [("host", HOST), (XFF, "203.0.113.7")], method="GET"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with run(settling, listener, parser, loop):
            assert seen.wait(LIMIT), "what was sent before the reset was not read"
            settling.settle()

    assert records.verdicts == [("deny", Reason.CLIENT_NOT_ALLOWED)]
    assert records.all[0]["peer"] is None
    assert spy.scopes == []


@dataclass
class Watched:
    """A sink that says when something was written."""

    records: Records
    written: threading.Event

    def write(self, record: Mapping[str, Any]) -> None:
        self.records.write(record)
        self.written.set()
