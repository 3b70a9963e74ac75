import ast
import os
import pwd
import shlex
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from tunnelgate import Policy
from tunnelgate_app.demo import (
    ACCOUNTS,
    BLOCKED_HOST,
    CLIENT_ID,
    DESK_ROUTE,
    ISSUER_ROUTE,
    PROGRAM,
    ROUTES,
    TERMINAL,
    USERS,
    DemoError,
    DemoRoute,
    DemoState,
    default_documents,
    default_state_folder,
    hostname_of,
    introduction,
    prepare,
    url_of,
)
from tunnelgate_app.issuer.app import PATHS

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
    names = ["docs", "tickets", "billing", "deploy", "desk", "login"]
    assert {name: policy.hostnames(name) for name in policy.routes} == {
        name: (f"{name}.tunnel.localhost",) for name in names
    }
    assert list(policy.clients.allowed_ips) == ["127.0.0.0/8", "::1"]
    assert list(policy.warnings) == []


@pytest.mark.parametrize("demo", ROUTES.values(), ids=ROUTES)
@pytest.mark.promise("closed-by-default")
def test_the_configuration_lets_through_what_the_introduction_says(
    demo: DemoRoute, tmp_path: Path, documents: Path
) -> None:
    policy = Policy.from_file(prepare(tmp_path / "state", PORT, documents), {})

    route = policy.routes[demo.name]
    assert policy.resource(demo.name) == demo.resource(PORT) == f"http://{demo.hostname}:{PORT}/mcp"
    assert (tuple(route.scopes), tuple(route.tool_requirements)) == (demo.scopes, demo.tools)
    assert isinstance(route.tool_requirements, Mapping)
    assert {name: tuple(needed.scopes) for name, needed in route.tool_requirements.items()} == {
        name: demo.tool_scopes.get(name, ()) for name in demo.tools
    }
    assert tuple(route.resource_requirements) == demo.resources
    assert (route.prompts, route.methods, route.tasks) == (None, (), False)
    assert route.public_paths == ()


@pytest.mark.promise("closed-by-default")
def test_the_desk_and_the_issuer_speak_no_mcp(tmp_path: Path, documents: Path) -> None:
    policy = Policy.from_file(prepare(tmp_path / "state", PORT, documents), {})

    desk, login = policy.routes[DESK_ROUTE], policy.routes[ISSUER_ROUTE]
    assert [desk.speaks_mcp, login.speaks_mcp] == [False, False]
    assert tuple(login.public_paths) == PATHS
    assert "/healthz" not in desk.public_paths


def test_drafting_needs_more_than_reading_so_that_step_up_can_be_seen() -> None:
    tickets = ROUTES["tickets"]

    assert tickets.scopes == ("tickets:read",)
    assert tickets.offered == ("tickets:read", "tickets:draft")
    assert set(tickets.tool_scopes) == {"create_draft", "update_draft", "discard_draft"}


def test_the_issuer_offers_what_listed_tools_need_and_nothing_else(tmp_path: Path, documents: Path) -> None:
    policy = Policy.from_file(prepare(tmp_path / "state", PORT, documents), {})

    login: Any = policy.routes[ISSUER_ROUTE].options
    assert login["resources"] == {
        **{route.resource(PORT): list(route.offered) for route in ROUTES.values()},
        policy.routes[DESK_ROUTE].options["resource"]: ["tickets:submit"],
    }
    assert login["users"] == list(USERS)
    assert {each["client_id"] for each in login["clients"]} == {DESK_ROUTE, TERMINAL}


def test_the_accounts_of_two_people_are_different_ones() -> None:
    alice, bob = (set(ACCOUNTS[user]) for user in USERS)

    assert ACCOUNTS[CLIENT_ID] == "*"
    assert alice
    assert bob
    assert alice & bob == set()


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
    assert {path.name for path in folder.iterdir()} == {*secret, "jwks.json", PROGRAM}
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


