import ast
import base64
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from tests.support.asgi import Spy
from tests.support.processes import SCRIPTS, Running, environment, free_port, running
from tests.support.servers import serve
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_app.cli import app
from tunnelgate_app.client import DemoClient
from tunnelgate_app.demo import ROUTES, DemoRoute, DemoState

TUNNELGATE = str(SCRIPTS / "tunnelgate")
LIMIT = 60  # seconds that any process may take
DOCS = ROUTES["docs"]
JWT = r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
BLOCKED = b'{"error":"host_not_allowed","host":"admin.tunnel.localhost"}'

Done = subprocess.CompletedProcess[str]


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> Done:
    return subprocess.run(
        command, env=dict(env), cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def end(program: Running, number: signal.Signals) -> int:
    program.process.send_signal(number)
    return program.process.wait(LIMIT)


@dataclass(frozen=True)
class Demo:
    """A demo that runs as a person would run it, with a home of its own."""

    program: Running
    port: int
    home: Path

    @property
    def env(self) -> dict[str, str]:
        return environment(self.home)

    @property
    def state(self) -> Path:
        return self.home / ".local" / "state" / "tunnelgate" / "demo"

    def part(self, start: str, end: str) -> str:
        """Return what was printed between two lines, as a person would copy it."""
        _, _, rest = self.program.output.partition(f"{start}\n")
        text, found, _ = rest.partition(f"\n{end}")
        assert found, self.program.output
        return dedent(text).strip()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Demo]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    with running([TUNNELGATE, "demo", "--port", str(port)], environment(home), home) as program:
        yield Demo(program, port, home)
        end(program, signal.SIGINT)


@pytest.mark.checkout
def test_token_prints_one_token_and_nothing_else(demo: Demo) -> None:
    done = run([TUNNELGATE, "token", "--route", "docs"], demo.env)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(f"{JWT}\n", done.stdout)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
@pytest.mark.checkout
def test_probe_prints_its_six_answers_one_a_line(route: DemoRoute, demo: Demo) -> None:
    code, out, err = invoke("probe", "--route", route.name, "--state", demo.state)

    assert (code, err) == (0, "")
    answers = dict(line.split(": ", 1) for line in out.splitlines())
    assert list(answers) == [
        "tools_list_status",
        "tools_list_body",
        "tool_call_status",
        "tool_call_body",
        "blocked_status",
        "blocked_body",
    ]
    assert len(out.splitlines()) == len(answers)
    listed, called = orjson.loads(answers["tools_list_body"]), orjson.loads(answers["tool_call_body"])
    assert (answers["tools_list_status"], answers["tool_call_status"]) == ("200", "200")
    assert sorted(tool["name"] for tool in listed["result"]["tools"]) == sorted(route.tools)
    assert called["result"]["isError"] is False
    assert has_something(called["result"]["structuredContent"])
    assert answers["blocked_status"] == "403"
    assert orjson.loads(answers["blocked_body"]) == {
        "error": "host_not_allowed",
        "host": "admin.tunnel.localhost",
    }


def has_something(content: dict[str, Any]) -> bool:
    """Return whether a list or an object in an answer is not empty, so that the call shows something."""
    return any(value for value in content.values() if is_array(value) or is_object(value))


@pytest.mark.checkout
def test_probe_without_a_route_shows_all_four_on_less_than_a_screen(demo: Demo) -> None:
    done = run([TUNNELGATE, "probe"], demo.env)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        route.hostname for route in ROUTES.values()
    ]
    for route, number in zip(ROUTES.values(), range(0, len(lines), 5), strict=True):
        listed, called, answer, blocked = lines[number + 1 : number + 5]
        assert listed == f"  200  lists {', '.join(route.tools)}"
        assert called.startswith(f"  200  {route.tool} {{")
        assert answer.startswith("       {")
        assert blocked == f"  403  admin.tunnel.localhost {BLOCKED.decode()}"
    assert max(map(len, lines)) <= 100


@pytest.mark.checkout
def test_a_person_gets_a_token_that_drafts_in_their_name(demo: Demo) -> None:
    code, out, err = invoke("token", "--route", "tickets", "--user", "alice", "--state", demo.state)

    assert (code, err) == (0, "")
    payload = out.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["scope"]) == ("alice", "tickets:read tickets:draft")


