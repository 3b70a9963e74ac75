"""The clients: where each is installed, and how it is started as a process of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import inspector
from tests.clients.plan import NAMES, Era
from tests.support import npm

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATE = ROOT / ".state" / "clients"
_LIMIT = 180
_LOCK = HERE / "requirements-1x.lock"


@dataclass(frozen=True)
class Task:
    """What one process has to do."""

    url: str
    era: Era
    token: str | None
    steps: Sequence[str]


Outcomes = list[dict[str, Any]]


@dataclass(frozen=True)
class Client:
    """A client, and the eras that it can be told to speak."""

    name: str
    eras: Sequence[Era]
    run: Callable[[Task], Outcomes]


def install() -> tuple[Path, list[Client]]:
    """Install what is not yet installed; return the Python that has SDK 1.x, and the clients."""
    python_1 = _install_python()
    programs = npm.install(HERE, STATE)
    node = npm.NODE
    for each in (HERE / "programs").glob("*.mjs"):
        shutil.copy(each, programs.parent)  # a module finds packages beside itself

    def python(executable: str | Path, name: str) -> Callable[[Task], Outcomes]:
        return lambda task: _run([str(executable), "-P", "-m", f"tests.clients.programs.{name}"], task)

    def script(name: str) -> Callable[[Task], Outcomes]:
        return lambda task: _run([str(node), str(programs.parent / name)], task)

    def inspect(task: Task) -> Outcomes:
        cli = [str(node), str(programs / ".bin" / "mcp-inspector"), "--cli"]
        home = STATE / "home"
        home.mkdir(exist_ok=True)
        return inspector.run(cli, task.url, task.era, task.token, task.steps, environment(home))

    every: tuple[Era, ...] = ("modern", "legacy", "auto")
    return python_1, [
        Client("Python 2", every, python(sys.executable, "python_2")),
        Client("Python 1", ("legacy",), python(python_1, "python_1")),
        Client("TypeScript 2", every, script("typescript_2.mjs")),
        Client("TypeScript 1", ("legacy",), script("typescript_1.mjs")),
        Client("Inspector", every, inspect),
    ]


def environment(home: Path | None = None) -> dict[str, str]:
    """Return the environment of a program: nothing of ours but where it finds what it imports."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", "") if home is None else str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "middleware")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
    }


def _install_python() -> Path:
    """Make the environment with SDK 1.x beside what the middleware needs, unless it is there."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = STATE / f"python{version}-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if done.exists():
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "--require-hashes", "-r", str(_LOCK)],
    ):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise npm.UnusableError(f"pip could not install what {_LOCK.name} names.")
    done.touch()
    return python


def _run(command: Sequence[str], task: Task) -> Outcomes:
    told: Mapping[str, Any] = {
        "url": task.url,
        "era": task.era,
        "token": task.token,
        "steps": task.steps,
        "names": NAMES,
    }
    try:
        ended = subprocess.run(
            command,
            cwd=STATE,
            env={**environment(), "CLIENT_PLAN": json.dumps(told)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        said = fault.stdout if isinstance(fault.stdout, bytes) else b""
        return [*_outcomes(said.decode()), {"step": "end", "failed": "the client did not end"}]
    outcomes = _outcomes(ended.stdout)
    if ended.returncode:
        outcomes.append({"step": "end", "failed": f"exit {ended.returncode}: {ended.stderr[-2000:]}"})
    return outcomes


def _outcomes(lines: str) -> Outcomes:
    return [json.loads(line) for line in lines.splitlines() if line.startswith("{") and line.endswith("}")]
