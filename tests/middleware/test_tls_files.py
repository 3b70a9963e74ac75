import logging
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.certificates import DAY, Authority, Credential, PrivateKey, new_key
from tunnelgate.tls_files import TlsFileLoader, new_context

BROKEN_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BROKEN_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"
BROKEN_CRL = "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n"
NOT_THERE = "cannot be read: No such file or directory"
NO_CERTIFICATE = "has no certificate in PEM, or one that cannot be read"
NO_KEY = "has no private key in PEM, or one that cannot be read"
PASSWORD = "has a password; a gate that starts by itself needs a key without"
SIDES = [
    pytest.param(ssl.PROTOCOL_TLS_SERVER, id="of a listener"),
    pytest.param(ssl.PROTOCOL_TLS_CLIENT, id="of a client"),
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the authority")


@pytest.fixture(scope="module")
def credential(authority: Authority) -> Credential:
    return authority.issue_for_server("localhost")


@pytest.fixture(params=SIDES)
def loader(request: pytest.FixtureRequest) -> TlsFileLoader:
    return TlsFileLoader(new_context(request.param))


def faults_of(loader: TlsFileLoader) -> list[tuple[str, str, str]]:
    return [(fault.path, fault.value, fault.sentence) for fault in loader.faults]


def written(folder: Path, text: str | None) -> Path:
    """Return a file with this text, or one that is not there."""
    file = folder / "written.pem"
    if text is not None:
        file.write_text(text)
    return file


@pytest.mark.parametrize("protocol", SIDES)
def test_nothing_but_tls_1_2_and_1_3_is_spoken_by_a_context(protocol: int) -> None:
    context = new_context(protocol)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}


def test_what_can_be_used_has_no_faults(
    tmp_path: Path, loader: TlsFileLoader, authority: Authority, credential: Credential
) -> None:
    cert_file, key_file = credential.write(tmp_path, "own")

    loader.load_own("tls.cert_file", cert_file, "tls.key_file", key_file)
    loader.load_authorities("tls.ca_file", authority.write(tmp_path, "authority"))

    assert loader.faults == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(None, NOT_THERE, id="is missing"),
        pytest.param("", NO_CERTIFICATE, id="is empty"),
        pytest.param("the certificate", NO_CERTIFICATE, id="is not PEM"),
        pytest.param(BROKEN_CERTIFICATE, NO_CERTIFICATE, id="has a broken certificate"),
        pytest.param(Authority("a key").credential.key_pem(), NO_CERTIFICATE, id="has a key instead"),
    ],
)
def test_a_file_of_certificates_that(
    tmp_path: Path, loader: TlsFileLoader, credential: Credential, text: str | None, sentence: str
) -> None:
    file = written(tmp_path, text)
    _, key_file = credential.write(tmp_path, "own")

    loader.load_own("tls.cert_file", str(file), "tls.key_file", key_file)
    loader.load_authorities("tls.ca_file", file)

    assert faults_of(loader) == [
        ("tls.cert_file", repr(str(file)), sentence),
        ("tls.ca_file", repr(str(file)), sentence),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(None, NOT_THERE, id="is missing"),
        pytest.param("", NO_KEY, id="is empty"),
        pytest.param("the key", NO_KEY, id="is not PEM"),
        pytest.param(Authority("a certificate").pem, NO_KEY, id="has a certificate instead"),
        pytest.param(Authority("a key").credential.key_pem("secret"), PASSWORD, id="has a password"),
    ],
)
def test_a_file_of_a_key_that(
    tmp_path: Path, loader: TlsFileLoader, credential: Credential, text: str | None, sentence: str
) -> None:
    cert_file, _ = credential.write(tmp_path, "own")
    file = written(tmp_path, text)

    loader.load_own("tls.cert_file", cert_file, "tls.key_file", file)

    assert faults_of(loader) == [("tls.key_file", repr(str(file)), sentence)]


def test_a_folder_is_no_file(tmp_path: Path, loader: TlsFileLoader) -> None:
    loader.load_authorities("tls.ca_file", tmp_path)

    assert faults_of(loader) == [("tls.ca_file", repr(str(tmp_path)), "cannot be read: Is a directory")]


