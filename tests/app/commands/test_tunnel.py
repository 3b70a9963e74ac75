import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from tests.docs.blocks import blocks, matches, shell_commands
from tests.support.certificates import Authority
from tests.support.processes import environment
from tests.support.tunnels_api import ORGANIZATION, RULE, Scripted, Service, TunnelsApi, serving
from tunnelgate_app.cli import app

NONE_OF_THE_MACHINES: Mapping[str, str | None] = dict.fromkeys(
    (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_FEDERATION_RULE_ID",
        "ANTHROPIC_ORGANIZATION_ID",
        "ANTHROPIC_WORKSPACE_ID",
        "ANTHROPIC_SERVICE_ACCOUNT_ID",
        "ANTHROPIC_IDENTITY_TOKEN",
        "ANTHROPIC_IDENTITY_TOKEN_FILE",
        "TUNNEL_ID",
    )
)
CA = Authority("Test CA")
COMMANDS = [
    "create",
    "list",
    "show",
    "add-ca",
    "list-cas",
    "archive-ca",
    "reveal-token",
    "rotate-token",
    "archive",
]


@pytest.fixture(scope="module")
def service() -> Generator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def api(service: Service) -> TunnelsApi:
    return service.start_anew()


@pytest.fixture
def url(api: TunnelsApi, service: Service) -> str:
    return service.url


class Person:
    """Types commands in a folder, and keeps everything that was printed."""

    def __init__(self, env: Mapping[str, str | None], folder: Path) -> None:
        self.env = {**NONE_OF_THE_MACHINES, **env}
        self.folder = folder
        self.printed = ""

    def types(self, *arguments: object, answer: str = "") -> tuple[int, str, str]:
        """Return the exit code, the output, and what was complained about."""
        command = ["tunnel", *map(str, arguments)]
        result = CliRunner().invoke(app, command, env=self.env, input=answer)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        self.printed += result.stdout + result.stderr
        return result.exit_code, result.stdout, result.stderr

    def reads(self, *arguments: object, answer: str = "") -> Any:
        """Return the JSON that a command prints."""
        code, out, err = self.types(*arguments, "--json", answer=answer)
        assert code == 0, err
        return orjson.loads(out)


@pytest.fixture
def person(api: TunnelsApi, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    monkeypatch.chdir(tmp_path)
    return Person({"API_URL": url, "ANTHROPIC_AUTH_TOKEN": api.grant()}, tmp_path)


def test_a_first_tunnel_from_nothing_to_active_and_away(person: Person, api: TunnelsApi) -> None:
    code, out, err = person.types("create", "--name", "docs")

    (tunnel_id,) = api.tunnels
    token_id = api.tokens[tunnel_id]["id"]
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"id         {tunnel_id}",
        "name       docs",
        "domain     00000002.tunnel.anthropic.com",
        "state      Needs certificate",
        "transport  cloudflare",
        "created    2026-09-01",
        f"The token {token_id} is in data/tunnel-token, which its owner alone can read.",
        "",
        "It takes no traffic until a CA is registered:",
        "  tunnelgate certs init --output data",
        "  tunnelgate tunnel add-ca data/ca.crt",
    ]
    token_file = person.folder / "data" / "tunnel-token"
    assert (token_file.read_text(), stat.S_IMODE(token_file.stat().st_mode)) == (api.issued[0], 0o600)

    (person.folder / "data" / "ca.crt").write_text(CA.pem)
    code, out, err = person.types("add-ca", "data/ca.crt")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"data/ca.crt is registered for {tunnel_id}."

    code, out, err = person.types("list")
    assert (code, err) == (0, "")
    assert re.split(r" {2,}", out.splitlines()[1]) == [
        tunnel_id,
        "Active",
        "00000002.tunnel.anthropic.com",
        "cloudflare",
        "docs",
    ]

    code, out, err = person.types("archive", "--tunnel-id", tunnel_id, answer=f"{tunnel_id}\n")
    assert (code, "state      Archived" in out) == (0, True)
    assert err == (
        f"{tunnel_id} (docs) is archived for good: 00000002.tunnel.anthropic.com is never given out again,"
        " its CAs are archived with it, and its token is invalid.\nType the tunnel's id to archive it: "
    )
    assert person.types("list") == (0, "There are no tunnels.\n", "")
    assert [each["state"] for each in person.reads("list", "--archived")] == ["Archived"]
    assert api.secrets_in(person.printed) == []


