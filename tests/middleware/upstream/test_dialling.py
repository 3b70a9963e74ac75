import asyncio
import gc
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from anyio.lowlevel import checkpoint
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.certificates import Authority, Credential, client_context, new_key
from tests.support.resolving import Answer, InTurn, Names, SlowNames, listening, listening_at
from tests.support.tokens import nothing_unretrieved
from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream import dialling
from tunnelgate.upstream.addresses import RFC1918, AddressRules
from tunnelgate.upstream.dialling import Dialler, Resolve, check_ends, resolve_by_system
from tunnelgate.upstream.resolving import addresses_in, look_up

CORPUS = Path(__file__).parents[2] / "corpus" / "ip-attacks.jsonl"
LOOPBACK = AddressRules(["127.0.0.0/8", "::1"])
LIMIT = 10  # seconds that anything here may take
AUTHORITY = Authority("Upstreams")
HOST = "mcp.internal"
NOBODY = 9  # seconds that no test waits for: an attempt that takes so long is not given up


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@dataclass
class Speaker(asyncio.Protocol):
    """Keeps its transport, and what it was sent."""

    received: bytearray = field(default_factory=bytearray)
    transport: Any = None

    def __post_init__(self) -> None:
        self.changed, self.lost = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    @property
    def peer(self) -> str:
        address: str = self.transport.get_extra_info("peername")[0]
        return address

    async def close(self) -> None:
        """Close the connection, and return when it is closed."""
        self.transport.abort()
        await asyncio.wait_for(self.lost.wait(), LIMIT)


def dialler(
    answers: Mapping[str, Answer | InTurn] | Resolve,
    rules: AddressRules = LOOPBACK,
    attempt_timeout: float = NOBODY,
) -> Dialler:
    resolve = answers if callable(answers) else Names(answers)
    return Dialler(rules, resolve=resolve, attempt_timeout=attempt_timeout)


async def refusal(
    by: Dialler, host: str = HOST, port: int = 80, tls: ssl.SSLContext | None = None
) -> tuple[Reason, str]:
    """Return why a host was not dialled."""
    with pytest.raises(UpstreamFailed) as caught:
        await asyncio.wait_for(by.dial(host, port, Speaker, tls=tls), LIMIT)
    return caught.value.reason, caught.value.detail


NOT_ALLOWED, UNREACHABLE = Reason.UPSTREAM_NOT_ALLOWED, Reason.UPSTREAM_UNREACHABLE

# --- where the connection goes --------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_name_is_looked_up_once_and_its_address_is_connected_to() -> None:
    names = Names({HOST: ["127.0.0.2"]})
    with listening_at("127.0.0.2", "127.0.0.1") as (server, other):
        speaker = await dialler(names).dial(HOST, server.port, Speaker)

        assert (names.asked, speaker.peer) == ([HOST], "127.0.0.2")
        assert (server.connections, other.connections) == (1, 0)
        await speaker.close()


@pytest.mark.anyio
async def test_what_is_said_on_the_connection_reaches_the_protocol() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"you said " + await reader.readexactly(5))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        speaker = await dialler({}).dial("127.0.0.1", port, Speaker)
        speaker.transport.write(b"hello")
        while len(speaker.received) < 14:
            await asyncio.wait_for(speaker.changed.wait(), LIMIT)
            speaker.changed.clear()

    assert speaker.received == b"you said hello"
    await speaker.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("::ffff:127.0.0.1", "127.0.0.1", id="an IPv4 address in IPv6 form"),
        pytest.param("0:0:0:0:0:0:0:1", "::1", id="IPv6 at length"),
    ],
)
async def test_an_address_is_not_looked_up(host: str, address: str) -> None:
    names = Names({})
    with listening(address) as server:
        speaker = await dialler(names).dial(host, server.port, Speaker)

        assert (names.asked, speaker.peer, server.connections) == ([], address, 1)
        await speaker.close()


@pytest.mark.anyio
async def test_addresses_are_tried_in_their_order_until_one_connects() -> None:
    answers = {HOST: ["127.0.0.3", "127.0.0.2", "127.0.0.1"]}
    with listening_at("127.0.0.1", "127.0.0.2") as (last, second):
        speaker = await dialler(answers).dial(HOST, last.port, Speaker)

        assert (speaker.peer, second.connections, last.connections) == ("127.0.0.2", 1, 0)
        await speaker.close()


