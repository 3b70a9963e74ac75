"""`tunnelgate doctor` as a person runs it: what it prints, and what its exit code is."""

import os
import pty
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from tests.app.doctor.examined import Elsewhere, Plan, elsewhere, plan, server, standing, token
from tests.app.doctor.fakes import Cloudflared
from tests.support.certificates import Authority
from tests.support.demos import prepare_docs_alone
from tests.support.listing import tool
from tests.support.processes import SCRIPTS, environment, free_port, running
from tunnelgate_app.cli import app

COMMAND = str(SCRIPTS / "tunnelgate")
LIMIT = 60


@pytest.fixture(scope="module")
def others() -> Generator[Elsewhere]:
    with elsewhere() as there:
        yield there


def doctor(
    home: Path, *options: str, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, "doctor", *options],
        env=environment(home, **(variables or {})),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def in_this_process(*options: str) -> Result:
    """Run the doctor without a program of its own, which takes its time to start."""
    return CliRunner().invoke(app, ["doctor", *options])


def lines_of(printed: str, status: str) -> list[str]:
    return [line.strip() for line in printed.splitlines() if line.startswith(f"  {status}")]


def test_of_a_gate_that_is_healthy_every_line_is_fine_and_the_exit_code_is_0(
    tmp_path: Path, others: Elsewhere
) -> None:
    secret = token()
    (tmp_path / "token").write_text(f"{secret}\n")
    with standing(plan(tmp_path), others) as there:
        done = doctor(
            tmp_path,
            *("--config", str(there.config), "--connector-metrics", there.connector),
            *("--token-file", "token", "--offline"),
        )

    assert (done.returncode, done.stderr) == (0, "")
    assert lines_of(done.stdout, "wrong") == lines_of(done.stdout, "warning") == []
    assert lines_of(done.stdout, "skipped") == [
        "skipped  reach the edge and the API: left out, because of --offline"
    ]
    assert "\x1b" not in done.stdout
    assert secret not in done.stdout
    assert done.stdout.splitlines()[-1] == "21 fine, 0 wrong, 1 skipped"


def three_faults(there: Plan) -> None:
    there.credential = Authority("Another CA").issue_for_server("docs.example.net")
    there.upstream = server(tool("search"))
    there.cloudflared = Cloudflared(connections=0)


def test_three_planted_faults_are_found_with_what_to_do_and_the_exit_code_is_1(
    tmp_path: Path, others: Elsewhere
) -> None:
    sick = plan(tmp_path)
    three_faults(sick)
    with standing(sick, others) as there:
        options = ("--config", str(there.config), "--connector-metrics", there.connector, "--offline")
        for_people = in_this_process(*options)
        for_machines = doctor(tmp_path, *options, "--json")

    wrong = lines_of(for_people.stdout, "wrong")
    assert (for_people.exit_code, for_machines.returncode) == (1, 1)
    assert any("has no connection to the edge" in line for line in wrong)
    assert any("tls handshake failed, unknown certificate authority" in line for line in wrong)
    assert any("list: the server has no such tool any more" in line for line in wrong)
    assert for_people.stdout.count("-> ") >= len(wrong)
    said = orjson.loads(for_machines.stdout)
    assert said["ok"] is False
    found = [each for each in said["findings"] if each["status"] == "wrong"]
    assert len(found) == len(wrong)
    assert all(each["advice"] for each in found)
    assert for_machines.stderr == ""


def test_on_a_terminal_there_are_colours_and_lines_fit_unless_nobody_wants_colours(tmp_path: Path) -> None:
    (tmp_path / "tunnelgate.yaml").write_text("{}")
    options = ("--offline", "--connector-metrics", "http://127.0.0.1:1")

    coloured = on_a_terminal(tmp_path, *options)
    plain = on_a_terminal(tmp_path, *options, NO_COLOR="1")

    assert "\x1b[31m" in coloured
    assert "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 60


def on_a_terminal(home: Path, *options: str, **variables: str) -> str:
    """Run the doctor where its output is a terminal of 60 columns, and return what it printed there."""
    inside, outside = pty.openpty()
    env = environment(home, COLUMNS="60", TERM="xterm", **variables)
    with subprocess.Popen(
        [COMMAND, "doctor", *options], env=env, cwd=home, stdout=outside, stderr=outside
    ) as process:
        os.close(outside)
        printed = b""
        try:
            while part := os.read(inside, 65536):
                printed += part
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(inside)
            process.wait(LIMIT)
    return printed.decode().replace("\r\n", "\n")


def test_without_the_extra_the_sentence_names_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['mcp'] = None\n"
        "from tunnelgate_app.__main__ import main\n"
        "sys.argv = ['tunnelgate', 'doctor']\n"
        "main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.strip() == "the doctor needs mcp: pip install 'tunnelgate[admin]'"


def test_of_the_demo_nothing_is_wrong(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "tunnels.md").write_text("# Tunnels\n\nThey carry bytes.\n")
    config = prepare_docs_alone(tmp_path / "state", free_port(), documents)
    with running([COMMAND, "serve", "--config", str(config)], environment(tmp_path), cwd=tmp_path):
        printed = CliRunner().invoke(app, ["token", "--route", "docs", "--state", str(tmp_path / "state")])
        (tmp_path / "token").write_text(printed.stdout)
        options = ("--config", str(config), "--offline", "--timeout", "20s")
        done = in_this_process(*options, "--token-file", str(tmp_path / "token"))

    assert done.exit_code == 0, done.stdout
    assert lines_of(done.stdout, "wrong") == []
    assert "docs: tools that nobody listed: reindex_docs" in done.stdout
    assert "docs: call list_docs {} through the gate" in done.stdout
    assert printed.stdout.strip() not in done.stdout
