"""Sends the official clients to servers with and without the gate, and shows where they see a difference.

Each server is asked three times: alone, mounted in a gate, and as a remote server of a gate, in a process
of its own.

    scripts/clients                                      everything
    scripts/clients --setting everything --client "TypeScript 2" --era modern

The clients are installed below .state/, from lock files, hashes checked. What they saw and every octet
that they exchanged stay in .state/clients/results.
Exit: 0 when there is no difference but what the policy hides; 1 when there is; 2 when used wrongly.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from tests.clients import inspector
from tests.clients.clients import ROOT, STATE, Client, Outcomes, Task, environment, install
from tests.clients.comparing import NOT_REACHED, differences, faults_alone
from tests.clients.plan import SCOPE, SETTINGS, VERSIONS, Era, Setting, policy
from tests.clients.serve import ELSEWHERE
from tests.clients.wire import Wire
from tests.support.npm import UnusableError
from tests.support.tokens import Token, jwks

RESULTS = STATE / "results"
Where = Literal["alone", "mounted", "remote"]
_STOP_LIMIT = 20
_NO_TOKEN = "no token"
_WRONG_TOKEN = "wrong token"
_FIRST = ("connect", "call a tool")  # a client may be told the version, and then connects without a word
_UNAUTHORIZED = 401


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="clients", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=SETTINGS, action="append", help="only this; may be repeated")
    parser.add_argument("--client", action="append", help="only this client; may be repeated")
    parser.add_argument("--era", choices=get_args(Era), action="append", help="only this era")
    options = parser.parse_args(arguments)
    try:
        python_1, clients = install()
        names = [client.name for client in clients]
        if unknown := set(options.client or ()) - set(names):
            raise UnusableError(
                f"No such client: {', '.join(sorted(unknown))}; there are {', '.join(names)}."
            )
        shutil.rmtree(RESULTS, ignore_errors=True)
        found: list[Column] = []
        for name in options.setting or list(SETTINGS):
            columns = _columns(SETTINGS[name], clients, options.client, options.era)
            _ask(name, python_1 if name == "legacy" else Path(sys.executable), columns)
            found += columns
            sys.stdout.write(_table(name, columns))
            sys.stdout.flush()
    except UnusableError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    return int(any(column.wrong for column in found))


@dataclass
class Column:
    """One client in one era, and what is wrong where and at which of its steps."""

    client: Client
    era: Era
    steps: list[str]
    wrong: dict[tuple[Where, str], str] = field(default_factory=dict[tuple[Where, str], str])

    @property
    def title(self) -> str:
        return f"{self.client.name} {self.era}"


@dataclass(frozen=True)
class _Side:
    """A server that runs, and the wire that leads to it."""

    name: Where
    wire: Wire
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}/mcp"

    def token(self, audience: str | None = None) -> str:
        return Token(claims={"aud": audience or self.url, "scope": SCOPE}).mint()

    def keep(self, title: str, outcomes: Outcomes) -> Outcomes:
        """Write down what a client saw and sent; return what it saw, whatever the server's address."""
        name = f"{title.replace(' ', '-').lower()}.{self.name}"
        self.wire.write(self.folder / f"{name}.wire")
        lines = [json.dumps(outcome, ensure_ascii=False).replace(self.url, "URL") for outcome in outcomes]
        (self.folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return [json.loads(line) for line in lines]


def _columns(
    setting: Setting, clients: Sequence[Client], names: Sequence[str] | None, eras: Sequence[Era] | None
) -> list[Column]:
    return [
        Column(client, era, _steps(client, setting, era))
        for client in clients
        for era in client.eras
        if (names is None or client.name in names) and (eras is None or era in eras)
        if era in setting.eras or len(client.eras) == 1
    ]


def _steps(client: Client, setting: Setting, era: Era) -> list[str]:
    wanted = setting.steps(era)
    if client.name != "Inspector":
        return wanted
    is_short = era == "auto" or setting != SETTINGS["everything"]
    return [step for step in wanted if step in (inspector.FEW if is_short else inspector.STEPS)]


def _ask(name: str, python: Path, columns: Sequence[Column]) -> None:
    setting = SETTINGS[name]
    folder = RESULTS / name
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        sides = [
            stack.enter_context(_serving(where, setting, python, folder))
            for where in ("alone", "mounted", "remote")
        ]
        at_once = stack.enter_context(ThreadPoolExecutor(len(sides)))
        for column in columns:
            era = setting.era_of(column.era)
            version = VERSIONS[era] if era in setting.eras else None
            tasks = [
                Task(side.url, column.era, None if side.name == "alone" else side.token(), column.steps)
                for side in sides
            ]
            seen: list[tuple[Where, Outcomes]] = [
                (side.name, side.keep(column.title, outcomes))
                for side, outcomes in zip(sides, at_once.map(column.client.run, tasks), strict=True)
            ]
            (_, before), *gated = seen
            if faults := faults_alone(before, column.steps, version):
                column.wrong["alone", "alone"] = "\n    ".join(faults)
            for where, after in gated:
                found = differences(before, after, version, tools_only=setting.tools_only)
                column.wrong |= {(where, step): text for step, text in found.items()}
            if version is not None:
                # Whoever has no token is refused before anybody looks where the server is.
                _ask_without(column, sides[1])


def _ask_without(column: Column, gated: _Side) -> None:
    """Come without a token, and with one that was made for somebody else."""
    for name, token in (_NO_TOKEN, None), (_WRONG_TOKEN, gated.token("https://other.example.com/mcp")):
        column.steps.append(name)
        outcomes = column.client.run(Task(gated.url, column.era, token, _FIRST))
        gated.keep(f"{column.title} {name}", outcomes)
        got_through = any("saw" in outcome for outcome in outcomes if outcome["step"] != "connect")
        if got_through or not any(_is_about_authorization(outcome) for outcome in outcomes):
            column.wrong[gated.name, name] = f"not refused for want of a token: {json.dumps(outcomes)}"


def _is_about_authorization(outcome: Mapping[str, Any]) -> bool:
    return outcome.get("status") == _UNAUTHORIZED or outcome.get("error", {}).get("code") == "auth_required"


@contextmanager
def _serving(where: Where, setting: Setting, python: Path, folder: Path) -> Generator[_Side]:
    """Serve an upstream while the block runs, behind a wire."""
    wire = Wire()
    with ExitStack() as stack:

        def start(python: str | Path, name: str, *options: str) -> int:
            return stack.enter_context(_started(python, folder / f"{name}.log", *options))

        def told(upstream: int | None = None) -> tuple[str, str]:
            """Write the policy of a gate, and return how the gate is told of it."""
            keys, file = folder / "jwks.json", folder / f"{where}.policy.json"
            keys.write_bytes(jwks("ES256"))
            audit = folder / f"{where}.audit.jsonl"
            made = policy(setting, wire.port, str(keys), str(audit), upstream)
            file.write_text(json.dumps(made, indent=2), "utf-8")
            return "--policy", str(file)

        match where:
            case "alone":
                port = start(python, where, setting.upstream)
            case "mounted":
                port = start(python, where, setting.upstream, *told())
            case "remote":
                upstream = start(python, f"{where}.upstream", setting.upstream)
                port = start(sys.executable, where, ELSEWHERE, *told(upstream))
        with wire.carrying(port):
            yield _Side(where, wire, folder)


@contextmanager
def _started(python: str | Path, log: Path, *options: str) -> Generator[int]:
    """Run a server while the block runs, and give the port that it listens on."""
    command = [str(python), "-P", "-m", "tests.clients.serve", *options]
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line.startswith("listening on "):
                process.wait(_STOP_LIMIT)
                raise UnusableError(f"{' '.join(options)} does not start:\n{log.read_text('utf-8')}")
            yield int(line.removeprefix("listening on "))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_LIMIT)
            process.kill()


def _table(name: str, columns: Sequence[Column]) -> str:
    steps = list(dict.fromkeys(["alone", *(step for column in columns for step in column.steps)]))
    steps += [step for column in columns for _, step in column.wrong if step not in steps]
    heads = "".join(f"  {number:>2}" for number in range(1, len(columns) + 1))
    lines = [f"\n{name}", *(f"  {n} {column.title}" for n, column in enumerate(columns, 1))]
    lines.append(f"{'':32}{heads}")
    for step in dict.fromkeys(steps):
        marks = "".join(f"  {_mark(column, step):>2}" for column in columns)
        lines.append(f"{step:32}{marks}")
    for column in columns:
        lines += [
            f"\n{column.title}, {where}, {step}:\n    {text.strip()}"
            for (where, step), text in column.wrong.items()
            if text != NOT_REACHED
        ]
    return "\n".join(lines) + "\n"


def _mark(column: Column, step: str) -> str:
    wrong = [text for (_, each), text in column.wrong.items() if each == step]
    if wrong:
        return ".." if set(wrong) == {NOT_REACHED} else "NO"
    return "ok" if step in column.steps or step == "alone" else "-"


if __name__ == "__main__":
    sys.exit(main())
