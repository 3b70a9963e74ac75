"""How findings are shown: lines for people, in colour on a terminal, or one JSON object for machines.

Specification: https://no-color.org
"""

import textwrap
from collections.abc import Callable, Mapping

import orjson
import typer

from tunnelgate_app.doctor.findings import Finding, Layer, Status, counted, is_ok
from tunnelgate_app.doctor.wording import Wording

_STATUS_COLUMNS = 9
_INDENT = "  "
_BELOW = _INDENT + " " * _STATUS_COLUMNS
_MIN_COLUMNS = 40
_COLOURS: Mapping[Status, str] = {
    Status.FINE: "green",
    Status.WRONG: "red",
    Status.WARNING: "yellow",
    Status.SKIPPED: "bright_black",
}

Write = Callable[[str], None]


class People:
    """Writes findings as lines, as soon as each is told.

    ``columns`` is the width of the terminal, or none where there is none and lines stay whole;
    ``colours`` says whether there are any.
    """

    def __init__(
        self, write: Write, wording: Wording, *, columns: int | None = None, colours: bool = False
    ) -> None:
        self._write = write
        self._wording = wording
        self._columns = None if columns is None else max(columns, _MIN_COLUMNS)
        self._colours = colours
        self._findings: list[Finding] = []
        self._layer: Layer | None = None

    def tell(self, finding: Finding) -> None:
        """Write what was tried and what came back, and below it what to do."""
        if finding.layer is not self._layer:
            self._layer = finding.layer
            self._write(typer.style(finding.layer, bold=True) if self._colours else str(finding.layer))
        self._findings.append(finding)
        tried, found, advice = map(self._wording.clean, (finding.tried, finding.found, finding.advice))
        first, *more = self._wrapped(f"{tried}: {found}")
        status = self._coloured(finding.status, f"{finding.status:<{_STATUS_COLUMNS}}")
        self._write(f"{_INDENT}{status}{first}")
        for line in (*more, *(self._wrapped(f"-> {advice}", "   ") if advice else ())):
            self._write(f"{_BELOW}{line}")

    def finish(self) -> bool:
        """Write how many findings there are of each status, and return whether nothing is wrong."""
        parts = [
            self._coloured(status, f"{count} {status}")
            for status, count in counted(self._findings).items()
            if count or status in (Status.FINE, Status.WRONG)
        ]
        self._write(", ".join(parts))
        return is_ok(self._findings)

    def _coloured(self, status: Status, text: str) -> str:
        return (
            typer.style(text, fg=_COLOURS[status], bold=status is Status.WRONG or None)
            if self._colours
            else text
        )

    def _wrapped(self, text: str, indent: str = "") -> list[str]:
        if self._columns is None:
            return [text]
        width = self._columns - len(_BELOW)
        return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


class Machines:
    """Writes one JSON object when all findings are told: ``ok``, and ``findings`` in their order."""

    def __init__(self, write: Write, wording: Wording) -> None:
        self._write = write
        self._wording = wording
        self._findings: list[Finding] = []

    def tell(self, finding: Finding) -> None:
        """Keep a finding."""
        self._findings.append(finding)

    def finish(self) -> bool:
        """Write the object, and return whether nothing is wrong."""
        ok = is_ok(self._findings)
        document = {"ok": ok, "findings": list(map(self._readable, self._findings))}
        self._write(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return ok

    def _readable(self, finding: Finding) -> dict[str, str]:
        texts = {"tried": finding.tried, "found": finding.found, "advice": finding.advice}
        cleaned = {name: self._wording.clean(text) for name, text in texts.items()}
        return {"layer": finding.layer, "status": finding.status, **cleaned}
