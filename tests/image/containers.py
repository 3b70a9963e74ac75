"""Runs a program in a built file system as an engine would: as its user, read-only, on its own network."""

import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.image.building import Layers, call

_LIMIT = 60


@dataclass(frozen=True)
class Mount:
    """A folder or file outside, and where it is inside."""

    source: Path
    target: str
    read_only: bool = True


@dataclass
class Container:
    """A file system that cannot be written, with what is mounted in it, for one user."""

    root: Path
    environment: Mapping[str, str]
    user: str
    capabilities: Sequence[str] = ()
    working: str = "/"

    def command(self, *words: str, namespace: Sequence[str] = ("unshare", "--net")) -> list[str]:
        """Return the command line that runs ``words`` inside, with no shell in between."""
        uid, _, gid = self.user.partition(":")
        kept = ",".join(("-all", *(f"+{each.lower()}" for each in self.capabilities)))
        limits = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", f"--bounding-set={kept}"]
        limits += ["--inh-caps=-all", "--no-new-privs"]
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        change = ["chroot", str(self.root), "/usr/bin/env", "-i", f"--chdir={self.working}"]
        return [*namespace, *change, *settings, "/usr/bin/setpriv", *limits, *words]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run ``words`` to their end, with no network."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=_LIMIT, check=False
        )


@dataclass
class Served:
    """A program that goes on, and what it has printed so far."""

    container: Container
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list[str])

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run ``words`` beside it, on the same network, as an engine runs a health check."""
        beside = ("nsenter", f"--net=/proc/{self.process.pid}/ns/net")
        return subprocess.run(
            self.container.command(*words, namespace=beside),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )


@contextmanager
def mounted(
    layers: Layers, folder: Path, mounts: Sequence[Mount], memory: Sequence[str] = ()
) -> Generator[Path]:
    """Mount a file system read-only, with ``mounts``, and with folders in memory that can be written."""
    folder.mkdir(parents=True)
    for each in mounts:
        place = layers.inside(each.target)
        if each.source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    call("mount", "--bind", layers.root, folder)
    try:
        call("mount", "--options", "remount,bind,ro", folder)
        call("mount", "--bind", "/proc", folder / "proc")
        call("mount", "--rbind", "/dev", folder / "dev")
        # Whoever has no shell in a container has none here.
        for shell in ("bash", "dash"):
            call("mount", "--bind", "/dev/null", folder / "usr/bin" / shell)
        for each in mounts:
            inside = folder / each.target.lstrip("/")
            call("mount", "--bind", each.source, inside)
            if each.read_only:
                call("mount", "--options", "remount,bind,ro", inside)
        for name in memory:
            call(
                "mount",
                "-t",
                "tmpfs",
                "-o",
                "size=16m,mode=1777,noexec,nosuid,nodev",
                "tmpfs",
                folder / name.lstrip("/"),
            )
        yield folder
    finally:
        call("umount", "--recursive", folder)


@contextmanager
def serving(container: Container, words: Sequence[str], ready: str) -> Generator[Served]:
    """Run ``words`` until the block ends; it begins when they have printed ``ready``."""
    # Loopback is there in a new network, and down.
    namespace = ("unshare", "--net", "/usr/bin/env", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    with subprocess.Popen(
        container.command(*words, namespace=namespace),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        served = Served(container, process)
        is_ready = threading.Event()
        reader = threading.Thread(target=_read, args=(served, ready, is_ready), daemon=True)
        reader.start()
        try:
            if not is_ready.wait(_LIMIT) or ready not in served.output:
                raise RuntimeError(f"{words} is not ready: {served.output}")
            yield served
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(_LIMIT)
            reader.join(_LIMIT)


def _read(served: Served, ready: str, is_ready: threading.Event) -> None:
    for line in served.process.stdout or ():
        served.lines.append(line)
        if ready in line:
            is_ready.set()
    is_ready.set()
