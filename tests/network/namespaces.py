"""Two network namespaces with a cable between them, so that source addresses are real.

Needs root, and a kernel that lets it. Both namespaces end with the test that made them.
"""

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

WITHOUT = "TUNNELGATE_WITHOUT_NAMESPACES"
_NAMESPACES = Path("/run/netns")
_NETWORK = 0x40000000  # CLONE_NEWNET: unshare(2), setns(2)
_LIMIT = 10

_T = TypeVar("_T")


@dataclass(frozen=True)
class Namespace:
    """A network of its own, whose one cable ends in ``device``."""

    name: str
    device: str

    def command(self, *command: str) -> list[str]:
        """Return a command line that runs ``command`` inside."""
        return [_ip(), "netns", "exec", self.name, *command]

    def call(self, function: Callable[[], _T]) -> _T:
        """Return what ``function`` returns inside; a socket that it opens stays there."""
        outcome: list[_T] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                self._enter()
                outcome.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure.append(error)

        # Of all threads only this one changes its network, and it ends with that.
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(_LIMIT)
        if failure:
            raise failure[0]
        assert outcome, "what was to run in a namespace does not end"
        return outcome[0]

    def _enter(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(_NAMESPACES / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if library.setns(descriptor, _NETWORK) != 0:
                raise OSError(ctypes.get_errno(), f"the namespace {self.name} cannot be entered")
        finally:
            os.close(descriptor)

    def listen(self, family: socket.AddressFamily, *, dualstack: bool = False) -> socket.socket:
        """Return a socket that listens on a free port of every address inside."""
        return self.call(lambda: socket.create_server(("", 0), family=family, dualstack_ipv6=dualstack))

    def connect(self, target: str, port: int, source: str) -> socket.socket:
        """Return a connection to ``target`` from ``source``, an address inside."""

        def connection() -> socket.socket:
            is_link_local = target.startswith("fe80:")
            scope = socket.if_nametoindex(self.device) if is_link_local else 0
            opened = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
            opened.settimeout(_LIMIT)
            more = (0, scope) if ":" in source else ()
            opened.bind((source, 0, *more))
            opened.connect((target, port, *more))
            return opened

        return self.call(connection)


def _ip() -> str:
    path = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        _give_up("there is no ip command: apt-get install iproute2")
    return path


def _run(*command: str) -> None:
    done = subprocess.run([_ip(), *command], capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode != 0:
        _give_up(f"ip {' '.join(command)}: {done.stderr.strip()}")


def _give_up(sentence: str) -> NoReturn:
    pytest.fail(
        f"No network namespace can be made here ({sentence}). They need root; "
        f"{WITHOUT}=1 leaves these tests out.",
        pytrace=False,
    )


@contextmanager
def two_namespaces(first: Sequence[str], second: Sequence[str]) -> Generator[tuple[Namespace, Namespace]]:
    """Make two namespaces that reach each other, with these addresses, such as ``192.0.2.1/24``.

    Where the machine does not allow it the test fails, unless the environment says that it is known.
    """
    if os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT} says that this machine has no network namespaces")
    mark = secrets.token_hex(3)
    made = (Namespace(f"tunnelgate-a-{mark}", f"tga{mark}"), Namespace(f"tunnelgate-b-{mark}", f"tgb{mark}"))
    with ExitStack() as stack:
        for each in made:
            _run("netns", "add", each.name)
            stack.callback(_run, "netns", "delete", each.name)
        one, other = made
        cable = ["link", "add", one.device, "netns", one.name, "type", "veth"]
        _run(*cable, "peer", "name", other.device, "netns", other.name)
        for each, addresses in ((one, first), (other, second)):
            for address in addresses:
                # Otherwise the kernel asks first whether somebody has it, and nobody can use it until then.
                more = ["nodad"] if ":" in address else []
                _run("-n", each.name, "address", "add", address, "dev", each.device, *more)
            _run("-n", each.name, "link", "set", "lo", "up")
            _run("-n", each.name, "link", "set", each.device, "up")
        yield made