@pytest.mark.checkout
def test_the_curl_line_of_the_introduction_works(demo: Demo) -> None:
    line = demo.part("With curl:", "With the official Python SDK")

    done = run(["sh", "-c", line], demo.env)

    assert done.returncode == 0, done.stderr
    (data,) = [line.removeprefix("data: ") for line in done.stdout.splitlines() if line.startswith("data: ")]
    tools = orjson.loads(data)["result"]["tools"]
    assert sorted(tool["name"] for tool in tools) == sorted(DOCS.tools)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
@pytest.mark.checkout
def test_the_program_for_the_sdk_works_as_it_is_printed(route: DemoRoute, demo: Demo) -> None:
    line = demo.part(
        "With the official Python SDK, by a short program to start from:", "With a client that logs in"
    )

    done = run(["sh", "-c", line.replace("docs", route.name)], demo.env)

    assert done.returncode == 0, done.stderr
    assert sorted(ast.literal_eval(done.stdout)) == sorted(route.tools)


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, its output and what it complained about."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.checkout
def test_a_token_can_be_asked_for_with_some_scopes(demo: Demo) -> None:
    code, out, _ = invoke("token", "--route", "docs", "--scope", "docs:read", "--state", demo.state)

    assert (code, bool(re.fullmatch(f"{JWT}\n", out))) == (0, True)


@pytest.mark.checkout
def test_a_scope_that_is_not_offered_is_one_sentence(demo: Demo) -> None:
    code, out, err = invoke("token", "--route", "docs", "--scope", "admin", "--state", demo.state)

    assert (code, out) == (1, "")
    assert err.startswith('the development issuer refused: {"error":"invalid_scope"')
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["token", "probe"])
def test_a_route_that_is_not_there_is_named_with_those_that_are(command: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"port": 1, "client_id": "demo", "client_secret": "x"}')

    code, out, err = invoke(command, "--route", "wiki", "--state", tmp_path)

    assert (code, out) == (2, "")
    sentence = "the demo has no route 'wiki'; it has docs, tickets, billing, deploy"
    assert sentence in re.sub(r"[\s│]+", " ", err)


@pytest.mark.parametrize("command", ["token", "probe"])
def test_without_a_demo_the_sentence_says_how_to_start_one(command: str, tmp_path: Path) -> None:
    code, out, err = invoke(command, "--route", "docs", "--state", tmp_path)

    assert (code, out) == (1, "")
    assert err == f"no demo has kept its state in {tmp_path}; start one: tunnelgate demo\n"


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    """A gate that makes tokens and refuses them."""
    if scope["type"] == "lifespan":
        return await Spy()(scope, receive, send)
    answer = Spy(b'{"access_token": "eyJ0"}') if scope["path"] == "/token" else Spy(BLOCKED, status=403)
    return await answer(scope, receive, send)


def test_a_probe_that_finds_something_wrong_says_it_and_fails(tmp_path: Path) -> None:
    with serve(refuses) as port:
        state = {"port": port, "client_id": "demo", "client_secret": "x"}
        (tmp_path / "state.json").write_bytes(orjson.dumps(state))
        code, out, err = invoke("probe", "--route", "docs", "--state", tmp_path)
        in_short = invoke("probe", "--state", tmp_path)

    assert code == 1
    assert len(out.splitlines()) == 6
    sentences = [
        "the list should be exactly search_docs, read_doc, list_docs",
        "the call of search_docs should have succeeded",
    ]
    assert err.splitlines() == sentences
    code, out, err = in_short
    assert code == 1
    assert out.splitlines()[:5] == [
        "docs.tunnel.localhost",
        f"  403  lists {BLOCKED.decode()}",
        '  403  search_docs {"query":"tunnel","limit":1}',
        f"       {BLOCKED.decode()}",
        f"  403  admin.tunnel.localhost {BLOCKED.decode()}",
    ]
    assert err.splitlines()[:2] == [f"docs: {sentence}" for sentence in sentences]
    assert len(err.splitlines()) == 2 * len(ROUTES)


