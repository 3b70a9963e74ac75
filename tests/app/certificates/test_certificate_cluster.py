from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.app.certificates.cluster_api import NAME, PATH, TOKEN, ClusterApi, run_cluster_api
from tests.support.certificates import Authority
from tunnelgate_app.certificates import cluster
from tunnelgate_app.certificates.cluster import ClusterError, Secret, own_cluster
from tunnelgate_app.certificates.contents import Change
from tunnelgate_app.certificates.making import Issued, make_authority, make_server_certificate, new_key
from tunnelgate_app.certificates.reading import read_certificates
from tunnelgate_app.certificates.rules import faults_of_server_certificate
from tunnelgate_app.cli import app

NAMES = ("tunnel.example.com", "*.tunnel.example.com")
ASKED = [("GET", PATH, f"Bearer {TOKEN}"), ("PUT", PATH, f"Bearer {TOKEN}")]


@pytest.fixture
def authority() -> Issued:
    """Return a CA."""
    return make_authority(datetime.now(UTC))


@pytest.fixture
def folder(tmp_path: Path, authority: Issued) -> Path:
    """Return the folder in which a pod has the CA."""
    folder = tmp_path / "authority"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    (folder / "ca.key").write_bytes(authority.key_pem)
    return folder


@pytest.fixture
def old(authority: Issued) -> Issued:
    """Return a server certificate that lives for another ten days."""
    lifetime = timedelta(days=10)
    return make_server_certificate(authority, NAMES, new_key(), datetime.now(UTC), duration=lifetime)


@pytest.fixture
def api(tmp_path: Path, old: Issued, monkeypatch: pytest.MonkeyPatch) -> Generator[ClusterApi]:
    """Run a cluster that has it in a Secret, and let this process be in one of its pods."""
    files = {"tls.crt": old.certificate_pem, "tls.key": old.key_pem, "tunnel-token": b"\xff\x00"}
    with run_cluster_api(tmp_path, files) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(cluster, "ACCOUNT", api.account)
        yield api


def renew(*arguments: object, name: str = NAME) -> tuple[int, str, str]:
    """Run `tunnelgate certs renew`; return its exit code, its output and what it complained about."""
    said = ["certs", "renew", "--output", f"k8s-secret:{name}", *map(str, arguments)]
    result = CliRunner().invoke(app, said)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.stdout, result.stderr


def test_a_certificate_in_a_secret_is_renewed(
    api: ClusterApi, folder: Path, authority: Issued, old: Issued
) -> None:
    code, out, err = renew("--authority", folder)

    assert (code, err) == (0, "")
    assert out.startswith(f"k8s-secret:{NAME}: tls.crt is new, until ")
    (new,) = read_certificates(api.files["tls.crt"])
    assert new.valid_until > datetime.now(UTC) + timedelta(days=80)
    pems = api.files["tls.crt"], [authority.certificate_pem]
    assert not faults_of_server_certificate(*pems, NAMES, datetime.now(UTC), api.files["tls.key"])
    assert api.files["tls.key"] == old.key_pem
    assert api.asked == ASKED


def test_nothing_else_in_the_secret_changes(api: ClusterApi, folder: Path) -> None:
    before = api.secret

    assert renew("--authority", folder, "--new-key")[0] == 0

    assert api.files["tunnel-token"] == b"\xff\x00"
    assert {*api.files} == {"tls.crt", "tls.key", "tunnel-token"}
    assert api.secret["type"] == before["type"]
    assert api.secret["metadata"]["labels"] == before["metadata"]["labels"]


def test_a_certificate_that_is_not_due_is_left_alone(api: ClusterApi, folder: Path) -> None:
    code, out, _ = renew("--authority", folder, "--renew-before", "24h")

    assert code == 0
    assert "valid for another" in out
    assert api.asked == ASKED[:1]


def test_a_secret_that_somebody_else_changes_meanwhile_is_not_overwritten(
    api: ClusterApi, folder: Path
) -> None:
    api.before_writing = lambda: api.change({"tls.crt": b"theirs"})

    code, _, err = renew("--authority", folder)

    assert code == 1
    assert err == f"{PATH} was changed meanwhile. Run this again.\n"
    assert api.files == {"tls.crt": b"theirs"}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        pytest.param(
            (403, b'{"message":"secrets is forbidden"}'),
            "is answered 403: secrets is forbidden",
            id="no right",
        ),
        pytest.param((404, b'{"message":"not found"}'), "is answered 404: not found", id="no such Secret"),
        pytest.param((500, b"[]"), "answers 500 and no object", id="an error that is no object"),
        pytest.param(
            (307, b"{}"), "is answered 307: it does not say why", id="a redirect, which is not followed"
        ),
        pytest.param((200, b"[]"), "answers 200 and no object", id="something else than an object"),
        pytest.param((200, b"<html>"), "answers 200 and no object", id="a page"),
        pytest.param((502, b""), "answers 502 and no object", id="nothing"),
        pytest.param(
            (200, b'{"data":{"tls.crt":"*"}}'),
            "is no Secret as Kubernetes has it",
            id="data that is no base64",
        ),
        pytest.param((200, b'{"data":null}'), "is not there with a name in it", id="an empty Secret"),
        pytest.param((200, b"{}"), "is not there with a name in it", id="a Secret without data"),
    ],
)
def test_what_the_cluster_says_against_it_is_said(
    api: ClusterApi, folder: Path, answer: tuple[int, bytes], sentence: str
) -> None:
    api.answer = answer

    code, _, err = renew("--authority", folder)

    assert code == 1
    assert sentence in err
    assert TOKEN not in err


