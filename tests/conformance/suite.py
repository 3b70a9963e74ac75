"""Runs the official conformance programs against an MCP server, or compares two of their results.

    scripts/conformance                                 the fixtures, with nothing in front of them
    scripts/conformance --url http://127.0.0.1:8080/mcp --results DIR
    scripts/conformance --compare DIR/results.json OTHER/results.json

The programs are installed with npm below .state/, from package-lock.json, hashes checked.
Exit: 0 when every program ran to its end, or nothing differs; 1 when not; 2 when used wrongly.
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.conformance.results import Run, differences, read, read_checks, table, write

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".state" / "conformance"
NODE_MAJOR = 22
RUNS = {
    "2026-07-28": ("conformance-0.2", "--requirements", "2026-07-28"),
    "2025-11-25": ("conformance-0.2", "--requirements", "2025-11-25"),
    "all": ("conformance-0.2", "--suite", "all"),
    "all-0.1": ("conformance-0.1", "--suite", "all"),
}
_PINS = ("package.json", "package-lock.json", ".npmrc")
_TIME_LIMIT = 600


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="conformance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="the server to ask; without it the fixtures are served and asked")
    parser.add_argument("--results", type=Path, default=STATE / "results", help="the folder to write to")
    parser.add_argument("--run", choices=RUNS, action="append", help="only this one; may be repeated")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="JSON", help="compare two results.json")
    options = parser.parse_args(arguments)
    try:
        if options.compare:
            return _compare(*options.compare)
        return _ask(options.url, options.run or list(RUNS), options.results)
    except _UnusableError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2


class _UnusableError(Exception):
    """Something that this program needs is not there."""


def _compare(before: Path, after: Path) -> int:
    try:
        lines = differences(read(before), read(after))
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise _UnusableError(f"These are not two results: {fault!r}") from None
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "Every check ended the same way in both.\n")
    return int(bool(lines))


def _ask(url: str | None, names: Sequence[str], results: Path) -> int:
    programs = _install()
    node = _node(programs)
    with _fixtures() if url is None else nullcontext(url) as asked:
        runs = {name: _run(node, programs, asked, name, results) for name in names}
        write(results / "results.json", asked, runs)
    sys.stdout.write(table(runs))
    return int(any(not run.checks for run in runs.values()))


def _install() -> Path:
    """Install the pinned programs, unless they are there, and return their folder."""
    pins = {name: (Path(__file__).parent / name).read_bytes() for name in _PINS}
    folder = STATE / hashlib.sha256(b"\0".join(pins.values())).hexdigest()[:12]
    done = folder / ".installed"
    if done.exists():
        return folder / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise _UnusableError("npm is needed once, to install the conformance programs.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pins.items():
        (folder / name).write_bytes(content)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False).returncode:
        raise _UnusableError("npm could not install the conformance programs.")
    done.touch()
    return folder / "node_modules"


def _node(programs: Path) -> Path:
    """Return the installed Node, or one on the path where there is none for this machine."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    installed = programs / f"node-{sys.platform}-{machine}" / "bin" / "node"
    if installed.exists():
        return installed
    found = shutil.which("node")
    if found is not None:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        if version.startswith("v") and int(version[1:].split(".")[0]) >= NODE_MAJOR:
            return Path(found)
    raise _UnusableError(f"There is no Node for this machine to install; put Node {NODE_MAJOR} on the path.")


def _run(node: Path, programs: Path, url: str, name: str, results: Path) -> Run:
    """Run one program to its end; its output and its results stay in ``results``."""
    program, *arguments = RUNS[name]
    folder = results / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = programs / program / "dist" / "index.js"
    started = time.monotonic()
    ended = subprocess.run(
        [str(node), str(script), "server", "--url", url, *arguments, "-o", str(folder)],
        env={"PATH": os.environ.get("PATH", ""), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIME_LIMIT,
        check=False,
    )
    seconds = round(time.monotonic() - started, 1)
    (results / f"{name}.txt").write_text(ended.stdout, "utf-8")
    said = " ".join([program, "server", *arguments])
    return Run(said, ended.returncode, seconds, read_checks(folder, ended.stdout))


@contextmanager
def _fixtures() -> Generator[str]:
    """Serve the fixtures while the block runs, and give their URL."""
    command = [sys.executable, "-m", "tests.conformance.everything"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                raise _UnusableError("The fixtures could not be served.")
            yield line.removeprefix("listening on ").strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