@pytest.mark.anyio
async def test_an_address_that_does_not_answer_is_given_up_for_the_next() -> None:
    with listening_at("127.0.0.1", "127.0.0.2", silent=["127.0.0.1"]) as (_, server):
        by = dialler({HOST: ["127.0.0.1", "127.0.0.2"]}, attempt_timeout=0.05)
        speaker = await asyncio.wait_for(by.dial(HOST, server.port, Speaker), LIMIT)

        assert (speaker.peer, server.connections) == ("127.0.0.2", 1)
        await speaker.close()


@pytest.mark.anyio
async def test_the_last_address_has_all_the_time_that_the_caller_gives() -> None:
    both = ["127.0.0.1", "127.0.0.2"]
    with listening_at(*both, silent=both) as (server, _):
        by = dialler({HOST: both}, attempt_timeout=0.01)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(by.dial(HOST, server.port, Speaker), 0.3)


@pytest.mark.anyio
async def test_when_none_connects_each_is_named_with_what_went_wrong() -> None:
    with listening("127.0.0.1", silent=True) as server:
        port = server.port
        by = dialler({HOST: ["127.0.0.1", "127.0.0.2", "::1"]}, attempt_timeout=0.05)
        outcome = await refusal(by, HOST, port)

    failures = "127.0.0.1: no answer in time; 127.0.0.2: connection refused; ::1: connection refused"
    assert outcome == (UNREACHABLE, f"{HOST} port {port}: {failures}")


@pytest.mark.anyio
async def test_so_many_addresses_are_tried_and_no_more() -> None:
    refusing = [f"127.0.0.{number}" for number in range(2, 2 + dialling.MAX_ATTEMPTS)]
    with listening("127.0.0.1") as server:
        reached = await dialler({HOST: [*refusing[1:], "127.0.0.1"]}).dial(HOST, server.port, Speaker)
        assert server.connections == 1

        reason, detail = await refusal(dialler({HOST: [*refusing, "127.0.0.1"]}), HOST, server.port)

        assert (reason, detail.count("connection refused")) == (UNREACHABLE, dialling.MAX_ATTEMPTS)
        assert server.connections == 1
        await reached.close()


@pytest.mark.anyio
async def test_nothing_is_asked_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as proxy, listening() as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        speaker = await dialler({HOST: ["127.0.0.1"]}).dial(HOST, server.port, Speaker)

        assert (server.connections, proxy.connections) == (1, 0)
        await speaker.close()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param(
            ["127.0.0.1", "169.254.169.254"],
            "169.254.169.254 is link-local, where metadata services are, and not named as meant",
            id="a metadata service behind a good one",
        ),
        pytest.param(
            ["10.9.9.9", "127.0.0.1"],
            "10.9.9.9 is not in upstream.allowed_ips",
            id="another network before a good one",
        ),
        pytest.param(
            ["127.0.0.1", "127.0.0.2", "::ffff:8.8.8.8", "127.0.0.3"],
            "8.8.8.8 is not in upstream.allowed_ips",
            id="one in IPv6 form in the middle",
        ),
        pytest.param(
            ["127.0.0.1", "64:ff9b::127.0.0.1"],
            "64:ff9b::7f00:1 carries 127.0.0.1, and its network is not in upstream.allow_wrapped",
            id="one that carries a good one",
        ),
        pytest.param(
            ["127.0.0.1", "0.0.0.0"],
            "0.0.0.0 is unspecified, multicast or broadcast, and never dialled",
            id="the unspecified one",
        ),
        pytest.param(["127.0.0.1", "fe80::1%eth0"], "'fe80::1%eth0' is an address with a zone", id="a zone"),
        pytest.param(["127.0.0.1", "wiki"], "'wiki' is not an IP address", id="a name"),
        pytest.param(["127.0.0.1", ""], "'' is not an IP address", id="nothing"),
        pytest.param(["127.0.0.1", "0127.0.0.1"], "'0127.0.0.1' is not an IP address", id="octal"),
        pytest.param(["127.0.0.1", "127.0.0.1/32"], "'127.0.0.1/32' is not an IP address", id="a network"),
    ],
)
async def test_one_bad_answer_refuses_the_whole_name(answer: Sequence[str], detail: str) -> None:
    with listening("127.0.0.1") as server:
        outcome = await refusal(dialler({HOST: answer}), HOST, server.port)

        assert outcome == (NOT_ALLOWED, f"{HOST}: {detail}")
        assert server.connections == 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "169.254.169.254", "8.8.8.8"]
)
async def test_an_address_that_is_not_allowed_is_not_connected_to(address: str) -> None:
    with listening_at("127.0.0.1", "::1") as (server, other):
        reason, _ = await refusal(dialler({}, AddressRules(RFC1918)), address, server.port)

        assert (reason, server.connections, other.connections) == (NOT_ALLOWED, 0, 0)


