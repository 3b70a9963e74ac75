"""What the runbook tells people to type is there to be typed, and what it says they will read is said."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.commands import check_command
from tests.deploy.composing import services
from tunnelgate import Reason
from tunnelgate.refusal import ANSWERS
from tunnelgate_app.cli import app

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = ROOT / "docs" / "runbook.md"
PAGES = [RUNBOOK, ROOT / "deploy" / "README.md"]
SOURCES = [
    path.read_text("utf-8")
    for folder in ("middleware", "app")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
# What cloudflared and Anthropic's proxy write, and not the gate.
OF_OTHERS = {
    "Registered tunnel connection",
    "Unable to reach the origin service",
    "No ingress rules were defined",
    "Provided Tunnel token is not valid.",
    "failed to sufficiently increase receive buffer size",
    "no route for host",
    "open /data/tls.key: permission denied",
    "Connection refused",
}


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of ours in a block, with where it stands, and what is behind the program's name."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"^ *```\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line.partition("&&")[2] or line)
                while words and words[0] in ("sudo", "-E"):
                    words = words[1:]
                if words[:3] == ["docker", "compose", "run"]:
                    yield f"{page.name}: {line.strip()}", within_container(words[3:])
                elif words and words[0].rpartition("/")[2] == "tunnelgate":
                    yield f"{page.name}: {line.strip()}", words[1:]


def within_container(words: list[str]) -> list[str]:
    """Return what is behind the program's name in a container that these words of Compose run."""
    position = next(i for i, word in enumerate(words) if word in services())
    options = {word for word in words[:position] if word.startswith("-")}
    assert options <= {"--rm", "--no-deps", "-T", "--volume"}
    entrypoint = services()[words[position]].get("entrypoint", ["tunnelgate"])
    behind = words[position + 1 :]
    return [*entrypoint[1:], *(behind[: behind.index(">")] if ">" in behind else behind)]


COMMANDS = list(commands())
DIFFERENT = dict(COMMANDS)


def table_rows() -> list[list[str]]:
    """Return the rows of the table of troubles."""
    text = RUNBOOK.read_text("utf-8")
    section = text[text.index("## When something does not work") :]
    rows = [re.split(r" ?(?<!\\)\| ?", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_runbook_shows_every_step_by_a_command() -> None:
    shown = {" ".join(words[: 2 if words[0] in ("tunnel", "certs") else 1]) for _, words in COMMANDS}

    assert shown >= {
        "tunnel create",
        "tunnel add-ca",
        "tunnel rotate-token",
        "tunnel archive",
        "tunnel archive-ca",
        "certs init",
        "certs renew",
        "certs rotate-ca",
        "import",
        "check",
        "doctor",
        "connector",
    }


@pytest.mark.parametrize("place", DIFFERENT)
def test_a_command_is_one_that_there_is_with_these_options(place: str) -> None:
    check_command(app, DIFFERENT[place])


def test_the_next_ca_signs_after_the_tunnel_knows_it_and_the_old_one_goes_last() -> None:
    order = [" ".join(words) for _, words in COMMANDS if "-ca" in " ".join(words)]
    steps = [
        "rotate-ca --output",
        "add-ca data/ca-next.crt",
        "rotate-ca --sign",
        "archive-ca",
        "rotate-ca --finish",
    ]

    places = [next(i for i, line in enumerate(order) if step in line) for step in steps]
    assert places == sorted(places)


def test_each_word_in_a_table_is_a_reason_an_error_or_something_that_a_program_writes() -> None:
    reasons = {str(reason) for reason in Reason}
    errors = {answer.error for answer in ANSWERS.values()}
    unknown = [
        quoted
        for row in table_rows()
        for cell in row[:2]
        for quoted in re.findall(r"`([^`]+)`", cell)
        if quoted not in reasons | errors | OF_OTHERS and not is_typed(quoted) and not is_written(quoted)
    ]

    assert unknown == []


def is_typed(quoted: str) -> bool:
    """Return whether this is nothing that a program says, but something that people or clients write."""
    return quoted in ("tunnel create", "tunnel …", "peer", "Host", "/mcp", "host.docker.internal")


def is_written(quoted: str) -> bool:
    """Return whether the gate says this, all of whose parts it has somewhere."""
    return all(any(part in source for source in SOURCES) for part in quoted.split(": "))


def test_every_word_of_the_failures_of_tls_is_one_that_the_gate_writes() -> None:
    text = RUNBOOK.read_text("utf-8")
    alerts = re.findall(r"tls handshake failed: remote error: tls: ([a-z ]+)", text)

    assert set(alerts) == {"unknown certificate authority", "bad certificate"}
    words = next(source for source in SOURCES if '"UNKNOWN_CA"' in source)
    assert all(f'"{alert}"' in words for alert in alerts)


def test_each_row_of_the_table_of_troubles_says_what_to_do() -> None:
    rows = table_rows()

    assert len(rows) > 20
    assert [row for row in rows if len(row) != 4 or not row[0] or not row[3]] == []


def test_a_breach_is_answered_in_the_order_that_stops_it_first() -> None:
    text = RUNBOOK.read_text("utf-8")
    response = text[text.index("## Incident response") : text.index("## When something does not work")]
    steps = [
        " ".join(re.findall(r"\w+", line)[1:2]) for line in re.findall(r"^\d\. .+$", response, re.MULTILINE)
    ]

    assert steps == ["Stop", "Detach", "Archive", "Tell", "Rotate", "Read", "Begin"]
    assert "docker compose down --timeout 0" in response


def test_the_pilot_table_names_reasons_that_there_are() -> None:
    text = RUNBOOK.read_text("utf-8")
    table = text[text.index("### 8. Before a pilot") : text.index("## Routine")]
    named = set(re.findall(r"records? says? `([a-z-]+)`", table)) - {"allow"}

    assert named
    assert named <= {str(reason) for reason in Reason}
