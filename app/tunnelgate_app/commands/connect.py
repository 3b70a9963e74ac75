"""`tunnelgate connect --fake`: the other end of a tunnel on this machine, to try a gate with."""

import asyncio
import signal
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from tunnelgate.configuration.fields import listen_address
from tunnelgate.hosts import read_hostname
from tunnelgate_app.commands.shared import USED_WRONGLY, say_what_is_wrong
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.connector.backend import TunnelBackend
from tunnelgate_app.connector.bridge import Bridge
from tunnelgate_app.connector.client import client_tls
from tunnelgate_app.errors import CommandError
from tunnelgate_app.listening.addresses import address_of, open_listener

_SECONDS = 10.0  # that either side may take to begin

_REAL = (
    "The real connector is cloudflared, which runs beside the gate with the tunnel's token in TUNNEL_TOKEN:\n"
    "  cloudflared tunnel --no-autoupdate run --url http://localhost:8080\n"
    "To try the gate without a tunnel: tunnelgate connect --fake --gate 127.0.0.1:8080 --ca ca.crt"
)


class ConnectError(CommandError):
    """The connector cannot start; the text says why."""


@say_what_is_wrong
def connect(
    gate: Annotated[
        str, typer.Option("--gate", help="Where the gate listens: an address, or unix:/path.")
    ] = "127.0.0.1:8080",
    ca: Annotated[
        Path | None, typer.Option("--ca", help="The CA that is registered on the tunnel, a PEM file.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", help="Where to take plain HTTP connections.")
    ] = "127.0.0.1:9999",
    host: Annotated[
        str | None, typer.Option("--host", help="The hostname to ask for; that of each request by default.")
    ] = None,
    *,
    fake: Annotated[bool, typer.Option("--fake", help="Play the other end of a tunnel here.")] = False,
) -> None:
    """Carry plain HTTP to a gate as a tunnel would: TLS inside of a WebSocket, checked by the registered CA.

    So curl, the MCP Inspector and any MCP client can be tried against a gate without a tunnel. Each
    connection has one request. What fails is said in a sentence, with what it means.

    Example: tunnelgate connect --fake --gate 127.0.0.1:8080 --ca ca.crt --host docs.tunnel.localhost
    """
    if not fake:
        typer.echo(_REAL, err=True)
        raise typer.Exit(USED_WRONGLY)
    if ca is None:
        raise typer.BadParameter("is missing: the gate's certificate is checked by it", param_hint="--ca")
    try:
        name = None if host is None else read_hostname(host)
        backend = TunnelBackend(GateAddress.read(gate), "tunnel")
    except ValueError as error:
        raise typer.BadParameter(f"{host or gate} {error}") from None
    try:
        listen_address(listen)
    except ValueError as error:
        raise typer.BadParameter(f"{listen} {error}", param_hint="--listen") from None
    bridge = Bridge(backend, _tls(ca), host=name, seconds=_SECONDS, say=typer.echo)
    with open_listener(listen) as listener:
        for sentence in _introduction(listener, gate, name):
            typer.echo(sentence)
        asyncio.run(_serve(bridge, listener))


def _tls(ca: Path) -> ssl.SSLContext:
    try:
        return client_tls(ca)
    except OSError as error:
        is_read = isinstance(error, ssl.SSLError)
        why = "it has no certificate in PEM that can be read" if is_read else error.strerror
        raise ConnectError(f"{ca} cannot be used: {why}") from None


def _introduction(listener: socket.socket, gate: str, host: str | None) -> list[str]:
    address = address_of(listener)
    names = host or "docs.tunnel.localhost"
    sentences = [
        f"http://{address} leads to the gate at {gate} as a tunnel would, until Ctrl-C.",
        f"Try it: curl -i http://{address}/mcp -H 'Host: {names}'",
    ]
    where: tuple[Any, ...] | str = listener.getsockname()
    if isinstance(where, tuple) and not ip_address(where[0]).is_loopback:
        sentences.append(f"warning: whoever reaches {address} comes to the gate as if through the tunnel.")
    return sentences


async def _serve(bridge: Bridge, listener: socket.socket) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    connections: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = loop.create_task(bridge.carry(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(begin, sock=listener)
    await stopped.wait()
    server.close()
    for each in tuple(connections):
        each.cancel()
    if connections:
        await asyncio.wait(connections)
