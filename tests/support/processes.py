"""Programs as a person starts them, which end with the test that started them."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
READY = "Application startup complete"
_LIMIT = 60


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment with nothing of ours in it but where programs are and whose home it is."""
    return {
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        **variables,
    }


def timed(env: Mapping[str, str]) -> dict[str, str]:
    """Return ``env`` for a program whose end is timed: it has no notes of its branches to write down then."""
    return {name: value for name, value in env.items() if not name.startswith("COVERAGE_")}


@dataclass
class Running:
    """A program that runs, and what it has printed so far."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list[str])

    @property
    def output(self) -> str:
        return "".join(self.lines)


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, ready: str = READY
) -> Generator[Running]:
    """Run ``command`` until the block ends; the block begins when the program has printed ``ready``."""
    with subprocess.Popen(
        command, env=dict(env), cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        program = Running(process)
        is_ready = threading.Event()
        reader = threading.Thread(target=_read, args=(program, ready, is_ready), daemon=True)
        reader.start()
        try:
            if not is_ready.wait(_LIMIT) or ready not in program.output:
                raise RuntimeError(f"{command} is not ready: {program.output}")
            yield program
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(_LIMIT)
            reader.join(_LIMIT)


def _read(program: Running, ready: str, is_ready: threading.Event) -> None:
    for line in program.process.stdout or ():
        program.lines.append(line)
        if ready in line:
            is_ready.set()
    is_ready.set()