def test_a_long_answer_is_cut_short(api: ClusterApi, folder: Path) -> None:
    api.answer = (403, b'{"message":"' + b"x" * 5000 + b'"}')

    assert len(renew("--authority", folder)[2]) < 500


def test_a_cluster_that_cannot_be_reached_is_said(
    api: ClusterApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")

    code, _, err = renew("--authority", folder)

    assert code == 1
    assert err.startswith("https://127.0.0.1:9 cannot be asked: ")


def test_a_server_that_the_clusters_authority_did_not_certify_gets_no_token(
    api: ClusterApi, folder: Path
) -> None:
    (api.account / "ca.crt").write_text(Authority("another").pem)

    code, _, err = renew("--authority", folder)

    assert code == 1
    assert "cannot be asked" in err
    assert api.asked == []


def test_a_proxy_of_the_environment_is_not_used(
    api: ClusterApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert renew("--authority", folder)[0] == 0


def test_a_ca_that_is_not_in_its_folder_is_said(api: ClusterApi, folder: Path) -> None:
    (folder / "ca.key").unlink()

    code, _, err = renew("--authority", folder)

    assert code == 1
    assert "ca.key is not there" in err
    assert api.asked == ASKED[:1]


def test_a_ca_that_ends_soon_is_warned_about(api: ClusterApi, folder: Path) -> None:
    short = make_authority(datetime.now(UTC) - timedelta(days=1800))  # of 1825
    (folder / "ca.crt").write_bytes(short.certificate_pem)
    (folder / "ca.key").write_bytes(short.key_pem)

    code, _, err = renew("--authority", folder)

    assert code == 0
    assert err.startswith(f"warning: {folder}: ca.crt expires in ")


def test_a_certificate_of_another_ca_is_signed_anew_by_this_one(api: ClusterApi, folder: Path) -> None:
    """So a CA takes another one's place when its Secret has changed."""
    other = make_authority(datetime.now(UTC))
    (folder / "ca.crt").write_bytes(other.certificate_pem)
    (folder / "ca.key").write_bytes(other.key_pem)

    code, out, _ = renew("--authority", folder, "--renew-before", "24h")

    assert code == 0
    assert "the old one had a fault" in out
    (new,) = read_certificates(api.files["tls.crt"])
    assert new.authority_key_identifier == read_certificates(other.certificate_pem)[0].key_identifier


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no CA"),
        pytest.param(["--authority", "authority", "--owner", "0"], id="an owner, which a Secret has not"),
    ],
)
def test_what_a_secret_needs_is_asked_for(arguments: list[str]) -> None:
    code, _, err = renew(*arguments)

    assert code == 2
    assert "needs --authority" in err


@pytest.mark.parametrize("name", ["", "../configmaps/x", "a/b", "a?b", "A", "-a", "a" * 254])
def test_what_no_secret_can_be_called_is_never_asked_for(api: ClusterApi, folder: Path, name: str) -> None:
    code, _, err = renew("--authority", folder, name=name)

    assert code == 1
    assert err.endswith("is not the name of a Secret, such as mcp-tunnel.\n")
    assert api.asked == []


def test_a_folder_has_its_ca_in_it_and_takes_no_other(tmp_path: Path) -> None:
    said = ["certs", "renew", "--output", str(tmp_path), "--authority", str(tmp_path)]
    result = CliRunner().invoke(app, said)

    assert result.exit_code == 2
    assert "--authority is for" in result.stderr


@pytest.mark.parametrize("command", ["init", "rotate-ca", "show"])
def test_only_a_renewal_writes_a_secret(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(app, ["certs", command, "--output", f"k8s-secret:{NAME}"])

    assert result.exit_code == 2
    assert "only certs renew writes a Secret" in result.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
def test_outside_of_a_cluster_there_is_nobody_to_ask(api: ClusterApi, missing: str) -> None:
    with pytest.raises(ClusterError, match="no pod of a cluster"):
        own_cluster(api.account, {**api.environment, missing: ""})


@pytest.mark.parametrize("missing", ["token", "namespace", "ca.crt"])
def test_a_pod_without_the_token_of_its_account_is_told_what_it_needs(api: ClusterApi, missing: str) -> None:
    (api.account / missing).unlink()

    with pytest.raises(ClusterError, match="automountServiceAccountToken") as refused:
        own_cluster(api.account, api.environment)

    assert "No such file" in str(refused.value)


@pytest.mark.parametrize(("name", "content"), [("token", b"\xff"), ("ca.crt", b"no certificate")])
def test_an_account_that_cannot_be_read_is_said(api: ClusterApi, name: str, content: bytes) -> None:
    (api.account / name).write_bytes(content)

    with pytest.raises(ClusterError, match="cannot be used"):
        own_cluster(api.account, api.environment)


def test_an_address_of_ipv6_stands_in_brackets(api: ClusterApi) -> None:
    there = own_cluster(api.account, {**api.environment, "KUBERNETES_SERVICE_HOST": "fd00::1"})

    assert there.url.startswith("https://[fd00::1]:")


def test_the_token_is_in_no_representation(api: ClusterApi) -> None:
    assert TOKEN not in repr(own_cluster(api.account, api.environment))


def test_a_file_can_be_removed_from_a_secret(api: ClusterApi) -> None:
    secret = Secret(own_cluster(api.account, api.environment), NAME)

    secret.write(Change((), {"tls.crt": b"new"}, removes=("tls.key",)))
    secret.write(Change((), {"tls.crt": b"newer"}))

    assert api.files == {"tls.crt": b"newer", "tunnel-token": b"\xff\x00"}
