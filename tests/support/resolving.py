"""Names whose addresses a test decides, and sockets that know who connected to them."""

import asyncio
import socket
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

_TRIES = 50

Answer = Sequence[str] | OSError


class InTurn:
    """Answers that follow each other; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def next(self) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Names:
    """Looks names up in ``answers``, and keeps what it was asked; other names do not exist."""

    def __init__(self, answers: Mapping[str, Answer | InTurn]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, InTurn):
            answer = answer.next()
        if isinstance(answer, OSError):
            raise answer
        return answer


class SlowNames:
    """Finds ``answer`` for every name, when it is told to."""

    def __init__(self, answer: Sequence[str] = ("127.0.0.1",)) -> None:
        self.asked: list[str] = []
        self.under_way = 0
        self.may_answer = asyncio.Event()
        self._changed = asyncio.Event()
        self._answer = answer

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        self._count(1)
        try:
            await self.may_answer.wait()
        finally:
            self._count(-1)
        return self._answer

    async def until_under_way(self, number: int) -> None:
        """Return when so many lookups are under way."""
        while self.under_way != number:
            self._changed.clear()
            await self._changed.wait()

    def _count(self, step: int) -> None:
        self.under_way += step
        self._changed.set()


@dataclass
class Listening:
    """A socket that listens. The kernel connects whoever comes, so that nobody is missed."""

    listener: socket.socket
    address: str
    port: int
    _connections: int = 0

    @property
    def connections(self) -> int:
        """How many connections there have been."""
        with suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                self._connections += 1
        return self._connections


@contextmanager
def listening(address: str = "127.0.0.1", *, silent: bool = False) -> Generator[Listening]:
    """Listen until the block ends; see :func:`listening_at`."""
    with listening_at(address, silent=(address,) if silent else ()) as (only,):
        yield only


@contextmanager
def listening_at(*addresses: str, silent: Collection[str] = ()) -> Generator[list[Listening]]:
    """Listen on a port that all of ``addresses`` have free, until the block ends.

    Those that are ``silent`` let nobody in: the one place that there is to wait for that is taken.
    """
    with ExitStack() as stack:
        listeners = _listeners(addresses, silent)
        for listener in listeners:
            stack.enter_context(listener)
        port = listeners[0].getsockname()[1]
        for address, listener in zip(addresses, listeners, strict=True):
            listener.settimeout(0)
            if address in silent:
                first = stack.enter_context(socket.socket(listener.family))
                first.connect(listener.getsockname())
        yield [
            Listening(listener, address, port) for address, listener in zip(addresses, listeners, strict=True)
        ]


@contextmanager
def not_answering(address: str = "127.0.0.1") -> Generator[int]:
    """Listen and let nobody in until the block ends, and give the port."""
    with listening(address, silent=True) as only:
        yield only.port


def _listeners(addresses: Sequence[str], silent: Collection[str]) -> list[socket.socket]:
    for _ in range(_TRIES):
        port, listeners = 0, list[socket.socket]()
        try:
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.create_server(
                    (address, port), family=family, backlog=0 if address in silent else None
                )
                listeners.append(listener)
                port = listener.getsockname()[1]
        except OSError:  # somebody else has this port on one of them
            for listener in listeners:
                listener.close()
        else:
            return listeners
    raise AssertionError(f"no port is free on all of {addresses}")
