"""The command of the doctor: what it prints for which options, and what it refuses."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.app.doctor.fakes import edge
from tests.support.processes import free_port
from tunnelgate_app.cli import app


def doctor(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *options])


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_that_is_no_configuration_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "tunnelgate.yaml").write_text("routes: [docs]\nlisten: 1\n")

    done = doctor(
        "--offline",
        "--json",
        "--gate",
        "127.0.0.1:1",
        "--connector-metrics",
        f"http://127.0.0.1:{free_port()}",
    )

    findings = orjson.loads(done.stdout)["findings"]
    assert done.exit_code == 1
    assert {"routes", "listen"} <= {each["tried"] for each in findings if each["layer"] == "configuration"}
    assert [each["status"] for each in findings if each["layer"] == "call"] == ["skipped"]


def test_the_edge_and_the_api_are_parameters(tmp_path: Path) -> None:
    (tmp_path / "tunnelgate.yaml").write_text("{}")
    with ExitStack() as stack:
        first, second = (stack.enter_context(edge()) for _ in range(2))
        done = doctor(
            *("--edge", f"127.0.0.1:{first}", "--edge", f"127.0.0.1:{second}"),
            *(
                "--api",
                f"127.0.0.1:{free_port()}",
                "--connector-metrics",
                "http://127.0.0.1:1",
                "--timeout",
                "2s",
            ),
        )

    fine = [line.strip() for line in done.stdout.splitlines() if line.startswith("  fine")]
    assert [line.split(":")[0].split()[1] for line in fine] == ["TCP", "UDP", "TCP", "UDP"]
    assert "  warning  TLS to 127.0.0.1:" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--tool", "search"], "--tool needs --route", id="a tool without a route"),
        pytest.param(["--timeout", "soon"], "is not a duration", id="no duration"),
        pytest.param(["--timeout", "0s"], "is not a duration", id="no time at all"),
        pytest.param(["--gate", "gate"], "is not an address", id="no address"),
        pytest.param(["--gate", "127.0.0.1:65536"], "is not an address", id="no port"),
        pytest.param(["--edge", "edge"], "is not host:port", id="no target"),
        pytest.param(["--api", "api:0"], "is not host:port", id="no target of the API"),
        pytest.param(["--connector-metrics", "127.0.0.1:20241"], "is not a URL", id="no URL"),
        pytest.param(
            ["--connector-metrics", "http://127.0.0.1:99999"], "Port out of range", id="no port in a URL"
        ),
        pytest.param(
            ["--route", "docs", "--tool", "search", "--arguments", "[]"],
            "is not a JSON object",
            id="no object",
        ),
        pytest.param(["--token-file", "nowhere"], "cannot be read", id="no file of a token"),
        pytest.param(["--token-file", "empty"], "has no token in it", id="an empty file of a token"),
        pytest.param(["--token-file", "words"], "has no token in it", id="a file of words"),
        pytest.param(["--token-file", "octets"], "cannot be read", id="a file of octets"),
        pytest.param(["--route", "dogs"], "there is no route 'dogs'; there are docs", id="no such route"),
    ],
)
def test_what_is_used_wrongly_is_said_with_exit_code_2(
    options: Sequence[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "words").write_text("not a token")
    (tmp_path / "octets").write_bytes(b"\xff")
    (tmp_path / "tunnelgate.yaml").write_text(
        yaml.safe_dump({"tunnel_domain": "tunnel.example.com", "routes": {"docs": "http://10.0.0.1:9000"}})
    )

    done = doctor(*options, "--offline")

    printed = " ".join(done.stderr.split())
    assert done.exit_code == 2
    assert said in printed
    assert done.stdout == ""


def test_help_says_what_it_does_with_an_example() -> None:
    done = doctor("--help")

    assert done.exit_code == 0
    assert "Example: tunnelgate doctor" in done.stdout