def test_each_start_makes_a_new_key_and_new_secrets(tmp_path: Path, documents: Path) -> None:
    made: list[tuple[Any, ...]] = []
    for _ in range(2):
        policy = Policy.from_file(prepare(tmp_path, PORT, documents), {})
        secret = DemoState.from_folder(tmp_path).client_secret
        desk: Any = policy.routes[DESK_ROUTE].options
        login: Any = policy.routes[ISSUER_ROUTE].options
        assert login["client_secret"] == secret
        assert desk["client_secret"] in [each.get("client_secret") for each in login["clients"]]
        made.append(((tmp_path / "jwks.json").read_bytes(), secret, desk["client_secret"]))

    assert len({*made[0], *made[1]}) == 6


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
    options: dict[str, Any] = {name: route.options for name, route in policy.routes.items()}
    docs, login = options["docs"], options["login"]
    files = [policy.oauth.issuers[0].jwks_file, docs["folder"], *docs["extra_files"], login["key_file"]]
    assert [str(file) for file in files if not Path(str(file)).exists()] == []
    state = tmp_path / "state"
    assert Path(policy.audit.file).parent == Path(options["deploy"]["releases"]).parent == state
    databases = {name: each["database"] for name, each in options.items() if "database" in each}
    assert databases == {
        "docs": f"sqlite:///{state}/documents.sqlite",
        "tickets": f"sqlite:///{state}/tickets.sqlite",
        "billing": f"sqlite:///{state}/billing.sqlite",
        "desk": f"sqlite:///{state}/tickets.sqlite",
    }


@pytest.mark.parametrize(
    "name",
    ["", "signing-key.json", "jwks.json", "state.json", PROGRAM, "tunnelgate.yaml"],
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


def test_who_has_no_home_can_still_be_told_of_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    assert default_state_folder() == Path("~/.local/state/tunnelgate/demo")


@pytest.mark.checkout
def test_the_documents_of_a_working_copy_are_its_own() -> None:
    folder, files = default_documents()

    root = Path(__file__).parent.parent.parent
    assert (folder, files) == (root / "docs", (root / "README.md",))


def test_the_documents_of_an_installed_package_come_with_it(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "tunnelgate_app"
    (package / "documents" / "docs").mkdir(parents=True)
    (package / "documents" / "README.md").touch()

    documents = package / "documents"
    assert default_documents(package) == (documents / "docs", (documents / "README.md",))


@pytest.mark.parametrize("there", ["docs", "README.md", ""], ids=["only a folder", "only a file", "nothing"])
def test_without_documents_the_sentence_says_how_to_name_some(there: str, tmp_path: Path) -> None:
    if there == "docs":
        (tmp_path / there).mkdir()
    elif there:
        (tmp_path / there).touch()

    with pytest.raises(DemoError, match=r"^there are no documents to search; name a folder with --docs$"):
        default_documents(tmp_path / "app" / "tunnelgate_app")


def test_the_introduction_names_everything_that_a_person_needs(tmp_path: Path) -> None:
    text = introduction(STATE, tmp_path, "tunnelgate")

    for route in ROUTES.values():
        for part in (route.hostname, ", ".join(route.tools), ", ".join(route.unlisted)):
            assert part in text
    for part in (
        STATE.gate,
        f"{url_of(DESK_ROUTE, PORT)}/",
        hostname_of(ISSUER_ROUTE),
        BLOCKED_HOST,
        "tunnelgate probe",
        "tunnelgate token --route tickets --user alice",
        "$(tunnelgate token --route docs",
        ROUTES["tickets"].resource(PORT),
        str(tmp_path / PROGRAM),
        str(tmp_path / "audit.jsonl"),
        str(tmp_path / "tunnelgate.yaml"),
        "Ctrl-C",
    ):
        assert part in text
    assert STATE.client_secret not in text


def test_the_introduction_fits_a_terminal_below_the_lines_with_which_the_gate_starts() -> None:
    lines = introduction(STATE, default_state_folder(), "tunnelgate").splitlines()

    assert len(lines) <= 34
    by_itself = [line for line in lines if str(default_state_folder()) not in line]
    assert [line for line in by_itself if len(line) > 100] == []


@pytest.mark.parametrize("command", ["probe", "token --route tickets --user alice", "token --route docs"])
def test_the_commands_that_are_printed_find_the_state_wherever_it_is_kept(
    tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "my state"

    text = introduction(STATE, folder, "tunnelgate")

    _, _, printed = text.partition(f"tunnelgate {command}")
    options = shlex.split(printed.partition("\n")[0].partition(")")[0])
    assert options == ["--state", str(folder)]


def test_the_program_for_the_sdk_is_beside_the_configuration_and_has_no_secret(
    tmp_path: Path, documents: Path
) -> None:
    prepare(tmp_path, PORT, documents)

    program = (tmp_path / PROGRAM).read_text("utf-8")
    ast.parse(program)
    assert f'"{STATE.gate}/mcp"' in program
    assert DemoState.from_folder(tmp_path).client_secret not in program
    line = next(line for line in introduction(STATE, tmp_path, "tunnelgate").splitlines() if PROGRAM in line)
    assert shlex.split(line)[-3:] == [sys.executable, str(tmp_path / PROGRAM), "docs"]