@pytest.mark.anyio
async def test_a_name_that_changes_its_address_is_judged_each_time() -> None:
    names = Names({HOST: InTurn(["127.0.0.1"], ["10.1.2.3"], ["127.0.0.1", "10.1.2.3"], ["127.0.0.1"])})
    by = dialler(names)
    with listening() as server:
        first = await by.dial(HOST, server.port, Speaker)
        refused = [await refusal(by, HOST, server.port) for _ in range(2)]
        last = await by.dial(HOST, server.port, Speaker)

        assert [reason for reason, _ in refused] == [NOT_ALLOWED] * 2
        assert (server.connections, len(names.asked)) == (2, 4)
        await first.close()
        await last.close()


@pytest.mark.anyio
async def test_a_name_that_is_good_only_while_it_is_judged_gets_no_second_look() -> None:
    names = Names({HOST: InTurn(["127.0.0.1"], ["127.0.0.2"])})
    with listening_at("127.0.0.1", "127.0.0.2") as (judged, other):
        rules = AddressRules(["127.0.0.1"])
        speaker = await dialler(names, rules).dial(HOST, judged.port, Speaker)

        assert (judged.connections, other.connections, names.asked) == (1, 0, [HOST])
        await speaker.close()


@pytest.mark.anyio
@pytest.mark.parametrize("port", [0, -1, 65536, 22, 25, 6379, 11211])
async def test_a_port_that_is_never_dialled_is_not_even_looked_up(port: int) -> None:
    names = Names({HOST: ["127.0.0.1"]})

    reason, detail = await refusal(dialler(names), HOST, port)

    assert (reason, names.asked) == (NOT_ALLOWED, [])
    assert detail.startswith(f"{HOST}: {port} is ")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param([], "the name has no address", id="an empty answer"),
        pytest.param(
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such name", id="no such name"
        ),
        pytest.param(
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "the name servers do not answer",
            id="no name server",
        ),
        pytest.param(
            socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"),
            "Non-recoverable failure in name resolution",
            id="what the system says",
        ),
        pytest.param(socket.gaierror("broken"), "broken", id="a failure without a number"),
        pytest.param(
            OSError(24, "Too many open files"), "it cannot be looked up: too many open files", id="no file"
        ),
        pytest.param(TimeoutError(), "it cannot be looked up: no answer in time", id="a lookup out of time"),
        pytest.param(OSError("no luck"), "it cannot be looked up: no luck", id="somebody else's sentence"),
        pytest.param(
            [f"127.0.{number >> 8}.{number & 255}" for number in range(dialling.MAX_ANSWERS + 1)],
            "the name has more than 1024 addresses",
            id="too many addresses",
        ),
    ],
)
async def test_a_name_without_an_address_is_not_reached(answer: Answer, sentence: str) -> None:
    assert await refusal(dialler({HOST: answer})) == (UNREACHABLE, f"{HOST} port 80: {sentence}")


@pytest.mark.anyio
async def test_as_many_addresses_as_a_name_may_have_are_judged() -> None:
    answer = [f"127.0.{number >> 8}.{number & 255}" for number in range(dialling.MAX_ANSWERS)]

    found = await dialler({HOST: answer}).find_addresses(HOST, 80)
    reason, _ = await refusal(dialler({HOST: [*answer[1:], "10.0.0.1"]}))

    assert (list(map(str, found)), reason) == (answer, NOT_ALLOWED)


GOOD = st.sampled_from(["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.3"])
BAD = st.sampled_from(["10.1.2.3", "169.254.169.254", "::", "2002:7f00:1::", "::127.0.0.1", "127.1", "::1%1"])


