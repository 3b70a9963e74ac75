"""`tunnelgate import` writes a configuration that `tunnelgate check` takes."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.support.listing import listing_server, tool
from tests.support.processes import free_port
from tests.support.remote import served_elsewhere
from tunnelgate import Policy
from tunnelgate_app.cli import app

READS = tool("search", title="Search", annotations={"readOnlyHint": True})
WRITES = tool("write", description="Writes.\n    - evil", annotations={"destructiveHint": True})


def tunnelgate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, docs=f"http://127.0.0.1:{free_port()}")


def write(folder: Path, **routes: str) -> Path:
    file = folder / "config.yaml"
    settings: dict[str, Any] = {
        "listen_addr": ":8080",
        "tunnel_domain": "tunnel.example.com",
        "tls": {"cert_file": "tls.crt", "key_file": "/data/tls.key"},
        "routes": routes,
        "upstream": {"allowed_ips": ["127.0.0.1"]},
    }
    file.write_text(yaml.safe_dump(settings), "utf-8")
    return file


def test_what_is_written_lists_what_only_reads_and_is_fine(tmp_path: Path) -> None:
    output = tmp_path / "made" / "gate.yaml"
    output.parent.mkdir()
    with served_elsewhere(listing_server(READS, WRITES)) as port:
        config = write(tmp_path, docs=f"http://127.0.0.1:{port}")
        done = tunnelgate("import", config, "--output", output, "--issuer", "https://login.example.com/")

    assert (done.exit_code, done.output) == (0, "docs: 1 listed, 1 left out\n")
    policy = Policy.from_file(output, {})
    assert policy.routes["docs"].tools == ("search",)
    assert policy.tls is not None
    assert Path(policy.tls.cert_file).resolve() == tmp_path / "tls.crt"
    assert Path(policy.tls.key_file) == Path("/data/tls.key")
    assert "      # - write  # marked as destructive. Writes. - evil\n" in output.read_text("utf-8")
    checked = tunnelgate("check", "--config", output)
    assert (checked.exit_code, checked.output) == (
        0,
        f"docs.tunnel.example.com: search\n  to http://127.0.0.1:{port}\n",
    )


def test_a_server_that_cannot_be_asked_is_said_and_its_route_is_written(config: Path) -> None:
    output = config.parent / "tunnelgate.yaml"
    done = tunnelgate("import", config, "--output", output)

    assert done.exit_code == 1
    assert re.fullmatch(r"docs: the server cannot be reached: .* connection refused\n", done.stderr)
    assert not Policy.from_file(output, {}).routes["docs"].speaks_mcp
    assert "connection refused" in output.read_text("utf-8")
    assert tunnelgate("check", "--config", output).exit_code == 0


def test_nobody_is_asked_where_that_is_said(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    done = tunnelgate("import", config, "--no-connect")

    assert (done.exit_code, done.output) == (0, "docs: not asked\n")
    assert not Policy.from_file("tunnelgate.yaml", {}).routes["docs"].speaks_mcp


def test_it_is_printed_where_that_is_said(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    done = tunnelgate("import", config.name, "--no-connect", "--output", "-")

    assert (done.exit_code, done.stderr) == (0, "docs: not asked\n")
    written = yaml.safe_load(done.stdout)
    assert written["routes"] == {"docs": {"upstream": written["routes"]["docs"]["upstream"]}}
    assert written["tls"]["cert_file"] == "tls.crt"
    assert written["oauth"] == {"issuers": [{"issuer": "https://issuer.invalid/"}]}
    assert [each.name for each in config.parent.iterdir()] == ["config.yaml"]


def test_nothing_is_overwritten_unless_it_was_given_up(config: Path) -> None:
    output = config.parent / "tunnelgate.yaml"
    output.write_text("mine")
    kept = tunnelgate("import", config, "--no-connect", "--output", output)

    assert kept.exit_code == 1
    assert kept.output == f"{output} is there already; --force overwrites it, --output names another\n"
    assert output.read_text() == "mine"
    assert tunnelgate("import", config, "--no-connect", "--output", output, "--force").exit_code == 0
    assert output.read_text() != "mine"


def test_the_file_of_the_proxy_itself_is_never_overwritten(config: Path) -> None:
    before = config.read_text("utf-8")

    done = tunnelgate("import", config, "--no-connect", "--force", "--output", config)

    assert (done.exit_code, config.read_text("utf-8")) == (1, before)
    assert done.output == f"{config} is the proxy's file itself; --output names another\n"


def test_a_token_is_read_sent_and_named_but_never_written(tmp_path: Path) -> None:
    token_file = tmp_path / "docs token"
    token_file.write_text("secret-token\n")
    output = tmp_path / "tunnelgate.yaml"
    with served_elsewhere(listing_server(READS)) as port:
        config = write(tmp_path, docs=f"http://127.0.0.1:{port}")
        done = tunnelgate("import", config, "--output", output, "--token-file", f"docs={token_file}")

    text = output.read_text("utf-8")
    assert done.exit_code == 0
    assert f"    # credentials: {{bearer_file: {token_file}}}\n" in text
    assert "secret-token" not in text + done.output


def test_a_server_is_asked_at_the_path_that_is_said(tmp_path: Path) -> None:
    output = tmp_path / "tunnelgate.yaml"
    with served_elsewhere(listing_server(READS)) as port:
        config = write(tmp_path, docs=f"http://127.0.0.1:{port}")
        done = tunnelgate("import", config, "--output", output, "--path", "docs=/api/mcp")

    assert (done.exit_code, done.stderr) == (1, "docs: the server answers 404 where MCP is expected\n")
    assert "    # path: /api/mcp\n" in output.read_text("utf-8")


def test_a_domain_that_the_proxy_is_told_by_its_flag_can_be_said(config: Path) -> None:
    output = config.parent / "tunnelgate.yaml"
    tunnelgate("import", config, "--no-connect", "--output", output, "--tunnel-domain", "flag.example.com")

    assert Policy.from_file(output, {}).hostnames("docs") == ("docs.flag.example.com",)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--path", "docs"], "'docs' is not ROUTE=…", id="a path without its route"),
        pytest.param(["--path", "docs="], "'docs=' is not ROUTE=…", id="a route without its path"),
        pytest.param(["--path", "wiki=/mcp"], "'wiki' is no route; there are docs", id="no such route"),
        pytest.param(
            ["--path", "docs=/a", "--path", "docs=/b"], "'docs' stands twice", id="two paths for one route"
        ),
        pytest.param(["--path", "docs=mcp"], "'mcp' is not a path such as /mcp", id="what is no path"),
        pytest.param(["--issuer", "login"], "'login' is not a URL such as", id="what is no issuer"),
    ],
)
def test_options_that_cannot_be_meant_are_said(config: Path, arguments: list[str], sentence: str) -> None:
    done = tunnelgate("import", config, "--output", config.parent / "out.yaml", *arguments)

    assert done.exit_code == 2
    assert sentence in " ".join(re.sub(r"[│\s]+", " ", done.stderr).split())
    assert not (config.parent / "out.yaml").exists()


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        pytest.param(
            "routes:\n  docs: ",
            "routes:\n- docs: ",
            "cannot unmarshal !!seq into map[string]string",
            id="routes as a list",
        ),
        pytest.param(
            "http://127.0.0.1:",
            "http://127.0.0.1/mcp:",
            "invalid upstream (must be scheme://host:port)",
            id="an upstream with a path",
        ),
        pytest.param("listen_addr", "listen_adr", "is not a key; listen_addr is", id="an unknown key"),
        pytest.param(
            "upstream:\n  allowed_ips:\n  - 127.0.0.1",
            "log_level: info",
            "may not be connected to: 127.0.0.1 is not in upstream.allowed_ips",
            id="an address that the proxy refuses as well",
        ),
        pytest.param(
            "http://127",
            "https://127",
            "nobody's certificate is believed",
            id="a server whose certificate nobody could believe",
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused(config: Path, before: str, after: str, sentence: str) -> None:
    text = config.read_text("utf-8")
    assert before in text
    config.write_text(text.replace(before, after), "utf-8")
    done = tunnelgate("import", config, "--no-connect", "--output", config.parent / "out.yaml")

    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not (config.parent / "out.yaml").exists()


def test_what_is_missing_is_named_with_how_to_get_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    for name in [each for each in sys.modules if each.startswith("tunnelgate_app.importing.asking")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each == "tunnelgate_app.asking.mcp"]:
        monkeypatch.delitem(sys.modules, name)

    done = tunnelgate("import", config, "--output", config.parent / "out.yaml")

    assert done.exit_code == 1
    assert done.stderr == (
        "to ask servers, import needs mcp: pip install 'tunnelgate[admin]', or say --no-connect\n"
    )


def test_help_has_an_example() -> None:
    assert "tunnelgate import config.yaml" in " ".join(tunnelgate("import", "--help").output.split())