def test_the_commands_that_are_shown_next_work_as_they_are(person: Person, api: TunnelsApi) -> None:
    _, out, _ = person.types("create", "--output", "my data")
    commands = [line.strip() for line in out.splitlines() if line.startswith("  tunnelgate ")]

    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:], env=person.env)
        assert (done.exit_code, done.stderr) == (0, ""), command

    assert len(commands) == 2
    assert [each["state"] for each in person.reads("list")] == ["Active"]


def test_json_of_a_new_tunnel_has_the_tokens_file_and_not_the_token(person: Person, api: TunnelsApi) -> None:
    made = person.reads("create", "--output", "data")

    (tunnel_id,) = api.tunnels
    assert made == {
        "id": tunnel_id,
        "domain": "00000002.tunnel.anthropic.com",
        "display_name": None,
        "state": "Needs certificate",
        "transport": "cloudflare",
        "created_at": "2026-09-01T12:02:00Z",
        "archived_at": None,
        "token": {"id": api.tokens[tunnel_id]["id"], "file": "data/tunnel-token"},
    }


@pytest.mark.parametrize("transport", ["cloudflare", "relay"])
def test_a_token_is_printed_where_it_was_asked_for_alone(
    transport: str, person: Person, api: TunnelsApi
) -> None:
    api.transport = transport

    _, out, _ = person.types("create", "--reveal", "--token-file", "token")
    made = person.reads("create", "--reveal", "--output", "other")
    rotated = person.reads("rotate-token", "--output", "other", "--reveal")

    assert f"\n{api.issued[0]}\n" in out
    assert (person.folder / "token").read_text() == api.issued[0]
    assert (made["token"]["value"], rotated["token"]["value"]) == tuple(api.issued[1:])


@pytest.mark.parametrize(
    ("transport", "effect"),
    [
        ("cloudflare", "The old token opens no more connections. Those that are open stay until they end,"),
        ("relay", "The connections that were made with the old token are closed. Nothing comes through"),
    ],
)
def test_a_rotation_says_what_becomes_of_connections(
    transport: str, effect: str, person: Person, api: TunnelsApi
) -> None:
    api.transport = transport
    person.types("create")

    code, out, err = person.types("rotate-token", "--reason", "a leak")
    told = person.reads("rotate-token")

    (tunnel_id,) = api.tunnels
    assert (code, err) == (0, "")
    assert effect in out
    assert (told["tunnel_id"], told["transport"]) == (tunnel_id, transport)
    assert told["effect"].startswith(effect)
    assert (person.folder / "data" / "tunnel-token").read_text() == api.issued[2]
    assert api.secrets_in(person.printed) == []


