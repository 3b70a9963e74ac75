"""`tunnelgate connector` prints what callers write down, for people and for programs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import Response
from typer.testing import CliRunner, Result

from tests.support.listing import answering_server, listed, listing_server, tool
from tests.support.remote import served_elsewhere
from tunnelgate_app.cli import app

READS = tool("search", annotations={"readOnlyHint": True})
DROPS = tool("drop", annotations={"destructiveHint": True})
MESSAGES = """\
DOCS_TOKEN: an access token made for https://docs.tunnel.example.com/mcp and the scopes docs:read

Messages API: in the body of a request to POST /v1/messages
anthropic-beta: mcp-client-2025-11-20
{
  "mcp_servers": [
    {
      "type": "url",
      "name": "docs",
      "url": "https://docs.tunnel.example.com/mcp",
      "authorization_token": "${DOCS_TOKEN}"
    }
  ],
  "tools": [
    {
      "type": "mcp_toolset",
      "mcp_server_name": "docs",
      "default_config": {
        "enabled": false
      },
      "configs": {
        "search": {
          "enabled": true
        },
        "drop": {
          "enabled": true
        }
      }
    }
  ]
}
"""


def tunnelgate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["connector", *(str(each) for each in arguments)])


def write(folder: Path, port: int = 8080, **route: Any) -> Path:
    file = folder / "tunnelgate.yaml"
    docs = {
        "upstream": f"http://127.0.0.1:{port}",
        "scopes": ["docs:read"],
        "tools": ["search", "drop"],
        **route,
    }
    wiki = {"mount": "wiki:create_app", "tools": ["read"]}
    settings: dict[str, Any] = {
        "tunnel_domain": "tunnel.example.com",
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {"issuers": [{"issuer": "https://login.example.com"}]},
        "routes": {"docs": docs, "wiki": wiki},
    }
    file.write_text(yaml.safe_dump(settings), "utf-8")
    return file


def policies_in(done: Result) -> dict[str, str]:
    assert done.exit_code == 0, done.output
    (toolset,) = json.loads(done.stdout)["managed-agents"]["body"]["tools"]
    return {each["name"]: each["permission_policy"]["type"] for each in toolset["configs"]}


def test_people_read_what_to_write_down(tmp_path: Path) -> None:
    done = tunnelgate("--config", write(tmp_path), "--route", "docs", "--format", "messages")

    assert (done.exit_code, done.output) == (0, MESSAGES)


def test_all_of_it_is_printed_by_default(tmp_path: Path) -> None:
    done = tunnelgate("--config", write(tmp_path), "--route", "docs")

    assert done.exit_code == 0
    assert done.output.startswith(MESSAGES)
    assert "anthropic-beta: managed-agents-2026-04-01\n" in done.output
    assert '"Authorization": "Bearer ${DOCS_TOKEN}"' in done.output


def test_programs_read_one_object(tmp_path: Path) -> None:
    done = tunnelgate("--config", write(tmp_path), "--route", "docs", "--route", "wiki", "--json")

    printed = json.loads(done.stdout)
    assert list(printed) == ["tokens", "messages", "managed-agents", "mcp-json"]
    assert printed["tokens"] == [
        {
            "variable": "DOCS_TOKEN",
            "resource": "https://docs.tunnel.example.com/mcp",
            "scopes": ["docs:read"],
        },
        {"variable": "WIKI_TOKEN", "resource": "https://wiki.tunnel.example.com/mcp", "scopes": []},
    ]
    assert printed["messages"]["headers"] == {"anthropic-beta": "mcp-client-2025-11-20"}
    assert [each["name"] for each in printed["messages"]["body"]["mcp_servers"]] == ["docs", "wiki"]
    assert printed["mcp-json"]["headers"] == {}


def test_a_route_that_is_named_twice_is_there_once(tmp_path: Path) -> None:
    done = tunnelgate("--config", write(tmp_path), "--route", "docs", "--route", "docs", "--json")

    assert len(json.loads(done.stdout)["messages"]["body"]["mcp_servers"]) == 1


def test_people_are_asked_about_everything_as_long_as_nobody_asked_the_server(tmp_path: Path) -> None:
    done = tunnelgate("--config", write(tmp_path), "--route", "docs", "--json")

    assert policies_in(done) == {"search": "always_ask", "drop": "always_ask"}


def test_a_server_says_what_only_reads(tmp_path: Path) -> None:
    with served_elsewhere(listing_server(READS, DROPS, tool("other"))) as port:
        done = tunnelgate("--config", write(tmp_path, port), "--route", "docs", "--json", "--ask")

    assert policies_in(done) == {"search": "always_allow", "drop": "always_ask"}
    assert done.stderr == ""


def test_a_tool_that_is_not_there_is_warned_about(tmp_path: Path) -> None:
    with served_elsewhere(listing_server(READS)) as port:
        done = tunnelgate("--config", write(tmp_path, port), "--route", "docs", "--json", "--ask")

    assert policies_in(done) == {"search": "always_allow", "drop": "always_ask"}
    assert done.stderr == "warning: the server of docs does not list drop\n"


def test_a_server_is_asked_with_the_token_that_the_gate_sends(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one-token")
    heard: list[Any] = []
    with served_elsewhere(answering_server(lambda method, params: listed(READS, DROPS), heard=heard)) as port:
        config = write(tmp_path, port, credentials={"bearer_file": "token"})
        done = tunnelgate("--config", config, "--route", "docs", "--ask")

    assert done.exit_code == 0
    assert {each.headers["authorization"] for each in heard} == {"Bearer one-token"}
    assert "one-token" not in done.output


@pytest.mark.parametrize(
    ("arguments", "route", "sentence"),
    [
        pytest.param(
            ["--route", "other"], {}, "there is no route 'other'; there are docs, wiki", id="no such route"
        ),
        pytest.param(
            ["--route", "docs"],
            {"tools": "*", "allow_all_tools": True},
            "the route docs allows every tool, also those of tomorrow, and callers need a list; "
            "list its tools by name",
            id="every tool",
        ),
        pytest.param(
            ["--route", "wiki", "--ask"],
            {},
            "the route wiki has no upstream to ask; leave --ask out",
            id="asking what is mounted",
        ),
    ],
)
def test_what_cannot_be_handed_out_is_said(
    tmp_path: Path, arguments: list[str], route: Any, sentence: str
) -> None:
    done = tunnelgate("--config", write(tmp_path, **route), *arguments)

    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"{sentence}\n")


def test_a_server_that_does_not_answer_is_said(tmp_path: Path) -> None:
    refusing = answering_server(lambda method, params: Response(status_code=503))
    with served_elsewhere(refusing) as port:
        done = tunnelgate("--config", write(tmp_path, port), "--route", "docs", "--ask")

    assert (done.exit_code, done.stderr) == (1, "docs: the server answers 503 where MCP is expected\n")


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "tunnelgate_app.asking.mcp", raising=False)

    done = tunnelgate("--config", write(tmp_path), "--route", "docs", "--ask")

    assert (done.exit_code, done.stderr) == (1, "--ask needs mcp: pip install 'tunnelgate[admin]'\n")


def test_help_has_an_example() -> None:
    said = " ".join(tunnelgate("--help").output.split())

    assert "tunnelgate connector --route docs --format messages" in said
