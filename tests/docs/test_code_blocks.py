"""Every code block of the README and the documentation runs, and prints what it says it prints."""

import asyncio
import os
import re
import shlex
import subprocess
from collections.abc import Generator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import yaml

from tests.docs.blocks import PAGES, ROOT, Block, blocks, matches, shell_commands
from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tests.support.processes import READY, SCRIPTS, environment, free_port, running
from tests.support.tokens import Token, jwks
from tunnelgate import Policy, Sealer, StaticKeys, protect
from tunnelgate.asgi import Scope
from tunnelgate_servers.commands.options import read_options
from tunnelgate_servers.deploy_status.records import read_release

SHOWN_PORT = "8080"
# What each server says when it listens; uvicorn starts the application before it does.
SERVERS = {"tunnelgate serve": READY, "uvicorn ": "Uvicorn running on"}
README_YAML = next(block.text for block in blocks("yaml") if block.page.name == "README.md")
SHELL_LINES = [line for block in blocks("sh") for line in block.text.splitlines()]
SERVER_COMMAND = ".venv/bin/tunnelgate-servers "
SERVER_LINES = sorted({line for line in SHELL_LINES if line.startswith(SERVER_COMMAND)})
SERVER_BLOCKS = [
    block
    for block in blocks("yaml")
    if any(f"--config {block.file}" in line for line in SERVER_LINES) and block.file
]
RECORD_BLOCKS = [block for block in blocks("yaml") if block.file.startswith("releases/")]
POLICY_BLOCKS = [block for block in blocks("yaml") if block not in (*SERVER_BLOCKS, *RECORD_BLOCKS)]
# Those with the name of a file are a server, which test_write_a_server.py builds and runs.
PYTHON_BLOCKS = [block for block in blocks("python") if not block.file]
PYTHON_PAGES = sorted({block.page for block in PYTHON_BLOCKS})


def place_of(block: Block) -> str:
    return block.place


