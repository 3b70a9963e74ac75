import ast
import os
import shlex
import stat
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.servers import serve
from tunnelgate import Policy
from tunnelgate_app import demo
from tunnelgate_app.demo import (
    BLOCKED_HOST,
    ROUTES,
    DemoError,
    DemoState,
    default_documents,
    default_state_folder,
    introduction,
    prepare,
    python_client,
)
from tunnelgate_app.issuer.app import AUTHORIZE_PATH, PATHS
from tunnelgate_servers.docs_readonly import create_app

PORT = 18080
DOCS = ROUTES["docs"]
STATE = DemoState(PORT, "demo", "s3cret")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "tunnels.md").write_text("# Tunnels\n\nA tunnel carries bytes.\n", "utf-8")
    return folder


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_a_configuration_without_a_fault(tmp_path: Path, documents: Path) -> None:
    policy = Policy.from_file(prepare(tmp_path / "state", PORT, documents), {})

    assert policy.listen_addr == f"127.0.0.1:{PORT}"
    assert {name: policy.hostnames(name) for name in policy.routes} == {
        "docs": ("docs.tunnel.localhost",),
        "login": ("login.tunnel.localhost",),
    }
    assert list(policy.clients.allowed_ips) == ["127.0.0.0/8", "::1"]


@pytest.mark.promise("closed-by-default")
def test_the_configuration_lets_through_what_the_introduction_says(tmp_path: Path, documents: Path) -> None:
    policy = Policy.from_file(prepare(tmp_path / "state", PORT, documents), {})

    docs, login = policy.routes["docs"], policy.routes["login"]
    assert policy.resource("docs") == DOCS.resource(PORT) == f"http://docs.tunnel.localhost:{PORT}/mcp"
    assert (tuple(docs.scopes), tuple(docs.tool_requirements)) == (DOCS.scopes, DOCS.tools)
    assert tuple(docs.resource_requirements) == DOCS.resources
    assert (docs.prompts, docs.methods, docs.tasks) == (None, (), False)
    assert docs.public_paths == ()
    assert (login.speaks_mcp, tuple(login.public_paths)) == (False, PATHS)


@pytest.mark.anyio
async def test_the_server_behind_has_the_listed_and_the_unlisted_tools_and_no_others(
    tmp_path: Path, documents: Path
) -> None:
    app = create_app(folder=documents, index=tmp_path / "docs.sqlite")
    with serve(app) as port:
        async with (
            httpx2.AsyncClient() as http,
            Client(streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http)) as client,
        ):
            tools = (await client.list_tools()).tools
            called = await client.call_tool(DOCS.tool, DOCS.arguments)

    assert sorted(tool.name for tool in tools) == sorted(DOCS.tools + DOCS.unlisted)
    assert not called.is_error


@pytest.mark.promise("development-only")
def test_only_their_owner_can_read_the_files_with_secrets_and_the_folder(
    tmp_path: Path, documents: Path
) -> None:
    folder = tmp_path / "state"
    before = os.umask(0)
    try:
        prepare(folder, PORT, documents)
    finally:
        os.umask(before)

    secret = {"signing-key.json", "state.json", "tunnelgate.yaml"}
    assert {path.name for path in folder.iterdir()} == {*secret, "jwks.json"}
    assert {mode_of(folder / name) for name in secret} == {0o600}
    assert mode_of(folder) == 0o700


@pytest.mark.promise("development-only")
def test_the_keys_that_are_published_have_no_private_part(tmp_path: Path, documents: Path) -> None:
    prepare(tmp_path, PORT, documents)

    (published,) = orjson.loads((tmp_path / "jwks.json").read_bytes())["keys"]
    signing_key = orjson.loads((tmp_path / "signing-key.json").read_bytes())
    assert published == {name: value for name, value in signing_key.items() if name != "d"}
    assert "d" in signing_key


def test_what_another_command_needs_is_read_back(tmp_path: Path, documents: Path) -> None:
    prepare(tmp_path, PORT, documents)

    state = DemoState.from_folder(tmp_path)

    options = Policy.from_file(tmp_path / "tunnelgate.yaml", {}).routes["login"].options
    assert (state.port, state.client_id) == (PORT, options["client_id"])
    assert state.client_secret == options["client_secret"]
    assert state.gate == f"http://127.0.0.1:{PORT}"


def test_each_start_makes_a_new_key_and_a_new_secret(tmp_path: Path, documents: Path) -> None:
    prepare(tmp_path, PORT, documents)
    key, secret = (tmp_path / "jwks.json").read_bytes(), DemoState.from_folder(tmp_path).client_secret

    prepare(tmp_path, PORT, documents)

    assert (tmp_path / "jwks.json").read_bytes() != key
    assert DemoState.from_folder(tmp_path).client_secret != secret


@pytest.mark.parametrize("name", ["signing-key.json", "state.json", "tunnelgate.yaml"])
@pytest.mark.promise("development-only")
def test_a_file_that_others_could_read_before_is_replaced(tmp_path: Path, documents: Path, name: str) -> None:
    (tmp_path / name).touch(mode=0o644)

    with (tmp_path / name).open() as opened_before:
        prepare(tmp_path, PORT, documents)

        assert opened_before.read() == ""
    assert mode_of(tmp_path / name) == 0o600


