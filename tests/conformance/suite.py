"""Runs the official conformance programs against an MCP server, or compares two of their results.

    scripts/conformance                                 the fixtures alone, and then through the gate
    scripts/conformance --run 2026-07-28                the same with one of the runs
    scripts/conformance --url http://127.0.0.1:8080/mcp --results DIR
    scripts/conformance --compare DIR/results.json OTHER/results.json

Without --url the fixtures are asked four times: alone, through the gate on its strict parser, through
the gate on h11, and through the gate with the fixtures as a remote server in a process of its own;
every check has to end the same way in all four, whichever way that is.
The programs are installed with npm below .state/, from package-lock.json, hashes checked.
Exit: 0 when nothing differs and every run checked something; 1 when not; 2 when used wrongly.
"""

import argparse
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.conformance.results import (
    Run,
    Runs,
    differences,
    read,
    read_checks,
    side_by_side,
    table,
    write,
)
from tests.support import npm
from tests.support.npm import UnusableError

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".state" / "conformance"
RUNS = {
    "2026-07-28": ("conformance-0.2", "--requirements", "2026-07-28"),
    "2025-11-25": ("conformance-0.2", "--requirements", "2025-11-25"),
    "all": ("conformance-0.2", "--suite", "all"),
    "all-0.1": ("conformance-0.1", "--suite", "all"),
}
_TIME_LIMIT = 600  # seconds for one run against somebody's server
_FIXTURE_TIME_LIMIT = 60  # against ours it takes about ten, where nobody waits in vain
_TIME_LIMIT_OF_ALL = 180  # for all runs against ours


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="the server to ask; without it the fixtures are, alone and gated")
    parser.add_argument("--results", type=Path, default=STATE / "results", help="the folder to write to")
    parser.add_argument("--run", choices=RUNS, action="append", help="only this one; may be repeated")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="JSON", help="compare two results.json")
    options = parser.parse_args(arguments)
    try:
        if options.compare:
            return _compare(*options.compare)
        names = options.run or list(RUNS)
        if options.url is None:
            return _ask_fixtures(names, options.results)
        return _ask(options.url, names, options.results)
    except UnusableError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2


def _compare(before: Path, after: Path) -> int:
    try:
        lines = differences(read(before), read(after))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise UnusableError(f"These are not two results: {fault!r}") from None
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Every check ended the same way in both.\n")
    return int(bool(lines))


def _ask(url: str, names: Sequence[str], results: Path) -> int:
    """Ask one server, which others run."""
    runs = _Programs().run(url, names, results)
    sys.stdout.write(table(runs))
    return int(bool(_empty(runs)))


def _ask_fixtures(names: Sequence[str], results: Path) -> int:
    """Ask the fixtures alone and through the gate, and compare the results."""
    programs = _Programs()
    until = time.monotonic() + _TIME_LIMIT_OF_ALL
    asked: dict[str, Runs] = {}
    for name, serve in _SERVED.items():
        folder = results / name
        folder.mkdir(parents=True, exist_ok=True)
        with serve(folder) as url:
            asked[name] = programs.run(url, names, folder, _FIXTURE_TIME_LIMIT, until)
    return report(asked)


def report(asked: Mapping[str, Runs]) -> int:
    """Show the results of several servers and where they differ from the first's; return the exit status."""
    sys.stdout.write(side_by_side(asked))
    (first, before), *others = asked.items()
    status = 0
    for name, runs in others:
        lines = differences(before, runs)
        sys.stdout.write(f"\n{first} -> {name}: {'differs' if lines else 'every check ended the same way'}\n")
        sys.stdout.write("".join(f"  {line}\n" for line in lines))
        status |= bool(lines)
    for name, runs in asked.items():
        empty = _empty(runs)
        sys.stdout.write("".join(f"\n{name}: {run} checked nothing\n" for run in empty))
        status |= bool(empty)
    return status


def _empty(runs: Runs) -> list[str]:
    return [name for name, run in runs.items() if not run.checks]


