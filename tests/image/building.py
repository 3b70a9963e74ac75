"""Builds the stages of the Dockerfile without an engine, each as a file system of its own.

The lowest one is this machine's, in place of the base image, with this machine's Python; what a step
writes lies in memory above it. Everything is mounted in a namespace that ends with the tests: see
`scripts/deploy`.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.dockerfile import ROOT, Instruction, Stage

PROGRAMS = Path(sys.base_prefix) / "bin"
PYTHON = "/usr/local/base"  # where the base image's Python is: called python, with pip, and its own to fill
BASE_PATH = f"{PYTHON}/bin:/usr/local/bin:/usr/bin:/bin"
_LIMIT = 600


def call(*command: str | Path) -> None:
    """Run a command to its end; what it says is in the exception when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


@dataclass(frozen=True)
class Layers:
    """What lies above this machine's file system, the newest first, and where all of it is mounted."""

    folders: tuple[Path, ...]
    root: Path

    def inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@dataclass
class Builder:
    """Builds stages below ``folder``, each once."""

    folder: Path
    _built: dict[str, Layers] = field(default_factory=dict[str, Layers])

    def build(self, stage: Stage, stages: Mapping[str, Stage]) -> Layers:
        """Return the file system of ``stage``; its steps run as they are written."""
        if stage.name not in self._built:
            below = self._base() if stage.parent is None else self.build(stage.parent, stages)
            layers = self._mount(stage.name, below.folders)
            working = "/"
            for each in stage.instructions:
                if each.name == "WORKDIR":
                    working = each.text
                    layers.inside(working).mkdir(parents=True, exist_ok=True)
                elif each in stage.own:
                    self._step(each, layers, stage.environment, working, stages)
            self._built[stage.name] = layers
        return self._built[stage.name]

    def _base(self) -> Layers:
        if "" not in self._built:
            layers = self._mount("", ())
            for folder in (PROGRAMS, *PROGRAMS.parents):
                if folder != Path("/"):
                    layers.inside(str(folder)).chmod(0o755)  # a base image's Python is there for everybody
            program = PROGRAMS / f"python{sys.version_info.major}.{sys.version_info.minor}"
            call("chroot", layers.root, program, "-m", "venv", PYTHON)
            self._built[""] = layers
        return self._built[""]

    def _mount(self, name: str, below: Sequence[Path]) -> Layers:
        place = self.folder / f"stage-{name}"
        upper, work, root = place / "upper", place / "work", place / "root"
        for each in (upper, work, root):
            each.mkdir(parents=True)
        lower = ":".join(map(str, (*below, "/")))
        call(
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            f"lowerdir={lower},upperdir={upper},workdir={work}",
            root,
        )
        call("mount", "--bind", "/proc", root / "proc")
        call("mount", "--rbind", "/dev", root / "dev")
        return Layers((upper, *below), root)

    def _step(
        self,
        step: Instruction,
        layers: Layers,
        variables: Mapping[str, str],
        working: str,
        stages: Mapping[str, Stage],
    ) -> None:
        if step.name == "RUN":
            environment = {"PATH": BASE_PATH, "HOME": "/root", **variables}
            settings = [f"{name}={value}" for name, value in environment.items()]
            script = f"cd {working} && {step.text}"
            call("chroot", layers.root, "/usr/bin/env", "-i", *settings, "/bin/sh", "-c", script)
        elif step.name == "COPY":
            *sources, target = step.words
            origin = self.build(stages[step.flags["from"]], stages).root if "from" in step.flags else ROOT
            for source in sources:
                destination = layers.inside(str(Path(working, target)))
                _copy(
                    origin / source.lstrip("/"),
                    destination / Path(source).name if target == "./" else destination,
                )
            if "chown" in step.flags:
                call("chown", "--recursive", step.flags["chown"], layers.inside(target))


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
        kept = None if "site-packages" in str(source) or (source / "pyvenv.cfg").exists() else left_out
        shutil.copytree(source, destination, symlinks=True, ignore=kept, dirs_exist_ok=True)
    else:
        shutil.copy2(source, destination)
