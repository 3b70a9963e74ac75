"""Fuzzes the readers: two at a time, each for a while, and says what came of it.

    scripts/fuzz                              every target, a minute each
    scripts/fuzz --seconds 600 message host   these two, ten minutes each
    scripts/fuzz --reproduce FILE host        check again what is in a file, without a fuzzer

What was found useful is kept below .state/fuzz/TARGET/corpus and goes on from there the next time.
Exit: 0 when no target failed, 1 when one did, 2 when used wrongly or atheris is not installed.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

from tests.fuzz.target import NAMES, load
from tests.fuzz.words import dictionary

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".state" / "fuzz"
AT_ONCE = 2
_SLOW = 5  # seconds that no input of a few kilobytes may take, even instrumented and on a busy machine
_GRACE = 120  # seconds to read the corpus at the start, and to end
_MEGABYTES = 1024
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s+(\d+)$", re.MULTILINE)
_RATE = re.compile(r"^stat::average_exec_per_sec:\s+(\d+)$", re.MULTILINE)
_PROGRESS = re.compile(r"^#(\d+)\s.*\bcorp: (\d+)/.*\bexec/s: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What came of fuzzing one target. ``crashes`` are the files with what it failed on."""

    target: str
    executions: int
    rate: int
    corpus: int
    crashes: tuple[Path, ...]
    is_finished: bool

    @property
    def result(self) -> str:
        """What the table says."""
        if self.crashes:
            return f"{len(self.crashes)} found"
        return "nothing found" if self.is_finished else "did not run to its end"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs (60)")
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="check what is in this file again")
    options = parser.parse_args(arguments)
    targets: list[str] = options.targets or list(NAMES)
    unknown = [name for name in targets if name not in NAMES]
    if unknown or options.seconds < 1:
        parser.error(f"no such target: {', '.join(unknown)}" if unknown else "a second is the least")
    if options.reproduce is not None:
        if len(targets) != 1 or not options.reproduce.is_file():
            parser.error("--reproduce needs a file and its one target")
        return _reproduce(targets[0], options.reproduce)
    if find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed; it exists for Linux on x86-64.\n")
        return 2
    commands = [_prepare(name, options.seconds) for name in targets]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(_fuzz, targets, commands, repeat(options.seconds)))
    sys.stdout.write(report(outcomes))
    return int(any(outcome.crashes or not outcome.is_finished for outcome in outcomes))


def read_outcome(target: str, log: str, status: int, crashes: Sequence[Path]) -> Outcome:
    """Return what a run of libFuzzer says of itself in its log; a failing run may leave no statistics."""
    progress = _PROGRESS.findall(log)
    executions, corpus, rate = map(int, progress[-1]) if progress else (0, 0, 0)
    counted, measured = _EXECUTIONS.search(log), _RATE.search(log)
    return Outcome(
        target,
        int(counted[1]) if counted else executions,
        int(measured[1]) if measured else rate,
        corpus,
        tuple(crashes),
        is_finished=status == 0 and executions > 0,
    )


def report(outcomes: Sequence[Outcome]) -> str:
    """Return the table, and below it how to see again what was found."""
    lines = [f"{'target':16}{'executions':>12}{'exec/s':>9}{'corpus':>8}  result"]
    lines += [
        f"{each.target:16}{each.executions:>12}{each.rate:>9}{each.corpus:>8}  {each.result}"
        for each in outcomes
    ]
    for each in outcomes:
        lines += [f"scripts/fuzz --reproduce {_shown(crash)} {each.target}" for crash in each.crashes]
        if not each.crashes and not each.is_finished:
            lines.append(f"see {_shown(STATE / each.target / 'log')}")
    return "".join(f"{line}\n" for line in lines)


def _prepare(name: str, seconds: int) -> list[str]:
    """Write down what the fuzzer begins with, and return the command that runs it."""
    target = load(name)
    folder = STATE / name
    for each in ("found", "corpus", "seeds"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (folder / "seeds" / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    (folder / "words").write_text(dictionary(), "ascii")
    return [
        *(sys.executable, "-P", "-m", "tests.fuzz.run_one", name),
        *(f"-max_total_time={seconds}", f"-timeout={_SLOW}", f"-rss_limit_mb={_MEGABYTES}"),
        *(
            f"-max_len={target.MAX_LENGTH}",
            f"-dict={folder / 'words'}",
            f"-artifact_prefix={folder / 'found'}/",
        ),
        *("-print_final_stats=1", str(folder / "corpus"), str(folder / "seeds")),
    ]


def _fuzz(name: str, command: Sequence[str], seconds: int) -> Outcome:
    found, log = STATE / name / "found", STATE / name / "log"
    before = set(found.iterdir())
    sys.stderr.write(f"fuzzing {name} for {seconds} s\n")
    with log.open("wb") as output:
        status = _wait(command, output.fileno(), seconds + _GRACE)
    crashes = sorted(set(found.iterdir()) - before)
    return read_outcome(name, log.read_text("utf-8", "replace"), status, crashes)


def _wait(command: Sequence[str], output: int, seconds: int) -> int:
    try:
        ran = subprocess.run(command, stdout=output, stderr=output, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 1
    return ran.returncode


def _reproduce(name: str, file: Path) -> int:
    data = file.read_bytes()
    sys.stdout.write(f"{data!r}\n")
    sys.stdout.flush()
    load(name).check(data)  # its traceback is the answer, and makes Python exit with 1
    sys.stdout.write("nothing wrong with it\n")
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