def run(command: list[str], env: Mapping[str, str], cwd: Path) -> str:
    """Run a command to its end and return all that it printed."""
    done = subprocess.run(
        command,
        env=dict(env),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_every_block_is_in_a_language_that_these_tests_run() -> None:
    lines = [line for page in PAGES for line in page.read_text("utf-8").splitlines()]
    fences = {line for line in lines if line.startswith("```")}

    assert fences <= {"```", "```console", "```http", "```python", "```sh", "```yaml"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[int, Path]]:
    """Run the demo as a person would, with a home of its own."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    with running([str(SCRIPTS / "tunnelgate"), "demo", "--port", str(port)], environment(home)):
        yield port, home


@pytest.mark.parametrize("block", [*blocks("console")], ids=place_of)
def test_what_a_console_block_shows_is_what_is_printed(block: Block, demo: tuple[int, Path]) -> None:
    port, home = demo
    script: list[str] = []
    for command, shown in shell_commands(block.text):
        script.append(command.replace(SHOWN_PORT, str(port)).replace(".venv/bin/", f"{SCRIPTS}{os.sep}"))
        printed = run(["sh", "-c", "\n".join(script)], environment(home), ROOT)

        assert matches(shown, printed), f"{command}\nshown:\n{shown}\nprinted:\n{printed}"


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=[page.name for page in PYTHON_PAGES])
def test_the_python_blocks_of_a_page_run_in_their_order(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spy = Spy()
    names: dict[str, Any] = {"my_mcp_app": spy}

    for block in PYTHON_BLOCKS:
        if block.page == page:
            exec(compile(block.text, block.place, "exec"), names)

    scope = http_scope(headers=[("host", "docs.example.com")], client=("10.1.2.3", 5))
    reply = asyncio.run(call(names["app"], scope))
    assert (reply.status, reply.json()) == (401, {"error": "token_required"})
    assert spy.scopes == []


@pytest.mark.parametrize("block", POLICY_BLOCKS, ids=place_of)
def test_a_yaml_block_is_a_policy_without_a_fault(block: Block) -> None:
    policy = Policy.from_mapping(yaml.safe_load(block.text), block.place)

    assert policy.routes


@pytest.mark.parametrize("block", SERVER_BLOCKS, ids=place_of)
def test_the_file_of_a_server_is_one_without_a_fault(block: Block, tmp_path: Path) -> None:
    file = tmp_path / block.file
    file.write_text(block.text, "utf-8")
    (server,) = {words[2] for words in map(str.split, SERVER_LINES) if words[-1] == block.file}

    assert read_options(server, file).given["resource"] == "http://127.0.0.1:9001/mcp"


@pytest.mark.parametrize("block", RECORD_BLOCKS, ids=place_of)
def test_a_release_record_is_read_where_it_is_said_to_lie(block: Block) -> None:
    release = read_release(block.file.removeprefix("releases/"), block.text.encode())

    assert release.record.kind == "hotfix"


@pytest.mark.parametrize("line", SERVER_LINES)
def test_a_line_of_the_command_of_the_servers_does_what_it_says(line: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes.\n", "utf-8")
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    port = free_port()
    for block in SERVER_BLOCKS:
        text = block.text.replace("9001", str(port))
        (tmp_path / block.file).write_text(text, "utf-8")
    command = shlex.split(line.replace(".venv/bin/", f"{SCRIPTS}{os.sep}"))
    env = environment(tmp_path)

    if command[1] == "serve":
        with running(command, env, tmp_path, "listens on"):
            answer = httpx2.post(f"http://127.0.0.1:{port}/mcp", trust_env=False)
        assert answer.status_code == 401
        assert f"http://127.0.0.1:{port}/" in answer.headers["www-authenticate"]
    else:
        before = {path.name for path in tmp_path.iterdir()}
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        made = {path.name for path in tmp_path.iterdir()} - before
        assert made == {{"seed": "sample", "migrate": "tickets.sqlite", "reindex": "docs.sqlite"}[command[1]]}


def test_the_answers_shown_to_callers_are_those_that_they_get() -> None:
    page = [block for block in blocks("yaml", "http") if block.page.name == "tokens.md"]
    policy = Policy.from_mapping(yaml.safe_load(page[0].text))
    issuer = {"iss": "https://login.example.com", "aud": policy.resource("tickets.example.com")}
    token = Token(claims={**issuer, "scope": "tickets:read"}).mint()
    gate = protect(Spy(), policy, audit=Records(), keys_of=lambda _: StaticKeys(jwks("ES256")))
    calls = [None, ("authorization", f"Bearer {token}")]

    given = [asyncio.run(call(gate, *a_call_of("create_draft", with_header))) for with_header in calls]

    shown = [block.text for block in blocks("http")]
    assert len(shown) == len(given)
    for text, reply in zip(shown, given, strict=True):
        status = HTTPStatus(reply.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\nWWW-Authenticate: {reply.header('www-authenticate')}"
        )
        assert matches(text, head), head


def a_call_of(tool: str, with_header: tuple[str, str] | None) -> tuple[Scope, bytes]:
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}})
    headers = [
        ("host", "tickets.example.com"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        *([] if with_header is None else [with_header]),
    ]
    return http_scope(method="POST", path="/mcp", headers=headers, client=("10.1.2.3", 5)), body


@pytest.mark.parametrize(
    "line", [line for line in SHELL_LINES if not line.startswith(("make ", SERVER_COMMAND))]
)
def test_a_shell_line_does_what_it_says(line: str, tmp_path: Path) -> None:
    port = free_port()
    configuration = README_YAML.replace(SHOWN_PORT, str(port)).replace("./docs,", f"{ROOT / 'docs'},")
    (tmp_path / "tunnelgate.yaml").write_text(configuration, "utf-8")
    assignments = re.match(r"(?:[A-Z_]+=(?:'[^']*'|\S+)\s*)*", line)
    assert assignments is not None
    variables = dict(each.split("=", 1) for each in shlex.split(assignments[0]))
    command = (
        line[assignments.end() :].removeprefix(".venv/bin/") or "tunnelgate check --config tunnelgate.yaml"
    )
    if command.startswith("uvicorn "):
        command += f" --port {port}"
    env = environment(tmp_path, **variables)

    if command.endswith("> sealing.key"):
        run(["sh", "-c", f"{SCRIPTS}{os.sep}{command}"], env, tmp_path)
        sealer = Sealer.from_files([tmp_path / "sealing.key"])
        assert sealer.open(sealer.seal(b"a", []), []) == b"a"
    elif ready := next((said for start, said in SERVERS.items() if command.startswith(start)), None):
        question = f"curl -s http://127.0.0.1:{port}/mcp -H 'Host: admin.tunnel.example.com'"
        with running(shlex.split(command), env, tmp_path, ready):
            printed = run(shlex.split(question), env, tmp_path)
        assert printed == '{"error":"host_not_allowed","host":"admin.tunnel.example.com"}'
    else:
        assert "docs.tunnel.example.com: search_docs, read_doc" in run(shlex.split(command), env, tmp_path)


@pytest.mark.checkout
def test_the_two_commands_that_set_everything_up_are_targets_that_install_first(tmp_path: Path) -> None:
    port = free_port()
    assert [line for line in SHELL_LINES if line.startswith("make ")] == ["make demo", "make test"]

    with running(["make", "demo", f"PORT={port}"], {**os.environ, "HOME": str(tmp_path)}, ROOT) as program:
        assert f"on http://127.0.0.1:{port}" in program.output
    assert (
        run(["make", "--no-print-directory", "-n", "test"], os.environ, ROOT)
        .splitlines()[-1]
        .endswith("scripts/test")
    )