def test_a_tunnel_of_the_console_gets_its_folder(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()

    code, out, _ = person.types("reveal-token", "--tunnel-id", tunnel_id)
    told = person.reads("reveal-token")

    token_id = api.tokens[tunnel_id]["id"]
    assert (code, out) == (
        0,
        f"The token {token_id} is in data/tunnel-token, which its owner alone can read.\n",
    )
    assert told == {"tunnel_id": tunnel_id, "token": {"id": token_id, "file": "data/tunnel-token"}}
    assert {each.name: each.read_text() for each in (person.folder / "data").iterdir()} == {
        "tunnel-id": tunnel_id,
        "tunnel-domain": "00000001.tunnel.anthropic.com",
        "tunnel-token": api.issued[0],
    }


def test_the_tunnel_can_come_from_the_environment(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()
    person.env["TUNNEL_ID"] = tunnel_id

    assert person.reads("show")["id"] == tunnel_id


def test_show_has_the_cas_too(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel("docs")
    without = person.types("show", "--tunnel-id", tunnel_id)
    certificate_id = api.add_certificate(tunnel_id, CA.pem)

    code, out, err = person.types("show", "--tunnel-id", tunnel_id)
    shown = person.reads("show", "--tunnel-id", tunnel_id)

    assert "Needs certificate" in without[1]
    assert (code, err) == (0, "")
    assert "state      Active" in out
    assert out.splitlines()[-1].startswith(f"{certificate_id}  registered  ")
    assert [each["id"] for each in shown["certificates"]] == [certificate_id]
    assert shown["certificates"][0]["expired"] is False


def test_show_asks_for_no_cas_of_a_tunnel_that_is_archived(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()
    person.types("archive", "--tunnel-id", tunnel_id, "--yes")
    api.seen.clear()

    assert person.reads("show", "--tunnel-id", tunnel_id)["state"] == "Archived"
    assert api.calls == [f"GET /v1/tunnels/{tunnel_id}"]


def test_a_ca_that_is_there_is_not_sent_again(person: Person, api: TunnelsApi) -> None:
    person.types("create")
    CA.write(person.folder / "data", "ca")
    first = person.reads("add-ca", "data/ca.pem")

    code, out, err = person.types("add-ca", "data/ca.pem")
    again = person.reads("add-ca", "data/ca.pem")

    (tunnel_id,) = api.tunnels
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"data/ca.pem was registered for {tunnel_id} before; nothing was sent."
    assert (first["was_there"], again["was_there"]) == (False, True)
    assert first["fingerprint"] == again["fingerprint"]
    assert len(api.certificates) == 1


def test_a_private_key_is_not_sent_to_anybody(person: Person, api: TunnelsApi) -> None:
    person.types("create")
    api.seen.clear()
    (person.folder / "ca.pem").write_text(CA.pem + CA.credential.key_pem())

    code, out, err = person.types("add-ca", "ca.pem", "--output", "data")

    assert (code, out, api.seen) == (1, "", [])
    assert err.startswith("ca.pem is no CA that can be registered. Nothing was sent.\n  ")
    assert "private key" in err


def test_cas_are_listed(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()
    option = ("--tunnel-id", tunnel_id)
    nothing = person.types("list-cas", *option)
    certificate_id = api.add_certificate(tunnel_id, CA.pem)
    _, out, _ = person.types("list-cas", *option)
    person.types("archive-ca", certificate_id, *option, "--yes")

    assert nothing == (0, f"{tunnel_id} has no CA. It takes no traffic until one is registered.\n", "")
    assert out.splitlines()[1].startswith(f"{certificate_id}  registered  ")
    assert person.reads("list-cas", *option) == []
    assert [each["id"] for each in person.reads("list-cas", *option, "--archived")] == [certificate_id]


@pytest.mark.parametrize("answer", ["", "\n", "yes\n", "tcrt_2\n"])
def test_the_last_ca_is_archived_only_when_its_id_is_typed(
    answer: str, person: Person, api: TunnelsApi
) -> None:
    tunnel_id = api.add_tunnel()
    last = api.add_certificate(tunnel_id, CA.pem)
    command = ("archive-ca", last, "--tunnel-id", tunnel_id)

    code, out, err = person.types(*command, answer=answer)

    assert (code, out) == (1, "")
    assert err == (
        f"{last} is the last CA of {tunnel_id}. Without one, no traffic comes through.\nType the CA's id to"
        " archive it: nothing was archived: the CA's id was not typed; where nobody can, give --yes\n"
    )
    assert person.types(*command, answer=f"{last}\n")[:2] == (0, f"{last} is archived.\n")


def test_one_of_two_cas_is_archived_without_a_question(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()
    old, _ = (api.add_certificate(tunnel_id, Authority(name).pem) for name in ("old", "new"))

    archived = person.reads("archive-ca", old, "--tunnel-id", tunnel_id)

    assert (archived["id"], archived["archived_at"] is None) == (old, False)


@pytest.mark.parametrize("answer", ["", "yes\n", "tnl_1\n"])
def test_a_tunnel_is_archived_only_when_its_id_is_typed(answer: str, person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()

    code, out, err = person.types("archive", "--tunnel-id", tunnel_id, answer=answer)

    assert (code, out) == (1, "")
    assert err.endswith("nothing was archived: the tunnel's id was not typed; where nobody can, give --yes\n")
    assert all(each.startswith("GET") for each in api.calls)


def test_a_tunnel_that_is_archived_is_not_asked_about(person: Person, api: TunnelsApi) -> None:
    tunnel_id = api.add_tunnel()
    first = person.reads("archive", "--tunnel-id", tunnel_id, "--yes")

    assert person.reads("archive", "--tunnel-id", tunnel_id) == first
    assert len([each for each in api.calls if each.endswith("/archive")]) == 1


def test_an_identity_token_in_a_file_is_enough(api: TunnelsApi, url: str, tmp_path: Path) -> None:
    file = tmp_path / "identity"
    file.write_text(api.identity_token())
    person = Person(
        {
            "API_URL": url,
            "ANTHROPIC_FEDERATION_RULE_ID": RULE,
            "ANTHROPIC_ORGANIZATION_ID": ORGANIZATION,
            "ANTHROPIC_IDENTITY_TOKEN_FILE": str(file),
        },
        tmp_path,
    )

    assert person.types("list") == (0, "There are no tunnels.\n", "")


def test_a_token_in_a_file_is_enough(api: TunnelsApi, url: str, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text(api.grant())
    person = Person({}, tmp_path)

    assert person.types("list", "--auth-token-file", file, "--api-url", url)[0] == 0


def test_a_token_can_be_given_to_the_user_of_the_service(person: Person) -> None:
    (person.folder / "data").mkdir(mode=0o700)
    owner = f"{person.folder.stat().st_uid}:{person.folder.stat().st_gid}"

    code, _, err = person.types("create", "--owner", owner)

    assert (code, err) == (0, "")
    assert (person.folder / "data" / "tunnel-token").stat().st_uid == person.folder.stat().st_uid


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["create", "--name", ""], "a name has 1 to 255 characters, and this one has 0", id="no name"
        ),
        pytest.param(
            ["create", "--name", "x" * 256],
            "a name has 1 to 255 characters, and this one has 256",
            id="a name that is too long",
        ),
        pytest.param(
            ["create", "--owner", "nobody"],
            "--owner 'nobody' is not UID or UID:GID in numbers, such as 65532:65532",
            id="an owner by name",
        ),
        pytest.param(
            ["show", "--tunnel-id", "abcd1234.tunnel.anthropic.com"],
            "'abcd1234.tunnel.anthropic.com' is no id of a tunnel, which begins with tnl_; see `tunnelgate"
            " tunnel list`",
            id="a domain in place of an id",
        ),
        pytest.param(
            ["show"],
            "name the tunnel by --tunnel-id, or its folder by --output; data is that of no tunnel",
            id="no tunnel",
        ),
        pytest.param(
            ["archive-ca", "tnl_1", "--tunnel-id", "tnl_1"],
            "'tnl_1' is no id of a CA, which begins with tcrt_",
            id="a tunnel in place of a CA",
        ),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_asked(
    arguments: list[str], sentence: str, person: Person, api: TunnelsApi
) -> None:
    code, out, err = person.types(*arguments)

    assert (code, out, api.seen) == (2, "", [])
    assert err.splitlines()[-1] == f"Error: Invalid value: {sentence}"


def test_a_folder_of_a_tunnel_does_not_archive_it(person: Person) -> None:
    person.types("create")

    code, _, err = person.types("archive", "--yes")

    assert code == 2
    assert "--tunnel-id" in err


def test_what_the_api_refuses_is_a_sentence_with_the_request_id(person: Person, api: TunnelsApi) -> None:
    code, out, err = person.types("show", "--tunnel-id", "tnl_1")

    assert (code, out) == (1, "")
    assert err == (
        "the tunnel was not read: there is no such thing for these credentials; compare the id with"
        " `tunnelgate tunnel list`, and the workspace and the organization with those of the tunnel (it said:"
        " No such tunnel; request id req_000000000000000000000001)\n"
    )


def test_without_the_sdk_the_extra_is_named(tmp_path: Path) -> None:
    program = "import sys; sys.modules['anthropic'] = None; from tunnelgate_app.cli import app; app()"

    done = subprocess.run(
        [sys.executable, "-c", program, "tunnel", "list"],
        env=environment(tmp_path, ANTHROPIC_AUTH_TOKEN="s3cr3t"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    sentence = "`tunnelgate tunnel` needs anthropic: pip install 'tunnelgate[admin]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["tunnel", command, "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    assert re.search(rf"^  Example: tunnelgate tunnel {command}( |$)", result.stdout, re.MULTILINE)
    assert "--json" in result.stdout


def test_no_option_takes_a_token_on_the_command_line() -> None:
    taken: set[tuple[str, str]] = set()
    for command in COMMANDS:
        shown = CliRunner().invoke(app, ["tunnel", command, "--help"], env={"COLUMNS": "200"}).stdout
        taken |= {*re.findall(r"^  (--[a-z-]*(?:token|secret|key)[a-z-]*) +(\S*)", shown, re.MULTILINE)}

    assert taken == {("--auth-token-file", "<path>"), ("--token-file", "<path>")}


def test_the_commands_are_these() -> None:
    shown = CliRunner().invoke(app, ["tunnel", "--help"]).stdout

    assert re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", shown, re.MULTILINE) == COMMANDS


LEAKING = """\
import json, logging, os, sys

logging.basicConfig(level=logging.DEBUG)
from tunnelgate_app.cli import app

ways, tunnel_id = json.loads(sys.stdin.read()), sys.argv[1]
for number, way in enumerate(ways):
    os.environ.update(way)
    folder = ["--output", f"data-{number}"]
    for arguments in (
        ["create", *folder],
        ["rotate-token", "--json", *folder],
        ["reveal-token", *folder],
        ["list"],
        ["show", "--tunnel-id", tunnel_id],
        ["show", "--tunnel-id", "tnl_0"],
    ):
        try:
            app(["tunnel", *arguments])
        except SystemExit as error:
            print("ended", error.code)
    for name in way:
        del os.environ[name]
"""


def test_no_token_is_in_anything_that_is_printed_or_logged(api: TunnelsApi, url: str, tmp_path: Path) -> None:
    identity = api.identity_token()
    exchange = {
        "ANTHROPIC_FEDERATION_RULE_ID": RULE,
        "ANTHROPIC_ORGANIZATION_ID": ORGANIZATION,
        "ANTHROPIC_IDENTITY_TOKEN": identity,
    }
    ways = [{"ANTHROPIC_AUTH_TOKEN": api.grant()}, exchange]
    tunnel_id = api.add_tunnel()
    api.script(f"GET /v1/tunnels/{tunnel_id}", Scripted(500, b"{}", {"retry-after-ms": "1"}))

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "default", "-c", LEAKING, tunnel_id],
        env=environment(tmp_path, API_URL=url, ANTHROPIC_LOG="debug"),
        cwd=tmp_path,
        input=orjson.dumps(ways).decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    printed = done.stdout + done.stderr
    assert re.findall("^ended (.)$", done.stdout, re.MULTILINE) == ["0", "0", "0", "0", "0", "1"] * 2, printed
    assert "DEBUG:anthropic._base_client:Sending HTTP Request: POST" in printed
    assert "Retrying due to status code 500" in printed
    assert len(api.issued) == 5
    assert api.secrets_in(printed) == []
    assert identity[:40] not in printed
    written = [(tmp_path / f"data-{number}" / "tunnel-token").read_text() for number in (0, 1)]
    assert written == [api.issued[2], api.issued[4]]


def narrow(table: str) -> str:
    """Return a table whose columns are as wide as they are where ids are written as three dots."""
    return re.sub(" {2,}", "  ", table)


@pytest.mark.checkout
def test_a_person_who_types_what_the_page_shows_sees_what_it_shows(person: Person, api: TunnelsApi) -> None:
    page = [block for block in blocks("") if block.page.name == "administration.md"]
    shown = [pair for block in page for pair in shell_commands(block.text)]

    for command, output in shown:
        for prefix, known in (("tnl_…", api.tunnels), ("tcrt_…", api.certificates)):
            command = command.replace(prefix, next(iter(known), ""))  # noqa: PLW2901 - as a person would
        done = CliRunner().invoke(app, shlex.split(command)[1:], env=person.env)

        assert (done.exit_code, done.stderr) == (0, ""), command
        assert matches(narrow(output), narrow(done.stdout)), done.stdout

    assert {command.split()[2] for command, _ in shown if " tunnel " in command} == {*COMMANDS}
