"""The addresses of a name, as the machine knows them.

That is what ``getaddrinfo`` says: ``/etc/hosts``, the search list of ``/etc/resolv.conf`` and whatever
else ``/etc/nsswitch.conf`` names count, and so does every odd spelling of an address that it takes.
Whoever asks judges the answers. Only a name below ``localhost`` is what ``localhost`` is, because a name
server that was asked for it could say that it is another machine.

Specification: RFC 6761 section 6.3.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, cast

_LOCALHOST: Final = "localhost"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Return the addresses of ``host``, of both versions, each once and in the system's order.

    An address with a zone keeps it, as ``fe80::1%2``. A name below ``localhost`` has those of
    ``localhost``. Raises :class:`OSError` where there is none.
    """
    host = _LOCALHOST if is_localhost(host) else host
    answer: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
    # A lookup cannot be cancelled. The threads of an executor are waited for when the process ends,
    # which name servers that do not answer would put off; this one is not.
    thread = threading.Thread(
        target=look_up, args=(host, port, answer), name=f"lookup of {host}", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:  # the system has no more of them
        raise OSError(str(error)) from error
    return await answer


def is_localhost(host: str) -> bool:
    """Return whether ``host`` is ``localhost`` or below it, in any case and with or without a last dot."""
    labels = host.lower().removesuffix(".").split(".")
    return labels[-1] == _LOCALHOST and all(labels)


def look_up(host: str, port: int, answer: asyncio.Future[Sequence[str]]) -> None:
    """Look ``host`` up, however long that takes, and tell the loop of ``answer`` what came of it."""
    found: Sequence[str] = ()
    failure: Exception | None = None
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        found = addresses_in(sockaddr for *_, sockaddr in infos)
    except UnicodeError:  # an empty or too long label, or one with letters that no name has
        failure = socket.gaierror(socket.EAI_NONAME, "no such name")
    except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
        failure = error
    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        answer.get_loop().call_soon_threadsafe(_tell, answer, found, failure)


def addresses_in(sockaddrs: Iterable[tuple[object, ...]]) -> Sequence[str]:
    """Return the addresses in what ``getaddrinfo`` found, each once, and with its zone."""
    return list(dict.fromkeys(map(_write, sockaddrs)))


def _write(sockaddr: tuple[object, ...]) -> str:
    text, zone = cast("str", sockaddr[0]), sockaddr[3:4]
    # Not every system writes the zone into the text.
    return f"{text}%{zone[0]}" if any(zone) and "%" not in text else text


def _tell(answer: asyncio.Future[Sequence[str]], found: Sequence[str], failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is None:
        answer.set_result(found)
    else:
        answer.set_exception(failure)