def test_the_configuration_can_be_served_from_another_folder(
    tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").touch()

    configuration = prepare(Path("state"), PORT, Path(documents.name), (Path("README.md"),)).absolute()

    monkeypatch.chdir("/")
    policy = Policy.from_file(configuration, {})
    assert policy.oauth is not None
    options: Any = policy.routes["docs"].options
    login: Any = policy.routes["login"].options
    files = [policy.oauth.issuers[0].jwks_file, options["folder"], *options["extra_files"], login["key_file"]]
    assert [str(file) for file in files if not Path(str(file)).exists()] == []
    assert Path(policy.audit.file).parent == Path(options["index"]).parent == tmp_path / "state"


@pytest.mark.parametrize(
    "name",
    ["", "signing-key.json", "jwks.json", "state.json", "tunnelgate.yaml"],
    ids=lambda n: n or "the folder",
)
def test_what_cannot_be_written_is_one_sentence_that_names_it(
    tmp_path: Path, documents: Path, name: str
) -> None:
    folder = tmp_path / "state"
    if name:
        (folder / name).mkdir(parents=True)
    else:
        folder.touch()

    with pytest.raises(DemoError) as refused:
        prepare(folder, PORT, documents)

    assert str(refused.value).startswith(f"{folder / name} cannot be written: ")
    assert "\n" not in str(refused.value)


GOOD_STATE = {"port": PORT, "client_id": "demo", "client_secret": "s3cret"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="no file"),
        pytest.param(b"", id="an empty file"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"port": 8080}', id="only a part"),
        pytest.param(orjson.dumps({**GOOD_STATE, "more": 1}), id="more than there is"),
        pytest.param(orjson.dumps({**GOOD_STATE, "port": "many"}), id="a port that is no number"),
        pytest.param(orjson.dumps({**GOOD_STATE, "client_secret": None}), id="a secret that is no text"),
    ],
)
def test_a_state_that_cannot_be_read_is_one_sentence_that_says_what_to_do(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "state.json").write_bytes(content)

    with pytest.raises(DemoError) as refused:
        DemoState.from_folder(tmp_path)

    sentence = f"no demo has kept its state in {tmp_path}; start one: tunnelgate demo"
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        pytest.param({"XDG_STATE_HOME": "/state"}, "/state/tunnelgate/demo", id="the one of the variable"),
        pytest.param({}, "/home/eve/.local/state/tunnelgate/demo", id="the default of the specification"),
        pytest.param(
            {"XDG_STATE_HOME": ""}, "/home/eve/.local/state/tunnelgate/demo", id="an empty variable is none"
        ),
        pytest.param(
            {"XDG_STATE_HOME": "state"},
            "/home/eve/.local/state/tunnelgate/demo",
            id="a relative one is to be ignored",
        ),
    ],
)
def test_the_state_is_kept_where_the_user_keeps_state(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in {"HOME": "/home/eve", **variables}.items():
        monkeypatch.setenv(name, value)

    assert default_state_folder() == Path(folder)


@pytest.mark.checkout
def test_the_documents_of_a_working_copy_are_its_own() -> None:
    folder, files = default_documents()

    root = Path(__file__).parent.parent.parent
    assert (folder, files) == (root / "docs", (root / "README.md",))


def test_the_documents_of_an_installed_package_come_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "tunnelgate_app"
    (package / "documents" / "docs").mkdir(parents=True)
    (package / "documents" / "README.md").touch()
    monkeypatch.setattr(demo, "__file__", str(package / "demo.py"))

    documents = package / "documents"
    assert default_documents() == (documents / "docs", (documents / "README.md",))


@pytest.mark.parametrize("there", ["docs", "README.md", ""], ids=["only a folder", "only a file", "nothing"])
def test_without_documents_the_sentence_says_how_to_name_some(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there == "docs":
        (tmp_path / there).mkdir()
    elif there:
        (tmp_path / there).touch()
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "app" / "tunnelgate_app" / "demo.py"))

    with pytest.raises(DemoError, match=r"^there are no documents to search; name a folder with --docs$"):
        default_documents()


def test_the_introduction_names_everything_that_a_person_needs(tmp_path: Path) -> None:
    text = introduction(STATE, tmp_path, "tunnelgate")

    for part in (
        STATE.gate,
        DOCS.hostname,
        DOCS.resource(PORT),
        *DOCS.scopes,
        *DOCS.tools,
        *DOCS.unlisted,
        AUTHORIZE_PATH,
        BLOCKED_HOST,
        "tunnelgate probe --route docs",
        "$(tunnelgate token --route docs",
        str(tmp_path / "audit.jsonl"),
        str(tmp_path / "tunnelgate.yaml"),
        "Ctrl-C",
    ):
        assert part in text
    assert STATE.client_secret not in text


@pytest.mark.parametrize("command", ["probe", "token"])
def test_the_commands_that_are_printed_find_the_state_wherever_it_is_kept(
    tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "my state"

    text = introduction(STATE, folder, "tunnelgate")

    _, _, printed = text.partition(f"tunnelgate {command} --route docs")
    options = shlex.split(printed.partition("\n")[0].partition(")")[0])
    assert options == ["--state", str(folder)]


def test_the_program_for_the_sdk_can_be_copied_as_it_stands(tmp_path: Path) -> None:
    text = introduction(STATE, tmp_path, "tunnelgate")

    _, _, rest = text.partition("With the Python SDK:\n\n")
    program, found, _ = rest.partition("\n\nWith a client that logs in by itself")
    assert found
    ast.parse(program)
    assert program == python_client(STATE, DOCS, "TOKEN").rstrip("\n")


def test_the_program_for_the_sdk_is_python_with_the_token_in_it() -> None:
    program = python_client(STATE, DOCS, "eyJ0")

    ast.parse(program)
    assert '"Authorization": "Bearer eyJ0"' in program
    assert f'"{STATE.gate}/mcp"' in program
