"""`tunnelgate-servers serve`: a server by itself, out of one file, that answers only its own tokens."""

import os
import signal
import socket
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp.types import CallToolResult

from tests.servers.serving import Era, connected, own_check_options, token
from tests.servers.test_servers_command import COMMAND, invoke
from tests.support.postgres import Databases
from tests.support.processes import Running, environment, running
from tests.support.servers import exchange_bytes
from tests.support.tokens import ISSUER
from tunnelgate_servers.commands.options import OPTIONS, read_options
from tunnelgate_servers.known import SERVERS

LIMIT = 60  # seconds that anything may take
SECRET = "s3cr3t-of-the-database"
RESOURCE = "https://billing.example.com/mcp"
ALONE = "is required: by itself, a server answers only tokens that were made for it"


def write(folder: Path, options: Mapping[str, Any]) -> Path:
    file = folder / "server.yaml"
    file.write_text(yaml.safe_dump(dict(options), sort_keys=False), "utf-8")
    return file


def options_of(folder: Path, /, **options: Any) -> dict[str, Any]:
    """Return options with which any server has all it needs but its data; the keys are in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    own = own_check_options(folder, RESOURCE)
    (issuer,) = own["oauth"]["issuers"]
    issuer["jwks_file"] = Path(issuer["jwks_file"]).name
    return {"listen_addr": "127.0.0.1:0", **own, **options}


@contextmanager
def started(server: str, file: Path, home: Path) -> Generator[tuple[Running, str]]:
    """Start a server from a folder that is not the file's, and give it with its URL."""
    home.mkdir(exist_ok=True)
    ready = f"{server.replace('-', '_')} listens on "
    with running(
        [COMMAND, "serve", server, "--config", str(file)], environment(home), home, ready
    ) as process:
        (line,) = [each for each in process.lines if each.startswith(ready)]
        yield process, line.removeprefix(ready).strip().removesuffix("/mcp")


