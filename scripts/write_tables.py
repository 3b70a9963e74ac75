"""Writes the tables of the documentation that the code already holds; `--check` only compares."""

import sys
from pathlib import Path

from tunnelgate.refusal import ANSWERS
from tunnelgate.verdict import Reason

REFUSALS = Path(__file__).parent.parent / "docs" / "refusals.md"
HEADER = "| reason | status | error | code |\n|---|---|---|---|\n"


def refusals() -> str:
    """Return the table of reasons and their answers."""
    rows: list[str] = []
    for reason in Reason:
        answer = ANSWERS[reason]
        status = (
            f"{answer.status}"
            if answer.modern_status is None
            else f"{answer.status}, {answer.modern_status} in 2026-07-28"
        )
        code = "" if answer.code is None else f"{answer.code}"
        rows.append(f"| `{reason}` | {status} | `{answer.error}` | {code} |\n")
    return HEADER + "".join(rows)


def main() -> int:
    """Write, or with `--check` return 1 when something would change."""
    text = REFUSALS.read_text("utf-8")
    written = text[: text.index(HEADER)] + refusals()
    if "--check" in sys.argv:
        return int(written != text)
    REFUSALS.write_text(written, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
