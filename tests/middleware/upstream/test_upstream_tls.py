import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.certificates import DAY, SERVER, Authority, Credential
from tunnelgate import ConfigurationError
from tunnelgate.upstream.tls import ClientTlsFiles, open_client_tls, system_tls

LIMIT = 10  # seconds that anything here may take
NAME = "wiki.corp.internal"
SAID = b"hello"
NO_CERTIFICATE = r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the authority")


@pytest.fixture
def ca_file(tmp_path: Path, authority: Authority) -> Path:
    return authority.write(tmp_path, "authority")


def server_context(
    folder: Path, credential: Credential, *, clients: Authority | None = None
) -> ssl.SSLContext:
    """Return what a server speaks TLS with, which demands a certificate where it has an authority for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credential.write(folder, "server"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    return context


@contextmanager
def serving(context: ssl.SSLContext) -> Generator[int]:
    """Serve one connection with TLS, say something on it, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)
        thread = threading.Thread(target=_serve, args=(listener, context), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(LIMIT)
        assert not thread.is_alive()


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = listener.accept()
    plain.settimeout(LIMIT)
    # What goes wrong the client has to say.
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
        connection.sendall(SAID)
        connection.recv(1)


def hear(port: int, context: ssl.SSLContext, name: str = NAME) -> bytes:
    """Return what the server says to a client with this context that calls it by this name."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        return connection.recv(len(SAID))


def test_a_server_with_a_certificate_of_the_ca_is_believed_and_speaks_http_1_1(
    tmp_path: Path, authority: Authority, ca_file: Path
) -> None:
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file))

    with (
        serving(server_context(tmp_path, authority.issue_for_server(NAME))) as port,
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        assert connection.recv(len(SAID)) == SAID
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == "TLSv1.3"
        assert connection.compression() is None


def by_another_ca(_: Authority) -> Credential:
    return Authority("the authority").issue_for_server(NAME)


def by_itself(_: Authority) -> Credential:
    return Authority(NAME).credential


def with_another_name(authority: Authority) -> Credential:
    return authority.issue_for_server("docs.internal")


def with_the_name_as_common_name_alone(authority: Authority) -> Credential:
    return authority.issue(NAME, usage=SERVER)


def with_wildcards_that_are_too_wide(authority: Authority) -> Credential:
    return authority.issue_for_server("*.internal", "*.*.internal", "*")


def with_the_name_as_part_of_another(authority: Authority) -> Credential:
    return authority.issue_for_server(f"{NAME}.example.com", f"docs.{NAME}")


def that_has_expired(authority: Authority) -> Credential:
    return authority.issue(NAME, usage=SERVER, hosts=[NAME], valid_to=datetime.now(UTC) - DAY / 2)


def that_has_not_begun(authority: Authority) -> Credential:
    return authority.issue(NAME, usage=SERVER, hosts=[NAME], valid_from=datetime.now(UTC) + DAY / 2)


def for_clients_only(authority: Authority) -> Credential:
    return authority.issue(NAME, hosts=[NAME])


def that_another_server_issued(authority: Authority) -> Credential:
    return Authority("a server", authority, is_authority=False).issue_for_server(NAME)


@pytest.mark.parametrize(
    ("credential_of", "reason"),
    [
        pytest.param(by_another_ca, "unable to get local issuer|signature failure", id="by another CA"),
        pytest.param(by_itself, "self-signed", id="by the server itself"),
        pytest.param(with_another_name, "Hostname mismatch", id="with another name"),
        pytest.param(with_the_name_as_common_name_alone, "Hostname mismatch", id="with a common name alone"),
        pytest.param(
            with_wildcards_that_are_too_wide, "Hostname mismatch", id="with wildcards that are too wide"
        ),
        pytest.param(with_the_name_as_part_of_another, "Hostname mismatch", id="with names that contain it"),
        pytest.param(that_has_expired, "certificate has expired", id="that has expired"),
        pytest.param(that_has_not_begun, "not yet valid", id="that has not begun"),
        pytest.param(for_clients_only, "purpose", id="for clients only"),
        pytest.param(that_another_server_issued, "invalid CA certificate", id="that another server issued"),
    ],
)
def test_a_server_is_not_believed_with_a_certificate(
    tmp_path: Path,
    authority: Authority,
    ca_file: Path,
    credential_of: Callable[[Authority], Credential],
    reason: str,
) -> None:
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file))

    with (
        serving(server_context(tmp_path, credential_of(authority))) as port,
        pytest.raises(ssl.SSLCertVerificationError, match=reason),
    ):
        hear(port, context)


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        pytest.param([NAME], NAME, id="its name"),
        pytest.param([NAME], NAME.upper(), id="its name in upper case"),
        pytest.param(["*.corp.internal"], NAME, id="a wildcard for its label"),
        pytest.param(["docs.internal", NAME], NAME, id="its name among others"),
        pytest.param(["127.0.0.1"], "127.0.0.1", id="its IPv4 address"),
        pytest.param(["::1"], "::1", id="its IPv6 address"),
        pytest.param(["::1"], "0:0:0:0:0:0:0:1", id="its IPv6 address in another spelling"),
    ],
)
def test_a_server_is_called_by(
    tmp_path: Path, authority: Authority, ca_file: Path, hosts: list[str], name: str
) -> None:
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file))

    with serving(server_context(tmp_path, authority.issue_for_server(*hosts))) as port:
        assert hear(port, context, name) == SAID


@pytest.mark.parametrize("hosts", [["127.0.0.2"], [NAME]], ids=["another address", "a name"])
def test_a_server_that_is_called_by_its_address_is_not_believed_with(
    tmp_path: Path, authority: Authority, ca_file: Path, hosts: list[str]
) -> None:
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file))

    with (
        serving(server_context(tmp_path, authority.issue_for_server(*hosts))) as port,
        pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"),
    ):
        hear(port, context, "127.0.0.1")


def test_a_ca_is_believed_without_the_ca_above_it_and_no_other_below_that(
    tmp_path: Path, authority: Authority
) -> None:
    believed, other = (Authority(name, authority) for name in ("a division", "another division"))
    context = open_client_tls(ClientTlsFiles(ca_file=believed.write(tmp_path, "division")))

    with serving(server_context(tmp_path, believed.issue_for_server(NAME))) as port:
        assert hear(port, context) == SAID
    for credential in (other.issue_for_server(NAME), authority.issue_for_server(NAME)):
        with (
            serving(server_context(tmp_path, credential)) as port,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            hear(port, context)


def test_each_of_several_cas_in_the_file_is_believed(tmp_path: Path, authority: Authority) -> None:
    second = Authority("the second authority")
    (tmp_path / "both.pem").write_text(authority.pem + second.pem)
    context = open_client_tls(ClientTlsFiles(ca_file=tmp_path / "both.pem"))

    for each in (authority, second):
        with serving(server_context(tmp_path, each.issue_for_server(NAME))) as port:
            assert hear(port, context) == SAID


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_server_that_demands_a_certificate_gets_the_gates(
    tmp_path: Path, authority: Authority, ca_file: Path, version: ssl.TLSVersion
) -> None:
    clients = Authority("the authority of clients")
    cert_file, key_file = clients.issue("gate").write(tmp_path, "gate")
    shown = open_client_tls(ClientTlsFiles(ca_file=ca_file, cert_file=cert_file, key_file=key_file))
    server = server_context(tmp_path, authority.issue_for_server(NAME), clients=clients)
    server.minimum_version = server.maximum_version = version

    with serving(server) as port:
        assert hear(port, shown) == SAID
    # In TLS 1.3 the client hears of it only where it expects an answer.
    with serving(server) as port, pytest.raises(ssl.SSLError, match=NO_CERTIFICATE):
        hear(port, open_client_tls(ClientTlsFiles(ca_file=ca_file)))


def test_the_gate_shows_its_certificate_with_those_that_lead_to_its_ca(
    tmp_path: Path, authority: Authority, ca_file: Path
) -> None:
    clients = Authority("the authority of clients")
    cert_file, key_file = Authority("a division", clients).issue("gate").write(tmp_path, "gate")
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file, cert_file=cert_file, key_file=key_file))

    with serving(server_context(tmp_path, authority.issue_for_server(NAME), clients=clients)) as port:
        assert hear(port, context) == SAID


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_older_version_than_tls_1_2_is_not_spoken(
    tmp_path: Path, authority: Authority, ca_file: Path
) -> None:
    server = server_context(tmp_path, authority.issue_for_server(NAME))
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(ca_file)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1_1

    with serving(server) as port:
        assert hear(port, old) == SAID
    with serving(server) as port, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        hear(port, open_client_tls(ClientTlsFiles(ca_file=ca_file)))


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        pytest.param(
            ClientTlsFiles(),
            ["upstream.tls: believes no certificate: name a ca_file, or set include_system_cas: true"],
            id="nothing is set",
        ),
        pytest.param(
            ClientTlsFiles(include_system_cas=True, cert_file="gate.pem"),
            ["upstream.tls.key_file: is missing: a certificate cannot be shown without its key"],
            id="a certificate has no key",
        ),
        pytest.param(
            ClientTlsFiles(include_system_cas=True, key_file="gate.key"),
            ["upstream.tls.cert_file: is missing: a key alone shows nothing"],
            id="a key has no certificate",
        ),
        pytest.param(
            ClientTlsFiles(ca_file="/no/ca.pem", cert_file="/no/gate.pem", key_file="/no/gate.key"),
            [
                "upstream.tls.ca_file = '/no/ca.pem': cannot be read: No such file or directory",
                "upstream.tls.cert_file = '/no/gate.pem': cannot be read: No such file or directory",
                "upstream.tls.key_file = '/no/gate.key': cannot be read: No such file or directory",
            ],
            id="no file is there",
        ),
        pytest.param(
            ClientTlsFiles(ca_file="/no/ca.pem", key_file="gate.key"),
            [
                "upstream.tls.ca_file = '/no/ca.pem': cannot be read: No such file or directory",
                "upstream.tls.cert_file: is missing: a key alone shows nothing",
            ],
            id="one file is not there and one is not named",
        ),
    ],
)
def test_every_fault_is_named_at_once_where(files: ClientTlsFiles, faults: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_client_tls(files)

    assert [str(fault) for fault in refused.value.faults] == faults


def test_faults_name_the_route_whose_files_they_are(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")

    with pytest.raises(ConfigurationError) as refused:
        open_client_tls(ClientTlsFiles(ca_file=file), path="routes.wiki.upstream.tls")

    (fault,) = refused.value.faults
    assert (fault.path, fault.value) == ("routes.wiki.upstream.tls.ca_file", repr(str(file)))


def test_a_certificate_out_of_date_and_a_key_among_cas_are_logged_and_used(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "authority.pem"
    file.write_text(authority.pem + authority.credential.key_pem())
    later = (datetime.now(UTC) + 2 * DAY).timestamp()

    with caplog.at_level(logging.WARNING, "tunnelgate"):
        context = open_client_tls(ClientTlsFiles(ca_file=file), clock=lambda: later)

    key, date = [record.getMessage() for record in caplog.records]
    assert (
        key == f"upstream.tls.ca_file = {str(file)!r}: has a private key in it, which does not belong there"
    )
    assert date.startswith(f"upstream.tls.ca_file = {str(file)!r}: a certificate in it expired at ")
    with serving(server_context(tmp_path, authority.issue_for_server(NAME))) as port:
        assert hear(port, context) == SAID


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Authority]:
    """Make this the only CA of the system."""
    authority = Authority("the system")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.write(tmp_path, "system")))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "no certificates"))
    system_tls.cache_clear()
    yield authority
    system_tls.cache_clear()


def test_issuers_are_believed_with_a_certificate_of_the_systems_cas_alone(
    tmp_path: Path, authority: Authority, system: Authority
) -> None:
    with serving(server_context(tmp_path, system.issue_for_server(NAME))) as port:
        assert hear(port, system_tls()) == SAID
    with (
        serving(server_context(tmp_path, authority.issue_for_server(NAME))) as port,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        hear(port, system_tls())


def test_the_systems_cas_are_read_once(system: Authority) -> None:
    assert system_tls() is system_tls()


@pytest.mark.parametrize("include_system_cas", [False, True], ids=["are not believed", "are believed"])
def test_beside_a_ca_file_the_systems_cas(
    tmp_path: Path, authority: Authority, ca_file: Path, system: Authority, *, include_system_cas: bool
) -> None:
    context = open_client_tls(ClientTlsFiles(ca_file=ca_file, include_system_cas=include_system_cas))

    with serving(server_context(tmp_path, authority.issue_for_server(NAME))) as port:
        assert hear(port, context) == SAID
    with serving(server_context(tmp_path, system.issue_for_server(NAME))) as port:
        if include_system_cas:
            assert hear(port, context) == SAID
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                hear(port, context)


def test_the_environment_cannot_have_the_keys_of_connections_written_down(tmp_path: Path) -> None:
    program = (
        "from tunnelgate.upstream.tls import system_tls\n"
        "print(system_tls().keylog_filename, system_tls().check_hostname, system_tls().verify_mode.name)"
    )
    env = {**os.environ, "SSLKEYLOGFILE": str(tmp_path / "keys")}

    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "None True CERT_REQUIRED\n"
    assert not (tmp_path / "keys").exists()
