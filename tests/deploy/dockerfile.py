"""Reads a Dockerfile: its stages, and what each inherits."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

_FLAG = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, its flags, and the rest as it is written."""

    name: str
    flags: Mapping[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def exec_form(self) -> list[str]:
        """The command and its arguments; what is not in the exec form is no list."""
        form: Any = json.loads(self.text.removeprefix("CMD ") if self.name == "HEALTHCHECK" else self.text)
        assert isinstance(form, list)
        return [str(each) for each in form]  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]


@dataclass(frozen=True)
class Stage:
    """One stage, with the one that it goes on from, or the image where that is none of this file's."""

    name: str
    image: str
    parent: "Stage | None"
    own: tuple[Instruction, ...]

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions of the stage, after those that it inherits."""
        return (*(() if self.parent is None else self.parent.instructions), *self.own)

    def all_of(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> Instruction:
        """The one that holds, where a later instruction takes the place of an earlier one."""
        return self.all_of(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for each in self.all_of("ENV") for word in each.words)


def read_stages(file: Path = DOCKERFILE) -> dict[str, Stage]:
    """Return the stages by name, in their order."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: tuple[str, str] | None = None
    own: list[Instruction] = []
    for instruction in _instructions(file.read_text("utf-8")):
        if instruction.name == "ARG" and current is None:
            name, _, default = instruction.text.partition("=")
            arguments[name] = default
        elif instruction.name == "FROM":
            if current is not None:
                stages[current[1]] = _stage(current, stages, own)
            image, _, name = instruction.words
            current, own = (re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], image), name), []
        else:
            own.append(instruction)
    assert current is not None
    stages[current[1]] = _stage(current, stages, own)
    return stages


def _stage(current: tuple[str, str], stages: Mapping[str, Stage], own: list[Instruction]) -> Stage:
    image, name = current
    return Stage(name, image, stages.get(image), tuple(own))


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        flags: dict[str, str] = {}
        while match := _FLAG.match(rest := rest.lstrip()):
            flags[match["name"]] = match["value"]
            rest = rest[match.end() :]
        yield Instruction(name, flags, rest.strip())
