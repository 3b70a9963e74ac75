import sys
from subprocess import run

import pytest

from tunnelgate.errors import UpstreamFailed
from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.resolving import is_localhost, resolve_by_system
from tunnelgate.verdict import Reason

NAMES = [
    pytest.param("localhost", id="the name itself"),
    pytest.param("LocalHost", id="in another case"),
    pytest.param("localhost.", id="with the dot of an absolute name"),
    pytest.param("docs.localhost", id="a name below it"),
    pytest.param("docs.tunnel.localhost", id="a name two below it"),
    pytest.param("DOCS.TUNNEL.LOCALHOST.", id="a name below it in another case and with a dot"),
]
OTHERS = [
    pytest.param("localhost.example.com", id="a name that begins with it"),
    pytest.param("mylocalhost", id="a name whose only label ends with it"),
    pytest.param("docs.mylocalhost", id="a name whose last label ends with it"),
    pytest.param("localhost.localdomain", id="a name of the local domain"),
    pytest.param("localhost..", id="two dots at the end"),
    pytest.param(".localhost", id="an empty label before it"),
    pytest.param("docs..localhost", id="an empty label below it"),
    pytest.param("localho\u017ft", id="a letter that is an s in capitals"),
    pytest.param("\uff4cocalhost", id="a letter of full width"),
    pytest.param("", id="nothing"),
    pytest.param(".", id="a dot"),
    pytest.param("127.0.0.1", id="an address"),
]
ASKED = """
import asyncio, sys
from tunnelgate.upstream.resolving import resolve_by_system

asked = []

def hear(event, arguments):
    if event == "socket.getaddrinfo":
        asked.append(arguments[0])
        raise OSError("nobody is asked here")

sys.addaudithook(hear)
for host in sys.argv[1:]:
    try:
        print(host, *asyncio.run(resolve_by_system(host, 80)))
    except OSError as error:
        print(host, error)
print("asked about", *asked)
"""


@pytest.mark.parametrize("host", NAMES)
def test_a_name_of_this_machine_is_known_as_one(host: str) -> None:
    assert is_localhost(host)


@pytest.mark.parametrize("host", OTHERS)
def test_any_other_name_is_not_taken_for_one_of_this_machine(host: str) -> None:
    assert not is_localhost(host)


def test_a_name_of_this_machine_is_looked_up_as_localhost_alone() -> None:
    hosts = ["docs.tunnel.LOCALHOST.", "localhost.example.com"]

    program = run(
        [sys.executable, "-c", ASKED, *hosts], capture_output=True, text=True, timeout=60, check=True
    )

    assert program.stdout.splitlines() == [
        "docs.tunnel.LOCALHOST. nobody is asked here",
        "localhost.example.com nobody is asked here",
        "asked about localhost localhost.example.com",
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("host", NAMES)
async def test_a_name_of_this_machine_has_the_addresses_of_loopback(host: str) -> None:
    found = await resolve_by_system(host, 80)

    assert found
    assert set(found) <= {"127.0.0.1", "::1"}


@pytest.mark.anyio
async def test_a_name_of_this_machine_is_judged_like_any_other() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await Dialler(AddressRules(["10.0.0.0/8"])).find_addresses("docs.localhost", 80)

    assert caught.value.reason is Reason.UPSTREAM_NOT_ALLOWED
    assert "is not in upstream.allowed_ips" in caught.value.detail