COMMANDS: dict[tuple[str, ...], tuple[str, str]] = {
    (): ("The gate at the private end of an MCP tunnel.", "Usage: tunnelgate [OPTIONS] COMMAND"),
    ("certs",): ("Make, renew and show the certificates of a gate at a tunnel's end.", "init"),
    ("connect",): ("Carry plain HTTP to a gate as a tunnel would", "Example: tunnelgate connect --fake"),
    ("connector",): (
        "Print what callers need to reach a route",
        "Example: tunnelgate connector --route docs --format messages",
    ),
    ("doctor",): (
        "Try every layer between a client and the servers behind the gate",
        "Example: tunnelgate doctor --route docs --token-file token",
    ),
    ("import",): (
        "Write a configuration from a file of Anthropic's proxy.",
        "Example: tunnelgate import config.yaml --issuer https://login.example.com/",
    ),
    ("tunnel",): ("Make, list and archive tunnels, their CAs and their tokens", "create"),
    ("demo",): (
        "Run the gate with four sample servers, a desk where people submit drafts, and a development issuer",
        "Example: tunnelgate demo --port 9000",
    ),
    ("serve",): (
        "Run the gate that a configuration describes.",
        "Example: tunnelgate serve --config tunnelgate.yaml",
    ),
    ("check",): (
        "say every fault in it; open no other file, mount, fetch and run nothing.",
        "Example: tunnelgate check --config tunnelgate.yaml",
    ),
    ("token",): (
        "Print a token for a route of the running demo",
        'Example: curl -H "Authorization: Bearer $(tunnelgate token --route docs)" ...',
    ),
    ("probe",): (
        "Ask the routes of the running demo for their tools, call one of each",
        "Example: tunnelgate probe --route docs",
    ),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "tunnelgate")
def test_the_help_of_every_command_says_what_it_does_with_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], prog_name="tunnelgate")

    assert result.exit_code == 0
    for sentence in COMMANDS[command]:
        assert sentence in " ".join(result.stdout.split())


def test_every_command_is_among_those_whose_help_was_read() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2]

    names = {line.split()[0] for line in shown.splitlines() if line.startswith("  ") and line[2] != " "}
    assert names == {command[0] for command in COMMANDS if command}


NO_MOUNT = 'warning: routes."docs.example.com" has neither mount nor upstream, and `serve` needs one'
ROUTE = """
  docs:
    mount: no_such_module:create_app
    options: {folder: docs}
    tools:
      search_docs: {}
      read_doc: {scopes: [docs:full]}
  docs.example.com:
    public_paths: [/healthz]
"""
CONFIGURATION = """
tunnel_domain: tunnel.localhost
clients: {allowed_ips: [127.0.0.1]}
oauth:
  issuers:
    - {issuer: https://login.example.com, jwks_uri: https://login.example.com/jwks}
"""


def test_check_says_which_hostname_serves_which_tools_and_what_is_open_and_what_is_missing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(f"{CONFIGURATION}routes:{ROUTE}")

    code, out, err = invoke("check", "--config", file)

    assert (code, err.splitlines()) == (0, [NO_MOUNT])
    assert out.splitlines() == [
        "docs.tunnel.localhost: search_docs, read_doc",
        "docs.example.com docs.example.com.tunnel.localhost: no tools",
        "  without a token: /healthz",
    ]


def test_check_names_every_path_that_is_open_under_its_own_route(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    routes = {
        "docs": '{mount: "a:b", tools: [search]}',
        "login": '{mount: "a:b", public_paths: [/token, /jwks]}',
        "wiki": '{mount: "a:b", tools: [search]}',
    }
    lines = "".join(f"  {name}: {route}\n" for name, route in routes.items())
    file.write_text(f"{CONFIGURATION}routes:\n{lines}")

    code, out, err = invoke("check", "--config", file)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "docs.tunnel.localhost: search",
        "login.tunnel.localhost: no tools",
        "  without a token: /token, /jwks",
        "wiki.tunnel.localhost: search",
    ]


