"""Sends the official clients to servers with and without the gate, and shows where they see a difference.

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from tests.clients import inspector
from tests.clients.clients import ROOT, STATE, Client, Outcomes, Task, environment, install
from tests.clients.comparing import NOT_REACHED, differences, faults_alone
from tests.clients.plan import SCOPE, SETTINGS, VERSIONS, Era, Setting, policy
from tests.clients.wire import Wire
from tests.support.npm import UnusableError
from tests.support.tokens import Token, jwks

RESULTS = STATE / "results"
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
    """One client in one era, and what is wrong at which of its steps."""

    client: Client
    era: Era
    steps: list[str]
    wrong: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def title(self) -> str:
        return f"{self.client.name} {self.era}"


@dataclass(frozen=True)
class _Side:
    """A server that runs, and the wire that leads to it."""

    name: str
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
    with (
        _serving(setting, python, folder, gated=False) as alone,
        _serving(setting, python, folder, gated=True) as gated,
        ThreadPoolExecutor(2) as both,
    ):
        for column in columns:
            era = setting.era_of(column.era)
            version = VERSIONS[era] if era in setting.eras else None
            tasks = [
                Task(alone.url, column.era, None, column.steps),
                Task(gated.url, column.era, gated.token(), column.steps),
            ]
            before, after = both.map(column.client.run, tasks)
            before, after = alone.keep(column.title, before), gated.keep(column.title, after)
            if faults := faults_alone(before, column.steps, version):
                column.wrong["alone"] = "\n    ".join(faults)
            column.wrong |= differences(before, after, version, tools_only=setting.tools_only)
            if version is not None:
                _ask_without(column, gated)


def _ask_without(column: Column, gated: _Side) -> None:
    """Come without a token, and with one that was made for somebody else."""
    for name, token in (_NO_TOKEN, None), (_WRONG_TOKEN, gated.token("https://other.example.com/mcp")):
        column.steps.append(name)
        outcomes = column.client.run(Task(gated.url, column.era, token, _FIRST))
        gated.keep(f"{column.title} {name}", outcomes)
        got_through = any("saw" in outcome for outcome in outcomes if outcome["step"] != "connect")
        if got_through or not any(_is_about_authorization(outcome) for outcome in outcomes):
            column.wrong[name] = f"not refused for want of a token: {json.dumps(outcomes)}"


def _is_about_authorization(outcome: Mapping[str, Any]) -> bool:
    return outcome.get("status") == _UNAUTHORIZED or outcome.get("error", {}).get("code") == "auth_required"


@contextmanager
def _serving(setting: Setting, python: Path, folder: Path, *, gated: bool) -> Generator[_Side]:
    """Serve an upstream while the block runs, behind a wire."""
    name = "gated" if gated else "alone"
    wire = Wire()
    command = [str(python), "-P", "-m", "tests.clients.serve", setting.upstream]
    if gated:
        keys = folder / "jwks.json"
        keys.write_bytes(jwks("ES256"))
        told = folder / "policy.json"
        told.write_text(
            json.dumps(policy(setting, wire.port, str(keys), str(folder / "audit.jsonl")), indent=2), "utf-8"
        )
        command += ["--policy", str(told)]
    log = folder / f"{name}.log"
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
                raise UnusableError(
                    f"The {setting.upstream} server does not start {name}:\n{log.read_text('utf-8')}"
                )
            with wire.carrying(int(line.removeprefix("listening on "))):
                yield _Side(name, wire, folder)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_LIMIT)
            process.kill()


def _table(name: str, columns: Sequence[Column]) -> str:
    steps = list(dict.fromkeys(["alone", *(step for column in columns for step in column.steps)]))
    steps += [step for column in columns for step in column.wrong if step not in steps]
    heads = "".join(f"  {number:>2}" for number in range(1, len(columns) + 1))
    lines = [f"\n{name}", *(f"  {n} {column.title}" for n, column in enumerate(columns, 1))]
    lines.append(f"{'':32}{heads}")
    for step in dict.fromkeys(steps):
        marks = "".join(f"  {_mark(column, step):>2}" for column in columns)
        lines.append(f"{step:32}{marks}")
    for column in columns:
        lines += [
            f"\n{column.title}, {step}:\n    {text.strip()}"
            for step, text in column.wrong.items()
            if text != NOT_REACHED
        ]
    return "\n".join(lines) + "\n"


def _mark(column: Column, step: str) -> str:
    if step in column.wrong:
        return ".." if column.wrong[step] == NOT_REACHED else "NO"
    return "ok" if step in column.steps or step == "alone" else "-"


if __name__ == "__main__":
    sys.exit(main())