class _Programs:
    """The conformance programs, installed."""

    def __init__(self) -> None:
        self._folder = npm.install(Path(__file__).parent, STATE)
        self._node = npm.NODE

    def run(
        self,
        url: str,
        names: Sequence[str],
        results: Path,
        limit: float = _TIME_LIMIT,
        until: float = math.inf,
    ) -> dict[str, Run]:
        """Run the named ones against ``url``, one after the other, and write down what they found."""
        runs: dict[str, Run] = {}
        for name in names:
            runs[name] = self._run(url, name, results, min(limit, until - time.monotonic()))
        write(results / "results.json", url, runs)
        return runs

    def _run(self, url: str, name: str, results: Path, limit: float) -> Run:
        """Run one program for ``limit`` seconds at most; its output and its results stay in ``results``."""
        program, *arguments = RUNS[name]
        folder = results / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        script = self._folder / program / "dist" / "index.js"
        command = [str(self._node), str(script), "server", "--url", url, *arguments, "-o", str(folder)]
        transcript = results / f"{name}.txt"
        started = time.monotonic()
        with transcript.open("w", encoding="utf-8") as output:
            try:
                status = subprocess.run(
                    command,
                    env={"PATH": os.environ.get("PATH", ""), "NO_COLOR": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=limit,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                sys.stderr.write(f"{name} was ended after {max(limit, 0):.0f} seconds\n")
                status = -signal.SIGKILL
        seconds = round(time.monotonic() - started, 1)
        said = " ".join([program, "server", *arguments])
        return Run(said, status, seconds, read_checks(folder, transcript.read_text("utf-8")))


@contextmanager
def _alone(folder: Path) -> Generator[str]:
    """Serve the fixtures while the block runs, and give their URL."""
    with _started("tests.conformance.everything") as fixtures:
        yield _url(_line(fixtures))


def _gated(parser: str) -> Callable[[Path], AbstractContextManager[str]]:
    """Return what serves the fixtures in a gate that reads requests with ``parser``."""
    return lambda folder: _through_gate(folder, "--http", parser)


@contextmanager
def _remote(folder: Path) -> Generator[str]:
    """Serve the fixtures as they are alone, to a gate that has them as an upstream."""
    with _alone(folder) as url:
        upstream = urlsplit(url)._replace(path="").geturl()
        with _through_gate(folder, "--upstream", upstream) as through:
            yield through


@contextmanager
def _through_gate(folder: Path, *options: str) -> Generator[str]:
    audit = folder.resolve() / "audit.jsonl"
    audit.unlink(missing_ok=True)
    with _started("tests.conformance.gate", "--audit", str(audit), *options) as gate:
        url = urlsplit(_url(_line(gate)))
        _, _, *forwarder = shlex.split(_line(gate))
        _check_closed(url.netloc, url.path, forwarder[forwarder.index("--host") + 1])
        with _started(*forwarder) as forwarding:
            yield _url(_line(forwarding)) + url.path


_SERVED: Mapping[str, Callable[[Path], AbstractContextManager[str]]] = {
    "alone": _alone,
    "strict": _gated("strict"),
    "h11": _gated("h11"),
    "remote": _remote,
}


def _check_closed(address: str, path: str, host: str) -> None:
    """Make sure that there is a gate: without one every check would end the same way as well."""
    with closing(HTTPConnection(address, timeout=10)) as connection:
        connection.request("POST", path, headers={"Host": host})
        if connection.getresponse().status != HTTPStatus.UNAUTHORIZED:
            raise UnusableError("The gate does not ask for a token.")


@contextmanager
def _started(*module: str) -> Generator["subprocess.Popen[str]"]:
    """Run a module of ours, with its arguments, while the block runs."""
    command = [sys.executable, "-m", *module]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: "subprocess.Popen[str]") -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise UnusableError("The fixtures could not be served.")
    return line.strip()


def _url(line: str) -> str:
    """Return the URL in what a server says when it listens."""
    return next(word for word in line.split() if word.startswith("http://"))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with this program
    sys.exit(main())
