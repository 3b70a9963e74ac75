import os
import re
import shlex
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from typer.testing import CliRunner

from tests.app.certificates.crafting import DOMAIN, server
from tests.app.certificates.handshaking import strict_client
from tests.docs.blocks import ROOT, matches, shell_commands
from tests.support.asgi import Spy
from tests.support.certificates import Credential
from tests.support.servers import serve
from tunnelgate.tls_files import TlsFileLoader, new_context
from tunnelgate_app.certificates.faults import FaultName
from tunnelgate_app.certificates.files import locked
from tunnelgate_app.certificates.reading import read_certificates, read_key
from tunnelgate_app.cli import app

PAGE = ROOT / "docs" / "certificates.md"


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Run `tunnelgate certs` in this process; return its exit code, its output and its complaints."""
    result = CliRunner().invoke(app, ["certs", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that `certs init` has filled."""
    output = tmp_path / "data"
    assert invoke("init", "--domain", DOMAIN, "--output", output)[0] == 0
    return output


def days_left(folder: Path) -> int:
    until = read_certificates((folder / "tls.crt").read_bytes())[0].valid_until
    return round((until - datetime.now(UTC)) / timedelta(days=1))


def shown(folder: Path, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(invoke("show", "--output", folder, "--json", *arguments)[1])
    return {each["file"]: each for each in document["certificates"]}


def test_a_folder_is_made_whose_certificates_have_no_fault(tmp_path: Path) -> None:
    output = tmp_path / "a" / "data"

    code, out, err = invoke("init", "--domain", DOMAIN, "--output", output)

    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith(f"{output}: ca.crt is new, until ")
    assert out.splitlines()[-1] == f"Tell the tunnel of it: tunnelgate tunnel add-ca {output / 'ca.crt'}"
    assert invoke("show", "--output", output, "--host", f"docs.{DOMAIN}")[0] == 0
    assert days_left(output) == 90


def test_the_same_again_changes_nothing(folder: Path) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()}

    code, out, _ = invoke("init", "--domain", DOMAIN, "--output", folder)

    assert (code, out) == (0, f"{folder}: ca.crt and tls.crt stay as they are\n")
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in folder.iterdir()} == before


def test_hostnames_of_their_own_are_served_without_a_domain(tmp_path: Path) -> None:
    hosts = ["--host", "a.b.example.com", "--host", "C.example.com"]

    assert invoke("init", *hosts, "--output", tmp_path, "--key-type", "ecdsa-p384")[0] == 0

    tls = shown(tmp_path)["tls.crt"]
    assert (tls["names"], tls["key"]) == (["a.b.example.com", "c.example.com"], "ECDSA P-384")


def test_the_domain_is_that_of_the_tunnel_whose_folder_it_is(tmp_path: Path) -> None:
    (tmp_path / "tunnel-domain").write_text(f"{DOMAIN}\n")

    assert invoke("init", "--output", tmp_path)[0] == 0

    assert shown(tmp_path)["tls.crt"]["names"] == [DOMAIN, f"*.{DOMAIN}"]


def test_files_are_given_to_the_user_who_is_to_read_them(tmp_path: Path) -> None:
    owner = f"{os.geteuid()}:{os.getegid()}"

    code, _, err = invoke("init", "--domain", DOMAIN, "--output", tmp_path, "--owner", owner)

    status = (tmp_path / "tls.key").stat()
    assert (code, err) == (0, "")
    assert (f"{status.st_uid}:{status.st_gid}", stat.S_IMODE(status.st_mode)) == (owner, 0o600)


