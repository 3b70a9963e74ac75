"""The docs server by itself: `python -m tunnelgate_servers.docs_readonly FOLDER`.

It asks nobody for a token: what stands in front of it is a gate that has it as an upstream.
Exit codes: 0 is fine, 1 found something wrong, 2 was used wrongly, such as with a folder that is not there.
"""

import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from tunnelgate_servers.docs_readonly import LOOPBACK_HOSTS, OptionsError, create_app

_FOUND_WRONG = 1
_USED_WRONGLY = 2
_BACKLOG = 2048
_STOP_SECONDS = 5

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@program.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="The folder of Markdown documents.", show_default=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 9001,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    index: Annotated[
        Path | None,
        typer.Option(help="The file to build the index in; by default a temporary one.", show_default=False),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A Host to answer, in place of those of loopback; may be repeated."),
    ] = None,
) -> None:
    """Serve a folder of Markdown documents to a gate on this machine, as a process of its own.

    Example: python -m tunnelgate_servers.docs_readonly docs --port 9001
    """
    with _index_at(index) as file:
        try:
            app = create_app(folder=folder, index=file, allowed_hosts=allowed_host or LOOPBACK_HOSTS)
        except OptionsError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(_USED_WRONGLY) from None
        with _listener(host, port) as listener:
            server = _Server(app, listener)
            server.run([listener])
    raise typer.Exit(0 if server.started else _FOUND_WRONG)


@contextmanager
def _index_at(file: Path | None) -> Generator[Path]:
    if file is not None:
        yield file
        return
    with TemporaryDirectory(prefix="docs_readonly-") as folder:
        yield Path(folder) / "docs.sqlite3"


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = (error.strerror or "").partition(" (while")[0]  # the address stands in the sentence already
        sentence = f"cannot be listened on: {why}"
        if error.errno == errno.EADDRINUSE:
            sentence = "is in use: stop what listens there, or choose another port"
        typer.echo(f"{_authority(host, port)} {sentence}.", err=True)
        raise typer.Exit(_FOUND_WRONG) from None


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """Says where it listens, and leaves with 0 when it is told to stop."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        super().__init__(config)
        self._listener = listener

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        host, port = self._listener.getsockname()[:2]
        typer.echo(f"docs_readonly listens on http://{_authority(host, port)}/mcp")
        await super().main_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; told so again, do not wait for what is under way."""
        # uvicorn's own would end the process by the signal, and leave the temporary index behind.
        self.force_exit = self.should_exit
        self.should_exit = True


if __name__ == "__main__":
    program()