@settings(max_examples=50)
@given(good=st.lists(GOOD, min_size=1), bad=st.lists(BAD), data=st.data())
def test_a_name_is_found_exactly_when_all_of_its_answers_are_allowed(
    good: list[str], bad: list[str], data: st.DataObject
) -> None:
    answer = data.draw(st.permutations([*good, *bad]))

    async def find() -> list[str] | Reason:
        try:
            return [str(each) for each in await dialler({HOST: answer}).find_addresses(HOST, 80)]
        except UpstreamFailed as failure:
            return failure.reason

    expected = NOT_ALLOWED if bad else [each.removeprefix("::ffff:") for each in answer]
    assert asyncio.run(find()) == expected


# --- what the system makes of odd spellings -------------------------------------------------------

ODD = [
    *("127.1", "2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.1"),
    *("\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "localhost"),
]


@pytest.mark.anyio
@pytest.mark.parametrize("host", ODD)
async def test_an_odd_spelling_of_an_address_is_the_address(host: str) -> None:
    with listening_at("127.0.0.1", "::1") as (server, other):
        refused = await refusal(Dialler(AddressRules(RFC1918)), host, server.port)
        assert refused[0] is NOT_ALLOWED
        assert (server.connections, other.connections) == (0, 0)

        speaker = await Dialler(LOOPBACK).dial(host, server.port, Speaker)

        assert server.connections + other.connections == 1
        await speaker.close()


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["0", "0.0.0.0", "::", "0x0", "00", "::ffff:0.0.0.0"])
async def test_no_spelling_of_the_unspecified_address_leads_to_this_machine(host: str) -> None:
    rules = AddressRules(["0.0.0.0/0", "::/0"], wide=True)
    with listening_at("127.0.0.1", "::1") as (server, other):
        reason, detail = await refusal(Dialler(rules), host, server.port)

        assert (reason, server.connections, other.connections) == (NOT_ALLOWED, 0, 0)
        assert detail.endswith("is unspecified, multicast or broadcast, and never dialled")


@pytest.mark.anyio
async def test_a_zone_that_the_system_understands_is_refused_all_the_same() -> None:
    index, name = socket.if_nameindex()[0]
    rules = AddressRules(["fe80::/10"], metadata=["fe80::/10"])

    for zone in (name, index):
        reason, detail = await refusal(Dialler(rules), f"fe80::1%{zone}")

        assert (reason, detail.endswith("is an address with a zone")) == (NOT_ALLOWED, True)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "host",
    [
        "",
        "a..b",
        ".",
        "x" * 64,
        "x" * 300,
        "a\0b",
        "\ud800",
        "[::1]",
        "127.0.0.1 ",
        "::ffff:127.1",
        "1.2.3.4.5",
    ],
)
async def test_what_no_host_is_called_is_not_reached(host: str) -> None:
    reason, detail = await refusal(Dialler(LOOPBACK), host)

    assert reason is UNREACHABLE
    assert detail.startswith(f"{host} port 80: ")


@pytest.mark.anyio
async def test_the_system_says_each_address_of_a_name_once() -> None:
    addresses = await resolve_by_system("localhost", 80)

    assert addresses
    assert len(set(addresses)) == len(addresses)
    assert set(addresses) <= {"127.0.0.1", "::1"}


def test_addresses_of_the_system_are_written_once_and_with_their_zones() -> None:
    found = [
        ("10.0.0.1", 80),
        ("2001:db8::1", 80, 0, 0),
        ("10.0.0.1", 80),
        ("fe80::1", 80, 0, 2),
        ("fe80::1%eth0", 80, 0, 2),
        ("2001:db8::1", 80, 0, 0),
    ]

    assert addresses_in(found) == ["10.0.0.1", "2001:db8::1", "fe80::1%2", "fe80::1%eth0"]


@pytest.mark.anyio
async def test_whatever_goes_wrong_in_a_lookup_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(OverflowError):
        await resolve_by_system("127.0.0.1", 2**70)


@pytest.mark.anyio
async def test_a_system_without_another_thread_is_one_that_cannot_look_names_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(UpstreamFailed, match="can't start new thread") as caught:
        await Dialler(LOOPBACK).find_addresses("localhost", 80)
    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE


@pytest.mark.anyio
async def test_a_lookup_that_nobody_waits_for_any_more_tells_nobody() -> None:
    answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
    answer.cancel()

    with nothing_unretrieved():
        await asyncio.to_thread(look_up, "127.1", 80, answer)
        await checkpoint()

    assert answer.cancelled()