@pytest.mark.parametrize("key", [new_key(), rsa.generate_private_key(65537, 2048)], ids=["EC", "RSA"])
def test_the_key_of_another_certificate_is_a_fault(
    tmp_path: Path, loader: TlsFileLoader, authority: Authority, credential: Credential, key: PrivateKey
) -> None:
    cert_file, _ = credential.write(tmp_path, "own")
    _, key_file = authority.issue_for_server("localhost", key=key).write(tmp_path, "other")

    loader.load_own("tls.cert_file", cert_file, "tls.key_file", key_file)

    sentence = f"is not the key of the first certificate in {cert_file}"
    assert faults_of(loader) == [("tls.key_file", repr(str(key_file)), sentence)]


def test_a_key_that_is_too_small_is_a_fault(
    tmp_path: Path, loader: TlsFileLoader, authority: Authority
) -> None:
    small = authority.issue_for_server("localhost", key=rsa.generate_private_key(65537, 1024))
    cert_file, key_file = small.write(tmp_path, "small")

    loader.load_own("tls.cert_file", cert_file, "tls.key_file", key_file)

    sentence = "cannot be used: ee key too small"
    assert faults_of(loader) == [("tls.cert_file", repr(str(cert_file)), sentence)]


@pytest.mark.parametrize("broken", [BROKEN_CRL, BROKEN_KEY], ids=["a revocation list", "a key"])
def test_what_cannot_be_read_among_authorities_is_a_fault(
    tmp_path: Path, loader: TlsFileLoader, authority: Authority, broken: str
) -> None:
    loader.load_authorities("tls.ca_file", written(tmp_path, authority.pem + broken))

    ((path, _, sentence),) = faults_of(loader)
    assert path == "tls.ca_file"
    assert re.fullmatch("cannot be used: .+", sentence)
    assert "none" not in sentence


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tunnelgate"]


@pytest.mark.parametrize(
    ("days", "found"),
    [
        pytest.param(0, None, id="in time"),
        pytest.param(-2, "begins only", id="too early"),
        pytest.param(2, "expired", id="too late"),
    ],
)
def test_certificates_are_warned_about_that_come(
    tmp_path: Path,
    loader: TlsFileLoader,
    authority: Authority,
    credential: Credential,
    caplog: pytest.LogCaptureFixture,
    days: int,
    found: str | None,
) -> None:
    cert_file, key_file = credential.write(tmp_path, "own")
    ca_file = authority.write(tmp_path, "authority")
    loader.load_own("tls.cert_file", cert_file, "tls.key_file", key_file)
    loader.load_authorities("tls.ca_file", ca_file)

    with caplog.at_level(logging.WARNING, "tunnelgate"):
        loader.warn(datetime.now(UTC) + days * DAY)

    said = [re.sub(r" at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$", "", each) for each in messages(caplog)]
    files = {"tls.cert_file": cert_file, "tls.ca_file": ca_file}
    assert said == [
        f"{path} = {str(file)!r}: a certificate in it {found}"
        for path, file in files.items()
        if found is not None
    ]


KEYS: dict[str, Callable[[Credential], str]] = {
    "in PKCS 8": lambda credential: credential.key_pem(),
    "with a password": lambda credential: credential.key_pem("secret"),
    "in its older form": lambda credential: credential.key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    ).decode(),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_private_key_among_authorities_is_warned_about(
    tmp_path: Path,
    loader: TlsFileLoader,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    file = written(tmp_path, authority.pem + KEYS[key](authority.credential))
    loader.load_authorities("tls.ca_file", file)

    with caplog.at_level(logging.WARNING, "tunnelgate"):
        loader.warn(datetime.now(UTC))

    assert loader.faults == []
    assert messages(caplog) == [
        f"tls.ca_file = {str(file)!r}: has a private key in it, which does not belong there"
    ]


def test_a_private_key_beside_the_gates_own_certificate_is_not_warned_about(
    tmp_path: Path, loader: TlsFileLoader, credential: Credential, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path, credential.pem + credential.key_pem())
    loader.load_own("tls.cert_file", file, "tls.key_file", file)

    with caplog.at_level(logging.WARNING, "tunnelgate"):
        loader.warn(datetime.now(UTC))

    assert (loader.faults, messages(caplog)) == ([], [])
