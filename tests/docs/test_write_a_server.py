"""The server of docs/write-a-server.md is built from the page alone, and passes the test of the page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.support.processes import SCRIPTS, environment, free_port, running
from tests.support.tokens import jwks

PAGE = (ROOT / "docs" / "write-a-server.md").read_text("utf-8")
FILES = dict(re.findall(r"^`(\S+\.py)`\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CONFIGURATION = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    (tmp_path / "tunnelgate.yaml").write_text(CONFIGURATION[0], "utf-8")
    return tmp_path


def test_every_block_of_code_is_a_file_of_the_server() -> None:
    assert list(FILES) == ["oncall/roster.py", "oncall/tools.py", "oncall/__init__.py", "test_oncall.py"]
    assert len(FILES) == PAGE.count("```python")
    assert len(CONFIGURATION) == 1


def test_the_server_of_the_page_passes_the_test_of_the_page(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "anyio",
        "test_oncall.py",
    ]

    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\b8 passed", ran.stdout), ran.stdout


def test_the_gate_mounts_the_server_of_the_page(folder: Path) -> None:
    port = free_port()
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    (folder / "roster.yaml").write_text("- {team: a, first: 2026-11-16, last: 2026-11-22, person: ada}\n")
    command = [str(SCRIPTS / "tunnelgate"), "serve"]
    variables = {"PYTHONPATH": str(folder), "TUNNELGATE_LISTEN_ADDR": f"127.0.0.1:{port}"}

    with running(command, environment(folder, **variables), folder) as gate:
        assert "oncall.tunnel.example.com to oncall:create_app" in gate.output
