"""The gate in one network and its clients in another, with source addresses that are real."""

import socket
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from tests.network.namespaces import Namespace, two_namespaces
from tests.support.client_gate import (
    ClientGate,
    Pairs,
    call_safe_tool,
    caller_token,
    check_client,
    open_client_gate,
    settings_of,
)
from tests.support.processes import environment, running
from tests.support.raw import HOST, SAFE
from tests.support.tokens import jwks
from tunnelgate import Reason

ROOT = Path(__file__).parents[2]
PORT = 8080  # in a network of our own nobody else has it
XFF: Final = "x-forwarded-for"
GATE_V4, GATE_V6, GATE_LOCAL = "192.0.2.1", "2001:db8:1::1", "fe80::1"
ALLOWED = ("192.0.2.10", "2001:db8:1::10", "fe80::10")
REFUSED = ("192.0.2.20", "2001:db8:1::20", "fe80::20")
TARGETS = {
    **dict(zip(ALLOWED, (GATE_V4, GATE_V6, GATE_LOCAL), strict=True)),
    **dict(zip(REFUSED, (GATE_V4, GATE_V6, GATE_LOCAL), strict=True)),
}
Networks = tuple[Namespace, Namespace]


def with_prefix(*addresses: str) -> list[str]:
    return [f"{address}/{64 if ':' in address else 24}" for address in addresses]


@pytest.fixture(scope="module")
def networks() -> Generator[Networks]:
    """Give the network of the gate and that of its clients."""
    with two_namespaces(
        with_prefix(GATE_V4, GATE_V6, GATE_LOCAL), with_prefix(*ALLOWED, *REFUSED)
    ) as namespaces:
        yield namespaces


@dataclass
class Process:
    """A gate as a process in its own network."""

    clients: Namespace
    audit: Path
    token: str

    def ask(self, source: str, headers: Pairs = ()) -> tuple[int, dict[str, Any]]:
        """Ask from ``source``, and return the status of the answer and the record of it."""
        connection = self.clients.connect(TARGETS[source], PORT, source)
        reply = call_safe_tool(connection, self.token, headers)
        return reply.status, orjson.loads(self.audit.read_bytes().splitlines()[-1])


@pytest.fixture(scope="module")
def process(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[bool, Process]]:
    """Give two gates that look at the peer, one for each version of IP."""
    of_gate, of_clients = networks
    token = caller_token()
    gates: dict[bool, Process] = {}
    with ExitStack() as stack:
        for is_v6, address in ((False, GATE_V4), (True, "[::]")):
            folder = tmp_path_factory.mktemp("gate")
            (folder / "unused.json").write_bytes(jwks("ES256"))
            settings = settings_of(
                {"allowed_ips": list(ALLOWED)},
                listen_addr=f"{address}:{PORT}",
                routes={HOST: {"mount": "tests.network.application:create_app", "tools": [SAFE]}},
                audit={"file": "audit.jsonl"},
            )
            file = folder / "tunnelgate.yaml"
            file.write_text(yaml.safe_dump(settings), "utf-8")
            command = of_gate.command("tunnelgate", "serve", "--config", str(file))
            env = environment(folder, PYTHONPATH=str(ROOT))
            stack.enter_context(running(command, env, cwd=folder))
            gates[is_v6] = Process(of_clients, folder / "audit.jsonl", token)
        yield gates


@pytest.mark.parametrize("source", ALLOWED)
def test_a_client_from_an_address_that_is_listed_is_let_through(
    process: dict[bool, Process], source: str
) -> None:
    status, record = process[":" in source].ask(source)

    assert (status, record["verdict"]) == (200, "allow")
    assert (record["peer"], record["client"]) == (source, source)


@pytest.mark.parametrize("source", REFUSED)
def test_its_neighbour_is_refused_whatever_it_says(process: dict[bool, Process], source: str) -> None:
    forged = [(XFF, ALLOWED[0]), ("cf-connecting-ip", ALLOWED[0]), ("forwarded", f"for={ALLOWED[0]}")]

    status, record = process[":" in source].ask(source, forged)

    assert (status, record["reason"]) == (403, Reason.CLIENT_NOT_ALLOWED)
    assert (record["peer"], record["client"]) == (source, source)


@dataclass
class Dual:
    """A gate that listens for both versions of IP at once, and believes the allowed addresses as proxies."""

    gate: ClientGate
    clients: Namespace
    port: int

    def connect(self, source: str) -> socket.socket:
        return self.clients.connect(TARGETS[source], self.port, source)


@pytest.fixture(scope="module")
def dual(networks: Networks) -> Generator[Dual]:
    """Give a gate behind proxies; an IPv4 peer of its listener is an address inside of IPv6."""
    of_gate, of_clients = networks
    clients = {"allowed_ips": ["203.0.113.7"], "address_from": XFF, "trusted_proxies": list(ALLOWED)}
    with (
        closing(of_gate.listen(socket.AF_INET6, dualstack=True)) as listener,
        open_client_gate(listener, clients) as gate,
    ):
        yield Dual(gate, of_clients, listener.getsockname()[1])


@pytest.mark.parametrize("source", ALLOWED)
def test_a_proxy_is_trusted_by_the_address_that_it_really_comes_from(dual: Dual, source: str) -> None:
    through = dual.gate.ask(dual.connect(source), [(XFF, "203.0.113.7")])
    for_another = dual.gate.ask(dual.connect(source), [(XFF, "203.0.113.8")])
    for_nobody = dual.gate.ask(dual.connect(source))

    check_client(through, 200, None, "203.0.113.7")
    check_client(for_another, 403, Reason.CLIENT_NOT_ALLOWED, "203.0.113.8")
    check_client(for_nobody, 400, Reason.CLIENT_ADDRESS_UNREADABLE, None)
    assert [record["peer"] for record in through.records] == [source]


@pytest.mark.parametrize("source", REFUSED)
def test_its_neighbour_is_not_believed(dual: Dual, source: str) -> None:
    outcome = dual.gate.ask(dual.connect(source), [(XFF, "203.0.113.7")])

    check_client(outcome, 403, Reason.CLIENT_NOT_ALLOWED, source)
    assert [record["peer"] for record in outcome.records] == [source]


def test_a_hop_with_a_zone_is_no_client_though_the_peer_has_one(dual: Dual) -> None:
    outcome = dual.gate.ask(dual.connect("fe80::10"), [(XFF, f"fe80::10%{dual.clients.device}")])

    check_client(outcome, 400, Reason.CLIENT_ADDRESS_UNREADABLE, None)


def test_the_gate_and_its_clients_are_in_networks_of_their_own(networks: Networks) -> None:
    here, (of_gate, of_clients) = {name for _, name in socket.if_nameindex()}, networks

    assert {name for _, name in of_gate.call(socket.if_nameindex)} == {"lo", of_gate.device}
    assert {name for _, name in of_clients.call(socket.if_nameindex)} == {"lo", of_clients.device}
    assert not here & {of_gate.device, of_clients.device}