def test_check_warns_of_two_routes_whose_tokens_pass_at_both(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    route = '{mount: "a:b", tools: [search], resource: "https://docs.example.com/mcp"}'
    file.write_text(f"{CONFIGURATION}routes: {{docs: {route}, wiki: {route}}}")

    code, _, err = invoke("check", "--config", file)

    sentence = "is that of routes.docs, so a token for one passes at the other"
    assert (code, err.splitlines()) == (0, [f"warning: routes.wiki.resource: {sentence}"])


@pytest.mark.promise("closed-by-default")
def test_check_says_what_a_route_needs_of_the_listener(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    route = "{docs: {mount: 'x:y', tools: [a], proof: mtls}}"
    file.write_text(f"{CONFIGURATION}routes: {route}\n")

    code, _, err = invoke("check", "--config", file)

    assert code == 2
    (fault,) = err.splitlines()[1:]
    assert fault.startswith("  routes.docs.proof = 'mtls': needs tls.client_ca_file: ")


@pytest.mark.promise("closed-by-default")
def test_check_says_that_a_unix_socket_is_trusted_which_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    clients = "{allowed_ips: [10.0.0.0/8], address_from: forwarded, trust_unix_socket: true}"
    text = CONFIGURATION.replace("{allowed_ips: [127.0.0.1]}", clients)
    route = "routes: {docs: {mount: 'x:y', tools: [a]}}\n"

    outcomes: list[tuple[int, list[str]]] = []
    for listen_addr in ("127.0.0.1:8080", f"unix:{tmp_path}/gate.sock"):
        file.write_text(f"listen_addr: {listen_addr}\n{text}{route}")
        code, _, err = invoke("check", "--config", file)
        outcomes.append((code, err.splitlines()))

    sentence = "clients.trust_unix_socket = True: means nothing unless listen_addr is a Unix socket"
    assert outcomes == [(2, [f"{file}: 1 fault", f"  {sentence}"]), (0, [])]


def test_check_says_where_requests_go_and_what_is_open_there(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    routes = {
        "wiki": "{upstream: 'http://wiki.internal:9000', tools: [search]}",
        "mail": "{upstream: {url: 'https://mail.internal:9443', oauth_discovery: true, "
        "tls: {ca_file: missing.pem}}, tools: [search], public_paths: [/token]}",
        "docs": "{mount: 'a:b', tools: [search]}",
    }
    lines = "".join(f"  {name}: {route}\n" for name, route in routes.items())
    file.write_text(f"{CONFIGURATION}routes:\n{lines}")

    code, out, err = invoke("check", "--config", file)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "wiki.tunnel.localhost: search",
        "  to http://wiki.internal:9000",
        "mail.tunnel.localhost: search",
        (
            "  without a token: /token, /.well-known/oauth-authorization-server, "
            "/.well-known/oauth-authorization-server/mcp, /.well-known/openid-configuration, "
            "/.well-known/openid-configuration/mcp, /mcp/.well-known/openid-configuration"
        ),
        "  to https://mail.internal:9443",
        "docs.tunnel.localhost: search",
    ]


def test_check_warns_of_each_word_that_opens_an_address(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(
        """
        clients:
          allowed_ips: [0.0.0.0/0, "::/0"]
          allow_wide_networks: true
          address_from: x-forwarded-for
          trusted_proxies: [0.0.0.0/0]
          trust_wide_networks: true
        upstream: {disable_ip_validation: true, allow_metadata: [169.254.169.254]}
        routes:
          wiki.example.com:
            upstream: http://wiki.internal:9000
            public_paths: [/healthz]
            clients: {allowed_ips: [0.0.0.0/0], allow_wide_networks: true}
        """
    )

    code, _, err = invoke("check", "--config", file)

    assert code == 0
    assert [line.removeprefix("warning: ").partition(": ")[0] for line in err.splitlines()] == [
        "clients.allow_wide_networks",
        "clients.trust_wide_networks",
        "upstream.disable_ip_validation",
        "upstream.allow_metadata",
        'routes."wiki.example.com".clients.allow_wide_networks',
    ]
    assert all(line.startswith("warning: ") for line in err.splitlines())


@pytest.mark.promise("whole-configuration")
def test_check_says_every_fault_of_addresses_and_of_upstreams(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(
        """
        listen_addr: unix:gate.sock
        clients: {allowed_ips: [0.0.0.0/0], address_from: forwarded}
        upstream: {allowed_ips: [10.0.0.1/8], tls: {cert_file: gate.pem}}
        routes:
          wiki.example.com: {upstream: "http://wiki.internal/mcp", mount: "a:b", public_paths: [/healthz]}
          mail.example.com: {upstream: "https://mail.internal:9443", public_paths: [/healthz]}
        """
    )

    code, out, err = invoke("check", "--config", file)

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"{file}: 8 faults",
        (
            "  listen_addr = 'unix:gate.sock': is not unix: and an absolute path, such as "
            "unix:/run/tunnelgate/gate.sock"
        ),
        "  upstream.allowed_ips[0] = '10.0.0.1/8': has bits set behind its prefix; the network is 10.0.0.0/8",
        (
            "  routes.\"wiki.example.com\".upstream.url = 'http://wiki.internal/mcp': "
            "invalid upstream (must be scheme://host:port)"
        ),
        (
            "  clients.allowed_ips[0] = '0.0.0.0/0': allows every address; list the networks that are meant, "
            "or set allow_wide_networks: true as well"
        ),
        "  clients.address_from = 'forwarded': is a header, and no trusted_proxies may send it",
        "  upstream.tls.cert_file: needs key_file as well",
        (
            "  routes.\"mail.example.com\".upstream = 'https://mail.internal:9443': needs "
            "upstream.tls.ca_file or upstream.tls.include_system_cas: nobody's certificate is believed"
        ),
        '  routes."wiki.example.com": has mount and upstream; which one is meant?',
    ]


def test_check_warns_of_a_route_with_every_tool(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    every = '{mount: "a:b", tools: "*", allow_all_tools: true}'
    file.write_text(f"{CONFIGURATION}routes: {{docs: {every}, wiki: {{mount: 'a:b', tools: [search]}}}}")

    code, out, err = invoke("check", "--config", file)

    assert code == 0
    assert out.splitlines() == ["docs.tunnel.localhost: *", "wiki.tunnel.localhost: search"]
    assert err.splitlines() == [
        "warning: routes.docs.tools: every tool is allowed, also those that the server will have tomorrow"
    ]


@pytest.mark.promise("closed-by-default")
def test_check_refuses_every_tool_that_was_asked_for_by_one_word(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(f'{CONFIGURATION}routes: {{docs: {{mount: "a:b", tools: "*"}}}}')

    code, out, err = invoke("check", "--config", file)

    assert (code, out) == (2, "")
    every = "is every tool there will ever be; list them, or set allow_all_tools: true as well"
    assert err.splitlines() == [f"{file}: 1 fault", f"  routes.docs.tools = '*': {every}"]


def test_check_says_every_fault_of_what_a_route_lists(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    route = '{mount: "a:b", prompts: [], resources: ["docs:///{a*}"], methods: [ping], claims: {a: 0.5}}'
    file.write_text(f"{CONFIGURATION}sealing_keys: a.key\nroutes: {{docs: {route}}}")

    code, out, err = invoke("check", "--config", file)

    assert (code, out) == (2, "")
    first, *faults = [line.strip().partition(" = ")[0] for line in err.splitlines()]
    assert first == f"{file}: 5 faults"
    assert faults == [
        "routes.docs.claims.a",
        "routes.docs.prompts",
        "routes.docs.resources[0]",
        "routes.docs.methods[0]",
        "sealing_keys",
    ]


def test_check_opens_no_sealing_key(tmp_path: Path) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(f"sealing_keys: [missing.key]\n{CONFIGURATION}routes:{ROUTE}")

    code, _, err = invoke("check", "--config", file)

    assert (code, err.splitlines()) == (0, [NO_MOUNT])


@pytest.mark.parametrize("value", [".inf", ".nan"])
def test_a_time_that_no_clock_can_measure_is_a_fault(tmp_path: Path, value: str) -> None:
    file = tmp_path / "tunnelgate.yaml"
    file.write_text(f"shutdown_timeout: {value}\n{CONFIGURATION}routes:{ROUTE}")

    code, out, err = invoke("check", "--config", file)

    assert (code, out) == (2, "")
    assert "\n  shutdown_timeout = " in err


MODULES = {
    "needs_mcp": """
        import sys

        sys.modules["mcp"] = None  # as if it were not installed
        import mcp.server
    """,
    "factories": """
        import json

        def raises(**options):
            raise ValueError("the folder /srv/docs is not there")

        def does_not_start(**options):
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": "no database"})

            return app

        def answers(**options):
            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise NotImplementedError
                start = {"type": "http.response.start", "status": 200}
                await send({**start, "headers": [(b"content-type", b"application/json")]})
                await send({"type": "http.response.body", "body": json.dumps(options).encode()})

            return app
    """,
}
ONE_ROUTE = (
    "clients: {allowed_ips: [127.0.0.1]}\nroutes:\n  docs.example.com: {public_paths: [/x], mount: %s}\n"
)
FILES = {
    "five.yaml": """
        listen_addr: "127.0.0.1:80800"
        tunnel_domian: tunnel.example.com
        clients:
          allowed_ips: [10.0.0.1/8]
        oauth:
          issuers:
            - {issuer: https://login.example.com, jwks_uri: https://login.example.com/jwks}
        routes:
          docs.example.com: {mount: "factories:answers", tools: []}
          wiki.example.com: {mount: "factories:answers", tools: ["search_*"]}
    """,
    "mounts.yaml": """
        tunnel_domain: tunnel.localhost
        clients: {allowed_ips: [127.0.0.1]}
        routes:
          a: {public_paths: [/x], mount: "needs_mcp:create_app"}
          b: {public_paths: [/x], mount: "factories:raises"}
          c: {public_paths: [/x], mount: "factories:no_such"}
          d: {public_paths: [/x], mount: "no_such_module:create_app"}
    """,
    "lifespan.yaml": 'listen_addr: "127.0.0.1:0"\n' + ONE_ROUTE % '"factories:does_not_start"',
    "keys.yaml": (
        'listen_addr: "127.0.0.1:0"\nsealing_keys: [good.key, missing.key, short.key]\n'
        + ONE_ROUTE % '"factories:answers"'
    ),
    "upstreams.yaml": """
        listen_addr: "127.0.0.1:0"
        tunnel_domain: tunnel.localhost
        clients: {allowed_ips: [127.0.0.1]}
        sealing_keys: [missing.key]
        upstream: {tls: {ca_file: missing.pem}}
        routes:
          a: {public_paths: [/x], upstream: "https://a.internal:9443"}
          b: {public_paths: [/x], upstream: "https://b.internal:9443"}
          c: {public_paths: [/x], upstream: {url: "https://c.internal:9443", tls: {ca_file: not-a-folder}}}
          d: {public_paths: [/x], mount: "factories:no_such"}
    """,
    "trusting.yaml": """
        listen_addr: "127.0.0.1:0"
        clients: {allowed_ips: [10.0.0.0/8], address_from: x-forwarded-for, trust_unix_socket: true}
        routes:
          docs.example.com: {public_paths: [/x], mount: "factories:answers"}
    """,
    "good.key": "g" * 32,
    "short.key": "s" * 31 + "\n",
    "not-a-folder": "",
}
WITHOUT_SERVERS = """
import sys

sys.modules["sqlalchemy"] = None  # as if it were not installed
from tunnelgate_app.cli import app

app()
"""
WITHOUT_TYPER = """
import sys
from importlib.metadata import entry_points

sys.modules["typer"] = None  # as if it were not installed
(command,) = entry_points(group="console_scripts", name="tunnelgate")
sys.exit(command.load()())
"""


@dataclass(frozen=True)
class Failure:
    """A command that cannot do what it was asked for, and all that it should say about that."""

    command: Sequence[str]
    code: int
    sentences: Sequence[str]


FAILURES = {
    "a file that is not there": Failure(
        ["serve", "--config", "missing.yaml"],
        2,
        ["missing.yaml: 1 fault", "  missing.yaml: cannot be read: No such file or directory"],
    ),
    "a file with five faults": Failure(
        ["serve", "--config", "five.yaml"],
        2,
        [
            "five.yaml: 5 faults",
            "  listen_addr = '127.0.0.1:80800': is not address:port.*",
            "  clients.allowed_ips[0] = '10.0.0.1/8': .*the network is 10.0.0.0/8",
            '  routes."docs.example.com".tools = []: is empty, which would allow nothing',
            "  routes.\"wiki.example.com\".tools[0] = 'search_*': is a pattern.*",
            "  tunnel_domian = 'tunnel.example.com': is not a key; tunnel_domain is",
        ],
    ),
    "mounts that cannot be mounted": Failure(
        ["serve", "--config", "mounts.yaml"],
        2,
        [
            "gateway: 4 faults",
            "  routes.a.mount = 'needs_mcp:create_app': needs mcp: pip install 'tunnelgate[servers]'",
            "  routes.b.mount = 'factories:raises': does not start: the folder /srv/docs is not there",
            "  routes.c.mount = 'factories:no_such': has no function no_such",
            "  routes.d.mount = 'no_such_module:create_app': cannot be imported: .*'no_such_module'",
        ],
    ),
    "sealing keys that cannot be used": Failure(
        ["serve", "--config", "keys.yaml"],
        2,
        [
            "gateway: 2 faults",
            "  sealing_keys[1] = 'missing.key': No such file or directory",
            "  sealing_keys[2] = 'short.key': short.key holds a key of fewer than 32 octets",
        ],
    ),
    "files of TLS that cannot be used": Failure(
        ["serve", "--config", "upstreams.yaml"],
        2,
        [
            "gateway: 4 faults",
            "  upstream.tls.ca_file = 'missing.pem': cannot be read: No such file or directory",
            "  routes.c.upstream.tls.ca_file = 'not-a-folder': has no certificate in PEM, or one that .*",
            "  routes.d.mount = 'factories:no_such': has no function no_such",
            "  sealing_keys[0] = 'missing.key': No such file or directory",
        ],
    ),
    "a Unix socket that is trusted and is not there": Failure(
        ["serve", "--config", "trusting.yaml"],
        2,
        [
            "gateway: 1 fault",
            "  clients.trust_unix_socket = True: means nothing unless listen_addr is a Unix socket",
        ],
    ),
    "a port that is in use": Failure(
        ["demo", "--port", "{taken}", "--state", "untouched"],
        1,
        ["127.0.0.1:{taken} is in use: stop what listens there, or choose another port"],
    ),
    "documents that are not there": Failure(
        ["demo", "--port", "{free}", "--docs", "no-such-folder", "--state", "state"],
        2,
        ["gateway: 1 fault", "  routes.docs.mount = .*: does not start: .*no-such-folder does not exist.*"],
    ),
    "data that cannot be used": Failure(
        ["demo", "--port", "{fourth}", "--docs", ".", "--state", "broken"],
        1,
        [".*/broken/tickets.sqlite cannot be used; make it anew: tunnelgate demo --fresh .*"],
    ),
    "a state folder that cannot be made": Failure(
        ["demo", "--port", "{other}", "--docs", ".", "--state", "not-a-folder/state"],
        1,
        [".*not-a-folder/state cannot be written: Not a directory"],
    ),
}


@dataclass(frozen=True)
class Failed:
    """What has become of the commands that cannot do what they were asked for."""

    processes: Mapping[str, "subprocess.Popen[str]"]
    folder: Path
    ports: Mapping[str, int]

    def result(self, name: str) -> tuple[int, str, str]:
        process = self.processes[name]
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Failed]:
    """Run them all at once: each spends its time on importing what it does not come to use."""
    folder = tmp_path_factory.mktemp("failures")
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ports = {"taken": taken.getsockname()[1]}
        ports |= {name: free_port() for name in ("free", "other", "third", "fourth")}
        for name, source in MODULES.items():
            (folder / f"{name}.py").write_text(dedent(source))
        for name, text in FILES.items():
            (folder / name).write_text(dedent(text))
        (folder / "broken").mkdir()
        (folder / "broken" / "tickets.sqlite").write_text("no database")
        commands = {
            name: [TUNNELGATE, *(part.format(**ports) if "{" in part else part for part in failure.command)]
            for name, failure in FAILURES.items()
        }
        commands["lifespan"] = [TUNNELGATE, "serve", "--config", "lifespan.yaml"]
        without_servers = ["demo", "--port", str(ports["third"]), "--state", "without-servers"]
        commands["servers"] = [sys.executable, "-c", WITHOUT_SERVERS, *without_servers]
        commands["extra"] = [sys.executable, "-c", WITHOUT_TYPER, "--help"]
        env = environment(folder, PYTHONPATH=str(folder))
        processes = {
            name: stack.enter_context(
                subprocess.Popen(
                    command,
                    env=env,
                    cwd=folder,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            for name, command in commands.items()
        }
        yield Failed(processes, folder, ports)
        for process in processes.values():
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.promise("whole-configuration")
def test_a_command_that_fails_says_why_in_a_sentence_for_each_fault(name: str, failed: Failed) -> None:
    code, out, err = failed.result(name)

    lines = [line for line in err.splitlines() if not line.startswith('{"event": ')]
    assert (code, out) == (FAILURES[name].code, ""), err
    assert len(lines) == len(FAILURES[name].sentences), err
    for line, sentence in zip(sorted(lines), sorted(FAILURES[name].sentences), strict=True):
        pattern = ".*".join(
            map(re.escape, sentence.replace("{taken}", str(failed.ports["taken"])).split(".*"))
        )
        assert re.fullmatch(pattern, line), f"{line}\nis not\n{sentence}"


def test_a_demo_that_cannot_listen_leaves_the_state_of_another_alone(failed: Failed) -> None:
    failed.processes["a port that is in use"].wait(LIMIT)

    assert not (failed.folder / "untouched").exists()


def test_an_application_that_does_not_start_ends_the_command_with_its_reason(failed: Failed) -> None:
    code, out, err = failed.result("lifespan")

    assert "no database" in err
    assert "Traceback" not in err
    assert (code, out) == (1, "")


HANDLES_SIGTERM = """
import signal
import sys
from tunnelgate_app.__main__ import main

signal.signal(signal.SIGTERM, lambda *_: None)
sys.exit(main())
"""


def test_where_the_process_handles_the_signal_itself_the_command_ends_with_success(tmp_path: Path) -> None:
    (tmp_path / "factories.py").write_text(dedent(MODULES["factories"]))
    (tmp_path / "tunnelgate.yaml").write_text(
        'listen_addr: "127.0.0.1:0"\n' + ONE_ROUTE % '"factories:answers"'
    )
    env = environment(tmp_path, PYTHONPATH=str(tmp_path))

    with running([sys.executable, "-c", HANDLES_SIGTERM, "serve"], env, tmp_path) as program:
        code = end(program, signal.SIGTERM)

    assert (code, "Traceback" in program.output) == (0, False), program.output


def test_the_command_can_be_run_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "tunnelgate.yaml").write_text(ONE_ROUTE % '"a:b"')

    done = run([sys.executable, "-m", "tunnelgate_app", "check"], environment(tmp_path), tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["docs.example.com: no tools", "  without a token: /x"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(
            ["-config", "config.yaml"],
            2,
            "routes.docs: is no full hostname, and there is no tunnel_domain to put it under",
            id="with the file alone",
        ),
        pytest.param(
            ["-config=config.yaml", "-tunnel-domain=abcd.tunnel.example.com"],
            1,
            "192.0.2.1:1 cannot be listened on",
            id="with a domain",
        ),
        pytest.param(
            ["-tunnel-domain", "abcd.tunnel.example.com", "-config", "config.yaml"],
            1,
            "192.0.2.1:1 cannot be listened on",
            id="with a domain before the file",
        ),
    ],
)
def test_the_command_is_started_as_the_proxy_is(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "config.yaml").write_text(
        'listen_addr: "192.0.2.1:1"\nroutes: {docs: "http://10.0.0.7:9000"}\n'
    )

    done = run([sys.executable, "-m", "tunnelgate_app", *arguments], environment(tmp_path), tmp_path)

    assert told in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def test_the_demo_without_what_the_servers_need_names_the_extra(failed: Failed) -> None:
    sentence = "the demo needs sqlalchemy: pip install 'tunnelgate[servers]'\n"
    assert failed.result("servers") == (1, "", sentence)


def test_the_command_without_its_extra_names_the_extra(failed: Failed) -> None:
    code, out, err = failed.result("extra")

    assert "tunnelgate[gateway]" in err
    assert (len(err.splitlines()), out) == (1, "")
    assert code in (1, 2)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "my documents"
    folder.mkdir()
    (folder / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes.\n", "utf-8")
    return folder


def port_is_free(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_ends_a_demo_that_was_to_be_fresh_and_so_got_over_what_was_there(
    tmp_path: Path, documents: Path
) -> None:
    port, state = free_port(), tmp_path / ".local" / "state" / "tunnelgate" / "demo"
    state.mkdir(parents=True)
    (state / "tickets.sqlite").write_text("no database")
    command = [TUNNELGATE, "demo", "--fresh", "--port", str(port), "--docs", str(documents)]

    with running(command, environment(tmp_path)) as program:
        code = end(program, signal.SIGTERM)

    assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in program.output
    assert "Application shutdown complete" in program.output
    assert port_is_free(port)


def test_ctrl_c_ends_the_demo_and_what_it_wrote_can_be_served_from_anywhere(
    tmp_path: Path, documents: Path
) -> None:
    port, state = free_port(), tmp_path / "my state"
    tools = tmp_path / "my tools"
    tools.mkdir()
    (tools / "tunnelgate").symlink_to(TUNNELGATE)
    env = environment(tmp_path, PATH="/usr/bin:/bin")
    command = ["./my tools/tunnelgate", "demo", "--port", str(port)]

    with running([*command, "--docs", str(documents), "--state", str(state)], env, tmp_path) as program:
        shown = Demo(program, port, tmp_path)
        probe = shown.part(
            "From another terminal, what each server lists, a call of each, and a host that is blocked:",
            "A token for alice",
        )
        probed = run(["sh", "-c", probe], env, Path("/"))
        code = end(program, signal.SIGINT)

    assert code in (0, -signal.SIGINT, 128 + signal.SIGINT)
    assert "Traceback" not in program.output
    assert port_is_free(port)

    command = [TUNNELGATE, "serve", "--config", str(state / "tunnelgate.yaml")]
    with running(command, environment(tmp_path), Path("/")) as server:
        answers, wrong = DemoClient(DemoState.from_folder(state)).probe(DOCS)
        code = end(server, signal.SIGTERM)

    assert wrong == []
    assert answers["blocked_body"].encode() == BLOCKED
    assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in server.output

    assert (probed.returncode, probed.stderr) == (0, ""), f"{probe} does not work as it is printed"