def test_a_lookup_that_ends_after_its_loop_tells_nobody() -> None:
    loop = asyncio.new_event_loop()
    answer: asyncio.Future[Sequence[str]] = loop.create_future()
    loop.close()

    look_up("127.1", 80, answer)

    assert not answer.done()


NEVER_ENDING = """
import asyncio, socket, threading
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()  # as with a name server that is gone
from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler

async def main():
    try:
        await asyncio.wait_for(Dialler(AddressRules()).dial("mcp.internal", 80, asyncio.Protocol), 0.1)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""


def test_a_process_ends_although_a_lookup_does_not() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NEVER_ENDING], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "gave up\n", "")


# --- waiting, and giving up -----------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_lookup_takes_no_longer_than_its_caller_says_and_leads_nowhere() -> None:
    names = SlowNames()
    with listening() as server:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dialler(names).dial(HOST, server.port, Speaker), 0.05)
        names.may_answer.set()
        await asyncio.wait_for(names.until_under_way(0), LIMIT)

        assert server.connections == 0


@pytest.mark.anyio
async def test_a_name_is_looked_up_by_one_at_a_time_also_when_callers_give_up() -> None:
    names = SlowNames()
    by = dialler(names)
    with listening() as server:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(by.dial(HOST, server.port, Speaker), 0.01)
        waiting = [asyncio.create_task(by.dial(HOST, server.port, Speaker)) for _ in range(5)]
        await checkpoint()
        assert names.asked == [HOST]
        names.may_answer.set()
        speakers = await asyncio.wait_for(asyncio.gather(*waiting), LIMIT)

        assert (names.asked, server.connections) == ([HOST], 5)
        for speaker in speakers:
            await speaker.close()


@pytest.mark.anyio
async def test_each_who_waits_for_a_name_judges_it_by_itself() -> None:
    names = SlowNames(["10.1.2.3"])
    by = dialler(names)
    waiting = [asyncio.create_task(refusal(by)) for _ in range(3)]
    await asyncio.wait_for(names.until_under_way(1), LIMIT)
    names.may_answer.set()

    assert [reason for reason, _ in await asyncio.gather(*waiting)] == [NOT_ALLOWED] * 3


@pytest.mark.anyio
async def test_so_many_names_are_looked_up_at_once_and_the_others_wait_for_their_turn() -> None:
    names = SlowNames()
    by = dialler(names)
    hosts = [f"mcp-{number}.internal" for number in range(dialling.MAX_LOOKUPS + 4)]
    waiting = [asyncio.create_task(by.find_addresses(host, 80)) for host in hosts]
    await asyncio.wait_for(names.until_under_way(dialling.MAX_LOOKUPS), LIMIT)
    for _ in range(10):
        await checkpoint()
    assert names.under_way == dialling.MAX_LOOKUPS
    names.may_answer.set()

    found = await asyncio.wait_for(asyncio.gather(*waiting), LIMIT)

    assert found == [(ip_address("127.0.0.1"),)] * len(hosts)
    assert sorted(names.asked) == sorted(hosts)


@pytest.mark.anyio
async def test_who_gives_up_connecting_leaves_no_socket() -> None:
    with listening(silent=True) as server:
        waiting = asyncio.create_task(dialler({}).dial("127.0.0.1", server.port, Speaker))
        await checkpoint()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    del waiting

    gc.collect()  # a socket that is left warns, and a warning is an error


@pytest.mark.anyio
async def test_who_gives_up_in_the_middle_of_tls_leaves_no_connection() -> None:
    greeted, ended = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)  # of a ClientHello, which nobody answers
        greeted.set()
        with suppress(ConnectionError):
            await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        by = dialler({HOST: ["127.0.0.1"]})
        task = asyncio.create_task(by.dial(HOST, port, Speaker, tls=client_context(AUTHORITY)))
        await asyncio.wait_for(greeted.wait(), LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await asyncio.wait_for(ended.wait(), LIMIT)


@pytest.mark.anyio
async def test_a_protocol_that_cannot_be_made_leaves_no_connection() -> None:
    def fail() -> Speaker:
        raise ValueError("no protocol today")

    with listening() as server:
        with pytest.raises(ValueError, match="no protocol today"):
            await dialler({HOST: ["127.0.0.1"]}).dial(HOST, server.port, fail)

        server.listener.settimeout(LIMIT)
        accepted, _ = server.listener.accept()
        with accepted:
            accepted.settimeout(LIMIT)
            assert accepted.recv(1) == b""


# --- both ends ------------------------------------------------------------------------------------


def test_a_connection_that_leads_elsewhere_is_refused() -> None:
    with listening("127.0.0.2") as server, socket.create_connection((server.address, server.port)) as made:
        check_ends(made, ip_address("127.0.0.2"))

        with pytest.raises(UpstreamFailed) as caught:
            check_ends(made, ip_address("127.0.0.1"))

    assert caught.value.reason is NOT_ALLOWED
    assert caught.value.detail == "the connection to 127.0.0.1 leads to 127.0.0.2"


def test_a_connection_that_leads_to_itself_is_none() -> None:
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", 0))
        alone.connect(alone.getsockname())

        with pytest.raises(ConnectionRefusedError, match="leads to itself"):
            check_ends(alone, ip_address("127.0.0.1"))


class LedAstray(asyncio.SelectorEventLoop):
    """Connects to another address than it is told, as a kernel with other ideas might."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: tuple[str, int] = ("", 0)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await super().sock_connect(sock, self.elsewhere)