def ended(home: Path, server: str, file: Path) -> tuple[int, str, str]:
    """Run a server that is to end by itself, in a process of its own, because it sets up logging."""
    done = subprocess.run(
        [COMMAND, "serve", server, "--config", str(file)],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def billing(databases: Databases, tmp_path: Path) -> Path:
    """Return the file of a server with an empty ledger, which it reads by a role of its own."""
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    assert invoke("migrate", "billing-audit", "--database", url)[0] == 0
    return write(tmp_path, options_of(tmp_path, database=to_read))


async def call(url: str, era: Era, *scopes: str) -> CallToolResult:
    mine = token(*scopes, resource=RESOURCE, claims={"accounts": "*"})
    async with connected(url, era, mine) as client:
        return await client.call_tool("list_accounts", {})


@pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
@pytest.mark.anyio
async def test_the_official_client_is_answered_with_a_token_for_the_server(
    billing: Path, tmp_path: Path, era: Era
) -> None:
    with started("billing-audit", billing, tmp_path / "home") as (process, url):
        answered = await call(url, era, "billing:read")
        refused = await call(url, era, "billing:refund")
        process.process.send_signal(signal.SIGTERM)
        code = process.process.wait(LIMIT)

    assert (answered.is_error, refused.is_error) == (False, True)
    assert (code, len(process.lines)) == (0, 1), process.output


def test_whoever_has_no_token_for_the_server_is_answered_with_where_to_get_one(
    billing: Path, tmp_path: Path
) -> None:
    without: Mapping[str, Mapping[str, str]] = {
        "no token": {},
        "a token for another server": {"authorization": f"Bearer {token('billing:read')}"},
        "what is no token": {"authorization": "Bearer e30.e30.e30"},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with (
        started("billing-audit", billing, tmp_path / "home") as (_, url),
        httpx2.Client(timeout=LIMIT) as http,
    ):
        answers = {
            what: http.post(f"{url}/mcp", json=message, headers=headers) for what, headers in without.items()
        }
        health = http.get(f"{url}/healthz")

    assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(without, 401)
    assert all("resource_metadata=" in answer.headers["www-authenticate"] for answer in answers.values())
    assert health.status_code == 200


def test_what_two_servers_read_differently_is_refused(billing: Path, tmp_path: Path) -> None:
    heads = [b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nhost: b\r\n\r\n", b"POST /mcp HTTP/1.1\r\n\r\n"]
    with started("billing-audit", billing, tmp_path / "home") as (_, url):
        answers = [exchange_bytes(int(url.rpartition(":")[2]), head) for head in heads]

    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 400 "] * 2


@pytest.mark.parametrize(
    ("hosts", "answered", "refused"),
    [
        pytest.param({}, ["localhost", "127.0.0.1:9"], "billing.internal:9003", id="those of loopback"),
        pytest.param(
            {"allowed_hosts": ["billing.internal:9003", "billing.example.com"]},
            ["billing.internal:9003", "billing.example.com"],
            "localhost",
            id="those that are named",
        ),
    ],
)
def test_the_hosts_that_are_answered_are(
    billing: Path, tmp_path: Path, hosts: Mapping[str, Any], answered: list[str], refused: str
) -> None:
    write(tmp_path, {**yaml.safe_load(billing.read_text("utf-8")), **hosts})
    mine = {
        "authorization": f"Bearer {token('billing:read', resource=RESOURCE)}",
        "accept": "application/json, text/event-stream",
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    with (
        started("billing-audit", billing, tmp_path / "home") as (_, url),
        httpx2.Client(timeout=LIMIT) as http,
    ):
        statuses = {
            host: http.post(f"{url}/mcp", json=message, headers={**mine, "host": host}).status_code
            for host in (*answered, refused)
        }

    assert statuses == {**dict.fromkeys(answered, 200), refused: 421}


def test_files_and_sqlite_databases_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    options = options_of(
        folder,
        folder="documents",
        extra_files=["README.md", "/srv/other.md"],
        database="sqlite:///docs.sqlite",
        index_database="postgresql://owner@host/docs",
    )

    given = read_options("docs-readonly", write(folder, options)).given

    assert given == {
        "resource": RESOURCE,
        "oauth": {"issuers": ({"issuer": ISSUER, "jwks_file": folder / "jwks.json"},)},
        "folder": str(folder / "documents"),
        "extra_files": (str(folder / "README.md"), "/srv/other.md"),
        "database": f"sqlite:///{folder / 'docs.sqlite'}",
        "index_database": "postgresql://owner@host/docs",
    }


@pytest.mark.parametrize(
    ("kubernetes", "expected"),
    [
        pytest.param(
            {"kubeconfig": "kube.yaml", "context": "c"},
            {"kubeconfig": "{folder}/kube.yaml", "context": "c"},
            id="a file",
        ),
        pytest.param({"in_cluster": True}, {"in_cluster": True}, id="no file"),
    ],
)
def test_what_deploy_status_reads_is_looked_for_beside_the_file(
    tmp_path: Path, kubernetes: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    file = write(tmp_path, options_of(tmp_path, releases="releases", ref="main", kubernetes=dict(kubernetes)))

    given = read_options("deploy-status", file).given

    assert (given["releases"], given["ref"]) == (str(tmp_path / "releases"), "main")
    assert given["kubernetes"] == {
        key: value.format(folder=tmp_path) if isinstance(value, str) else value
        for key, value in expected.items()
    }


def test_a_relative_file_stays_where_it_was_when_the_folder_is_named_relatively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, options_of(tmp_path, database="sqlite:///tickets.sqlite"))
    monkeypatch.chdir(tmp_path.parent)

    given = read_options("tickets-draft", Path(os.path.relpath(tmp_path / "server.yaml"))).given

    assert given["database"] == f"sqlite:///{tmp_path / 'tickets.sqlite'}"


@pytest.mark.parametrize(
    ("listen_addr", "address"),
    [
        ("127.0.0.1:9001", ("127.0.0.1", 9001)),
        ("[::1]:9001", ("::1", 9001)),
        ("localhost:0", ("localhost", 0)),
        (":9001", ("", 9001)),
    ],
)
def test_the_address_is_host_and_port(tmp_path: Path, listen_addr: str, address: tuple[str, int]) -> None:
    options = options_of(tmp_path, database="sqlite:///tickets.sqlite", listen_addr=listen_addr)

    assert read_options("tickets-draft", write(tmp_path, options)).address == address


FAULTS = [
    pytest.param({"resource": None}, f"resource: {ALONE}", id="no resource"),
    pytest.param({"oauth": None}, f"oauth: {ALONE}", id="no issuers"),
    pytest.param({"listen_addr": None}, "listen_addr: is required", id="no address"),
    pytest.param(
        {"listen_addr": "9001"},
        "listen_addr = '9001': is not address:port, such as 127.0.0.1:8080 or :8080",
        id="only a port",
    ),
    pytest.param(
        {"listen_addr": "unix:/run/billing.sock"},
        "listen_addr = 'unix:/run/billing.sock': is a Unix socket, on which these servers do not listen",
        id="a Unix socket",
    ),
    pytest.param({"database": None}, "database: is required", id="no database"),
    pytest.param({"database": 7}, "database: is not a text", id="a number for a database"),
    pytest.param(
        {"database": f"mysql://user:{SECRET}@host/data"},
        "database: is for sqlite and postgresql, not mysql",
        id="another kind of database",
    ),
    pytest.param(
        {"database": f"postgresql://user:{SECRET}@host:port/data"},
        "database: is not a URL such as sqlite:///data.sqlite",
        id="a database without a port",
    ),
    pytest.param(
        {"databse": f"postgresql://user:{SECRET}/x@host/data"},
        "databse: is not a key; database is",
        id="a key with a mistake",
    ),
    pytest.param({"folder": "documents"}, "folder: is not a key", id="an option of another server"),
    pytest.param(
        {"allowed_hosts": []}, "allowed_hosts = []: is empty, which would allow nothing", id="no hosts"
    ),
    pytest.param(
        {"oauth": {"issuers": []}},
        "oauth.issuers = []: is empty, which would allow nothing",
        id="an empty list of issuers",
    ),
    pytest.param(
        {"oauth": {"issuers": [{"issuer": "https://login.example.com", "jwks": "x"}]}},
        "oauth.issuers[0].jwks: is not a key; jwks_uri is",
        id="an issuer's key with a mistake",
    ),
]


@pytest.mark.parametrize(("change", "fault"), FAULTS)
def test_a_fault_in_the_file_is_named_with_its_place(
    tmp_path: Path, change: Mapping[str, Any], fault: str
) -> None:
    options = {**options_of(tmp_path, database="sqlite:///billing.sqlite"), **change}
    file = write(tmp_path, {key: value for key, value in options.items() if value is not None})

    assert invoke("serve", "billing-audit", "--config", str(file)) == (2, "", f"{file}: 1 fault\n  {fault}\n")


def test_all_faults_are_told_at_once_and_no_secret(tmp_path: Path) -> None:
    file = write(tmp_path, {"database": f"mysql://user:{SECRET}@host/data", "colour": SECRET})

    code, out, error = invoke("serve", "billing-audit", "--config", str(file))

    assert (code, out) == (2, "")
    assert error.splitlines() == [
        f"{file}: 5 faults",
        "  listen_addr: is required",
        f"  resource: {ALONE}",
        f"  oauth: {ALONE}",
        "  database: is for sqlite and postgresql, not mysql",
        "  colour: is not a key",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"listen_addr: a\nlisten_addr: b\n", "stands twice", id="a key twice"),
        pytest.param(b"- a\n", "is not a mapping of settings", id="a list"),
        pytest.param(b"\xff", "it is not UTF-8", id="octets"),
        pytest.param(b"a: !!python/object/apply:os.system ['true']\n", "is not YAML", id="an object"),
    ],
)
def test_a_file_that_is_no_mapping_is_one_fault(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "server.yaml"
    file.write_bytes(content)

    code, out, error = invoke("serve", "billing-audit", "--config", str(file))

    assert (code, out) == (2, "")
    assert error.startswith(f"{file}: 1 fault\n  {file}: ")
    assert reason in error


def test_what_the_server_itself_finds_is_one_sentence(tmp_path: Path) -> None:
    file = write(tmp_path, options_of(tmp_path, database="sqlite:///missing.sqlite"))

    code, out, error = ended(tmp_path, "billing-audit", file)

    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "missing.sqlite cannot be opened: unable to open database file" in error


def test_a_database_that_was_never_migrated_is_answered_with_the_command_that_does_it(
    databases: Databases, tmp_path: Path
) -> None:
    url = databases.new()
    to_read = databases.reader(url, "billing-audit")
    invoke("migrate", "tickets-draft", "--database", url)  # of another server, so that there is a file
    file = write(tmp_path, options_of(tmp_path, database=to_read))

    code, out, error = ended(tmp_path, "billing-audit", file)

    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "run: tunnelgate-servers migrate billing-audit --database URL" in error


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        options = options_of(tmp_path, database="sqlite:///new.sqlite", listen_addr=f"127.0.0.1:{port}")
        done = ended(tmp_path, "tickets-draft", write(tmp_path, options))

    sentence = "is in use: stop what listens there, or choose another port."
    assert done == (1, "", f"127.0.0.1:{port} {sentence}\n")
    assert not (tmp_path / "new.sqlite").exists()


def test_there_are_options_for_every_server() -> None:
    assert list(OPTIONS) == list(SERVERS)
