"""Gates whose policy changes while they run: in this process, and as programs."""

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.audit import Records
from tests.support.leaks import LIMIT, REPOSITORY, Caller, wait_until
from tests.support.processes import SCRIPTS, Running, environment, free_port, running
from tests.support.proxied import until
from tests.support.tokens import ISSUER, RESOURCE, jwks
from tunnelgate import Policy
from tunnelgate.asgi import Message
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.server import run

WIKI = "wiki.example.com"
READY = "Application startup complete"
RELOADED = "configuration reloaded: "
CHANGED = "policies that changed: "
_UP = "the gate listens on "


@asynccontextmanager
async def lives(gateway: Gateway) -> AsyncGenerator[list[Message]]:
    """Run the lifespan of a gateway, and give what it says."""
    said = asyncio.Queue[Message]()
    heard: list[Message] = []

    async def send(message: Message) -> None:
        heard.append(message)

    said.put_nowait({"type": "lifespan.startup"})
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": dict[str, Any]()}
    task = asyncio.create_task(gateway(scope, said.get, send))
    await until(lambda: bool(heard))
    yield heard
    said.put_nowait({"type": "lifespan.shutdown"})
    await asyncio.wait_for(task, LIMIT)


def describe(folder: Path, routes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a configuration for everybody on this machine, with tokens for :data:`RESOURCE`."""
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    return {
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "jwks.json"}]},
        "routes": {name: {"resource": RESOURCE, **route} for name, route in routes.items()},
        **more,
    }


def policy_of(folder: Path, routes: Mapping[str, Any], **more: Any) -> Policy:
    """Return the policy of :func:`describe`."""
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(describe(folder, routes, **more)), "utf-8")
    return Policy.from_file(file, {})


def write_whole(file: Path, text: str) -> None:
    """Put a file in place of another one, as editors and tools do."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_text(text, "utf-8")
    beside.replace(file)


def written(port: int, described: Mapping[str, Any]) -> str:
    """Return the text of a configuration for a gate on this port."""
    own = {"listen_addr": f"127.0.0.1:{port}", "audit": {"file": "audit.jsonl"}}
    return yaml.safe_dump({**own, **described})


@dataclass
class Program:
    """A gate as `tunnelgate serve` runs it."""

    port: int
    file: Path
    program: Running
    closing: ExitStack = field(repr=False)
    writing: Callable[[Path, str], None] = field(repr=False, default=write_whole)

    @property
    def output(self) -> str:
        return self.program.output

    def write(self, described: Mapping[str, Any]) -> None:
        """Change the configuration."""
        self.writing(self.file, written(self.port, described))

    def reload(self, described: Mapping[str, Any]) -> None:
        """Change the configuration, and wait until that is said."""
        times = self.output.count(RELOADED)
        self.write(described)
        self.wait_for(RELOADED, times + 1)

    def tell(self, number: int) -> None:
        self.program.process.send_signal(number)

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.output.count(text) >= times, f"{text!r} is not said: {self.output}")

    def caller(self, **options: Any) -> Caller:
        return self.closing.enter_context(Caller(self.port, **options))


@contextmanager
def program(
    folder: Path, described: Mapping[str, Any], write: Callable[[Path, str], None] = write_whole
) -> Generator[Program]:
    """Run the gate that ``described`` describes; ``write`` is how its configuration is written."""
    port = free_port()
    file = folder / "tunnelgate.yaml"
    write(file, written(port, described))
    command = [str(SCRIPTS / "tunnelgate"), "serve", "--config", str(file)]
    env = environment(folder, PYTHONPATH=str(REPOSITORY))
    with ExitStack() as closing, running(command, env, cwd=folder, ready=READY) as started:
        yield Program(port, file, started, closing, write)


class Load:
    """Clients that ask again and again, each in a thread, until they are told to stop."""

    def __init__(self) -> None:
        self.answered = 0
        self.wrong: list[Any] = []
        self._stops = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def add(self, ask: Callable[[], Any]) -> None:
        """Begin to ask; what ``ask`` returns is what is wrong with the answer, if anything is."""
        thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, ask: Callable[[], Any]) -> None:
        while not self._stops.is_set():
            try:
                wrong = ask()
            except Exception as error:  # noqa: BLE001 - the test looks at all of them
                wrong = repr(error)
            with self._lock:
                self.answered += 1
                if wrong:
                    self.wrong.append(wrong)
            if wrong:
                return

    def stop(self) -> None:
        self._stops.set()
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a client does not come to its end"


@contextmanager
def changing_by_itself(
    folder: Path, first: Mapping[str, Any], second: Mapping[str, Any], changes: int
) -> Generator[Program]:
    """Run a gate in a process of its own, whose policy changes as fast as it can once it gets SIGUSR1."""
    files = [folder / name for name in ("first.yaml", "second.yaml")]
    for file, described in zip(files, (first, second), strict=True):
        file.write_text(yaml.safe_dump(described), "utf-8")
    command = [sys.executable, "-c", f"from {__name__} import run_changing; run_changing()"]
    env = environment(folder)
    with ExitStack() as closing:
        arguments = [*command, str(changes), *map(str, files)]
        started = closing.enter_context(running(arguments, env, cwd=REPOSITORY, ready=_UP))
        (said,) = [line for line in started.lines if _UP in line]
        yield Program(int(said.removeprefix(_UP)), files[0], started, closing)


class _Changes:
    """Runs beside a gateway, and changes its policy back and forth when it is told to."""

    def __init__(self, gateway: Gateway, policies: Sequence[Policy], count: int) -> None:
        self._gateway = gateway
        self._policies = policies
        self._count = count
        self._told = asyncio.Event()

    def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._told.set)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        await self._told.wait()
        done = [
            await self._gateway.change_to(self._policies[number % 2]) for number in range(1, self._count + 1)
        ]
        sys.stdout.write(f"{CHANGED}{sum(each is not None for each in done)}\n")
        sys.stdout.flush()


def run_changing() -> None:
    """Run such a gate as a program; see :func:`changing_by_itself`."""
    count, *files = sys.argv[1:]
    policies = [Policy.from_file(file, {}) for file in files]
    gateway = create_gateway(policies[0], audit=Records())
    gateway.accompany(_Changes(gateway, policies, int(count)))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        sys.stdout.write(f"{_UP}{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        run(gateway, listener, shutdown_timeout=5, on_stop=gateway.stop)