def test_a_folder_that_the_owner_cannot_enter_is_a_warning(folder: Path) -> None:
    folder.chmod(0o700)
    is_root = os.geteuid() == 0
    owner = "65532" if is_root else str(os.geteuid())

    code, _, err = invoke("init", "--domain", DOMAIN, "--output", folder, "--owner", owner)

    assert code == 0
    assert err == (
        f"warning: {folder}: the user 65532 cannot enter the folder. Allow it: chmod o+x {folder}\n"
        if is_root
        else ""
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["init"], "name the tunnel's domain with --domain, or hostnames with --host"),
        (["init", "--domain", "10.1.2.3"], "--domain = '10.1.2.3' is not a hostname such as"),
        (["init", "--host", "*.example.com"], "--host = '*.example.com' is not a hostname such as"),
        (["init", "--host", "a", "--owner", "root"], "--owner = 'root' is not UID or UID:GID"),
        (
            ["init", "--host", "a", "--cert-duration", "90d"],
            "--cert-duration = '90d' is not a duration such as",
        ),
        (["init", "--host", "a", "--cert-duration", "0"], "--cert-duration = '0' is not a duration such as"),
        (["init", "--host", "a", "--cert-duration", "59s"], "--cert-duration = '59s' is not a duration such"),
        (["init", "--host", "a", "--cert-duration", "88000h"], "of at most ten years"),
        (["init", "--host", "a", "--cert-duration", ""], "--cert-duration = '' is not a duration such"),
        (["renew", "--renew-before", "never"], "--renew-before = 'never' is not a duration such as"),
        (["renew", "--renew-before", "2160h"], "--renew-before must be shorter than --cert-duration"),
        (["rotate-ca", "--sign", "--finish"], "--sign and --finish are two steps"),
        (["show", "--host", "a b"], "--host = 'a b' is not a hostname such as"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_and_makes_nothing(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    code, out, err = invoke(*arguments, "--output", tmp_path / "data")

    assert (code, out) == (2, "")
    assert sentence in " ".join(re.sub("[│╭╮╰╯─]", "", err).split())
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["renew", "rotate-ca", "show"])
def test_a_folder_that_is_not_there_is_one_sentence(command: str, tmp_path: Path) -> None:
    code, out, err = invoke(command, "--output", tmp_path / "data")

    assert (code, out) == (1, "")
    assert err.startswith(f"{tmp_path / 'data'} ")
    assert err.count("\n") == 1


def test_a_certificate_that_lives_long_enough_is_left_alone(folder: Path) -> None:
    before = (folder / "tls.crt").read_bytes()

    code, out, err = invoke("renew", "--output", folder)

    assert (code, err) == (0, "")
    assert re.fullmatch(
        rf"{folder}: tls\.crt is valid for another 89 days, .*, and due in its last 30 days\n", out
    )
    assert (folder / "tls.crt").read_bytes() == before


@pytest.mark.parametrize("before", ["0", "0s"])
def test_a_renewal_of_always_keeps_the_key_and_the_ca(folder: Path, before: str) -> None:
    old = {path.name: path.read_bytes() for path in folder.iterdir()}

    code, out, _ = invoke("renew", "--output", folder, "--renew-before", before, "--cert-duration", "480h")

    assert (code, days_left(folder)) == (0, 20)
    assert out.endswith("with the same key\n")
    assert {name for name in old if (folder / name).read_bytes() != old[name]} == {"tls.crt"}


def test_a_new_key_is_made_by_choice(folder: Path) -> None:
    old = (folder / "tls.key").read_bytes()

    code, out, _ = invoke("renew", "--output", folder, "--new-key")

    assert (code, (folder / "tls.key").read_bytes() != old) == (0, True)
    assert out.endswith("with a new key\n")
    assert invoke("show", "--output", folder)[0] == 0


def test_a_ca_is_replaced_in_three_steps(folder: Path) -> None:
    first = shown(folder)["ca.crt"]["fingerprint"]
    here = f"--output {folder}"

    steps = [invoke("rotate-ca", "--output", folder, *more) for more in ([], ["--sign"], ["--finish"])]

    assert [(code, err) for code, _, err in steps] == [(0, "")] * 3
    assert steps[0][1].splitlines()[1:] == [
        f"Tell the tunnel of it: tunnelgate tunnel add-ca {folder / 'ca-next.crt'}",
        f"When the tunnel has both: tunnelgate certs rotate-ca --sign {here}",
    ]
    assert steps[1][1].splitlines()[2:] == [
        f"When calls go on, archive the old CA: tunnelgate tunnel archive-ca ID {here}",
        f"Its ID is in: tunnelgate tunnel list-cas {here}, beside {first}",
        f"Then remove it here: tunnelgate certs rotate-ca --finish {here}",
    ]
    assert steps[2][1] == f"{folder}: ca-old.key and ca-old.crt are removed\n"
    assert shown(folder)["ca.crt"]["fingerprint"] != first
    assert invoke("show", "--output", folder, "--host", DOMAIN)[0] == 0


def test_a_step_out_of_order_is_one_sentence(folder: Path) -> None:
    code, out, err = invoke("rotate-ca", "--output", folder, "--sign")

    assert (code, out) == (1, "")
    assert err == "ca-next.crt is not there. Make it: tunnelgate certs rotate-ca\n"


def test_a_ca_that_waits_is_a_warning_at_each_renewal(folder: Path) -> None:
    invoke("rotate-ca", "--output", folder)

    code, _, err = invoke("renew", "--output", folder)

    assert code == 0
    assert err.startswith(f"warning: {folder}: ca-next.crt does not sign yet.")


def test_a_folder_that_somebody_else_is_changing_is_left_alone(folder: Path) -> None:
    with locked(folder):
        code, _, err = invoke("renew", "--output", folder, "--renew-before", "0")

    assert (code, err) == (1, f"another command is changing {folder}; try again when it has ended\n")


def test_faults_are_shown_with_the_exit_code_1(folder: Path) -> None:
    code, out, _ = invoke("show", "--dir", folder, "--host", f"a.b.{DOMAIN}")

    assert code == 1
    assert f"  wrong    name-not-covered: It is not for a.b.{DOMAIN}, only for {DOMAIN}, *.{DOMAIN}" in out


def test_a_key_that_everybody_can_read_is_shown_with_the_exit_code_1(folder: Path) -> None:
    (folder / "tls.key").chmod(0o644)

    code, out, _ = invoke("show", "--output", folder)

    assert code == 1
    assert out.splitlines()[-1] == (
        f"  warning  {folder}/tls.key can be read by everybody here. "
        f"Take that away: chmod o-r {folder}/tls.key"
    )


def test_a_certificate_that_ends_soon_is_shown_with_the_exit_code_1(folder: Path) -> None:
    ca = Credential(
        ssl.PEM_cert_to_DER_cert((folder / "ca.crt").read_text()), read_key((folder / "ca.key").read_bytes())
    )
    now = datetime.now(UTC)
    soon = server(ca, valid_from=now - timedelta(days=60), valid_to=now + timedelta(days=5, hours=1))
    (folder / "tls.crt").write_text(soon.pem)
    (folder / "tls.key").write_text(soon.key_pem())

    code, _, _ = invoke("show", "--output", folder)

    assert code == 1
    assert shown(folder)["tls.crt"]["warnings"][0].startswith("tls.crt expires in 5 days")
    assert shown(folder)["tls.crt"]["faults"] == []


def test_a_gate_shows_what_was_made_to_a_strict_client(folder: Path) -> None:
    hostname = f"docs.{DOMAIN}"
    context = new_context(ssl.PROTOCOL_TLS_SERVER)
    loader = TlsFileLoader(context)
    loader.load_own("tls.cert_file", folder / "tls.crt", "tls.key_file", folder / "tls.key")
    client = strict_client((folder / "ca.crt").read_text())

    with serve(Spy(), tls=context) as port, httpx2.Client(verify=client, trust_env=False) as http:
        answer = http.get(
            f"https://127.0.0.1:{port}/",
            headers={"host": hostname},
            extensions={"sni_hostname": hostname},
        )

    assert loader.faults == []
    assert answer.status_code == 200


@pytest.mark.parametrize("command", ["init", "renew", "rotate-ca", "show"])
def test_help_says_what_a_command_does_with_an_example(command: str) -> None:
    code, out, _ = invoke(command, "--help")

    assert code == 0
    assert f"Example: tunnelgate certs {command} " in " ".join(out.split())


def documented() -> Iterator[tuple[str, str]]:
    """Yield the commands of the page, each with what is shown for it, in their order."""
    for block in re.findall(r"^```\n(\$ .*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        yield from shell_commands(block)


@pytest.mark.checkout
def test_what_the_page_about_certificates_shows_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [(line, output) for line, output in documented() if line.startswith("tunnelgate certs ")]

    assert len(commands) > 5
    for line, output in commands:
        _, out, err = invoke(*shlex.split(line)[2:])

        assert matches(output, out + err), f"{line}\nshown:\n{output}\nprinted:\n{out}{err}"


@pytest.mark.checkout
def test_the_page_has_every_word_for_what_is_wrong_once() -> None:
    rows = re.findall(
        r"^\| .* \| (`.*`) \|$", PAGE.read_text("utf-8").partition("## The rules")[2], re.MULTILINE
    )
    words = [word for row in rows for word in re.findall(r"`([a-z-]+)`", row)]

    assert sorted(words) == sorted(name.value for name in FaultName)