def test_what_leads_elsewhere_is_closed_before_anything_is_said() -> None:
    made: list[Speaker] = []

    def make() -> Speaker:
        made.append(Speaker())
        return made[-1]

    with listening("127.0.0.2") as server, asyncio.Runner(loop_factory=LedAstray) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, LedAstray)
        loop.elsewhere = (server.address, server.port)
        with pytest.raises(UpstreamFailed, match=r"the connection to 127\.0\.0\.1 leads to 127\.0\.0\.2$"):
            runner.run(dialler({}).dial("127.0.0.1", server.port, make))

        server.listener.settimeout(LIMIT)
        accepted, _ = server.listener.accept()
        with accepted:
            accepted.settimeout(LIMIT)
            assert accepted.recv(1) == b""
    assert made == []


# --- TLS ------------------------------------------------------------------------------------------


@asynccontextmanager
async def secure_server(
    credential: Credential, folder: Path, address: str = "127.0.0.1"
) -> AsyncGenerator[tuple[int, list[str | None]]]:
    """Serve TLS on ``address``; return the port, and the list of names that clients sent."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credential.write(folder, "server"))
    context.sni_callback = lambda _connection, name, _context: names.append(name)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            await reader.read()
        writer.transport.abort()

    async with await asyncio.start_server(talk, address, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], names


def certificate_of_address(address: str) -> Credential:
    """Return a certificate for a server that is known by its address."""
    key, now = new_key(), datetime.now(UTC)
    issuer = AUTHORITY.credential
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
    )
    return Credential(builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER), key)


@pytest.mark.anyio
@pytest.mark.parametrize("host", [HOST, f"{HOST}."])
async def test_tls_keeps_the_name_while_the_connection_goes_to_the_address(host: str, tmp_path: Path) -> None:
    credential = AUTHORITY.issue_for_server(HOST)
    async with secure_server(credential, tmp_path, "127.0.0.2") as (port, names):
        by = dialler({host: ["127.0.0.2"]})
        speaker = await by.dial(host, port, Speaker, tls=client_context(AUTHORITY))

        assert (names, speaker.peer) == ([HOST], "127.0.0.2")
        assert speaker.transport.get_extra_info("ssl_object") is not None
        await speaker.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::ffff:127.0.0.1", "127.0.0.1", id="IPv4 in IPv6 form"),
        pytest.param("::1", "::1", id="IPv6"),
    ],
)
async def test_a_certificate_of_an_address_is_checked_against_it_and_no_name_is_sent(
    host: str, address: str, tmp_path: Path
) -> None:
    async with secure_server(certificate_of_address(address), tmp_path, address) as (port, names):
        speaker = await dialler({}).dial(host, port, Speaker, tls=client_context(AUTHORITY))

        assert (names, speaker.peer) == ([None], address)
        await speaker.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("credential", "host", "sentence"),
    [
        pytest.param(
            AUTHORITY.issue_for_server("other.internal"),
            HOST,
            "Hostname mismatch, certificate is not valid for 'mcp.internal'.",
            id="of another name",
        ),
        pytest.param(
            AUTHORITY.issue_for_server(HOST),
            "127.0.0.1",
            "IP address mismatch, certificate is not valid for '127.0.0.1'.",
            id="of a name where the address was dialled",
        ),
        pytest.param(
            certificate_of_address("127.0.0.1"),
            HOST,
            "Hostname mismatch, certificate is not valid for 'mcp.internal'.",
            id="of the address where the name was dialled",
        ),
        pytest.param(
            Authority("Others").issue_for_server(HOST),
            HOST,
            "unable to get local issuer certificate",
            id="of somebody who is not trusted",
        ),
        pytest.param(
            AUTHORITY.issue(
                HOST,
                hosts=[HOST],
                usage=ExtendedKeyUsageOID.SERVER_AUTH,
                valid_to=datetime.now(UTC) - timedelta(hours=1),
            ),
            HOST,
            "certificate has expired",
            id="that has expired",
        ),
    ],
)
async def test_a_certificate_that_is_not_accepted_is_said_to_be_so(
    credential: Credential, host: str, sentence: str, tmp_path: Path
) -> None:
    async with secure_server(credential, tmp_path) as (port, _):
        by = dialler({HOST: ["127.0.0.1", "127.0.0.2"]})
        outcome = await refusal(by, host, port, client_context(AUTHORITY))

    assert outcome == (
        UNREACHABLE,
        f"{host} port {port}: TLS: the certificate is not accepted: {sentence}",
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", ["TLS: wrong version number"], id="no TLS"),
        pytest.param(
            b"\x15\x03\x03\x00\x02\x02\x28",
            ["TLS: sslv3 alert handshake failure", "TLS: ssl/tls alert handshake failure"],
            id="an alert",
        ),
        pytest.param(b"", ["the connection has ended"], id="the end"),
    ],
)
async def test_a_server_that_does_not_speak_tls_is_said_to_be_so(answer: bytes, sentences: list[str]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        by = dialler({HOST: ["127.0.0.1"]})
        reason, detail = await refusal(by, HOST, port, client_context(AUTHORITY))

    assert reason is UNREACHABLE
    assert detail in [f"{HOST} port {port}: {sentence}" for sentence in sentences]


@pytest.mark.anyio
async def test_a_server_that_says_nothing_in_the_handshake_takes_no_longer_than_the_caller_says() -> None:
    with listening() as server:
        by = dialler({HOST: ["127.0.0.1"]})

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(by.dial(HOST, server.port, Speaker, tls=client_context(AUTHORITY)), 0.05)


# --- the recorded attacks -------------------------------------------------------------------------

# What these are about is not the address: redirects, what an answer names, and the configuration.
ELSEWHERE = {"I136", "I137", "I138", "I140"}
VECTORS = [
    pytest.param(vector, id=f"{vector['id']} {vector['description']}")
    for vector in map(json.loads, CORPUS.read_text("utf-8").splitlines())
    if vector["kind"] == "upstream" and vector["id"] not in ELSEWHERE
]


@pytest.mark.anyio
@pytest.mark.parametrize("vector", VECTORS)
async def test_a_recorded_attack_is_answered_as_it_was_judged(vector: dict[str, Any]) -> None:
    written: str = vector["input"]["url"]
    url = urlsplit(written)
    host, port = url.hostname or "", url.port or 80
    allowed: list[str] = vector["input"]["allow"]
    answers: list[str] | None = vector["input"].get("resolves")
    is_slow = "timeout" in vector["description"]
    slow = SlowNames()
    resolve: Resolve = slow if is_slow else resolve_by_system if answers is None else Names({host: answers})

    for rules in (AddressRules(allowed or RFC1918), AddressRules(allowed or None)):
        by = Dialler(rules, resolve=resolve)
        if vector["expected"] == "allow":
            assert [str(each) for each in await by.find_addresses(host, port)] == answers
        elif is_slow:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(by.dial(host, port, Speaker), 0.05)
        else:
            reason, _ = await refusal(by, host, port)
            assert reason is (UNREACHABLE if answers == [] else NOT_ALLOWED)
    slow.may_answer.set()


def test_there_are_as_many_recorded_attacks_as_there_were() -> None:
    assert len(VECTORS) == 28


def test_no_thread_of_a_lookup_is_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("lookup of "):
            thread.join(LIMIT)
            assert not thread.is_alive()
