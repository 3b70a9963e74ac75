import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tunnelgate_app.administration.authority import read_authority
from tunnelgate_app.administration.errors import AdministrationError

NOW = datetime.now(UTC)
CA = Authority("Test CA")


def test_a_ca_is_read_with_the_fingerprint_that_the_service_shows(tmp_path: Path) -> None:
    authority = read_authority(CA.write(tmp_path, "ca"), NOW)

    assert authority.pem == CA.pem
    assert authority.fingerprint == hashlib.sha256(CA.credential.der).hexdigest()


def test_what_is_sent_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(CA.pem.replace("\n", "\r\n").encode() + b"\r\n\r\n")

    assert read_authority(file, NOW).pem == CA.pem


@pytest.mark.parametrize(
    ("content", "now", "words"),
    [
        pytest.param(CA.pem + CA.credential.key_pem(), NOW, "private key", id="a private key beside it"),
        pytest.param(CA.pem + Authority("x").pem, NOW, "2 certificates", id="two certificates"),
        pytest.param(CA.issue_for_server("a.example.com").pem, NOW, "no CA", id="a server certificate"),
        pytest.param(CA.pem, NOW + timedelta(days=2), "expired", id="a CA that is expired"),
        pytest.param("", NOW, "no certificate", id="an empty file"),
        pytest.param("x" * 100_000, NOW, "8 kB", id="a file that is too large"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before(
    content: str, now: datetime, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(content)

    with pytest.raises(AdministrationError) as raised:
        read_authority(file, now)

    first, *faults = str(raised.value).splitlines()
    assert first == f"{file} is no CA that can be registered. Nothing was sent."
    assert any(words in each for each in faults), faults
    assert CA.credential.key_pem().splitlines()[1] not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(AdministrationError) as raised:
        read_authority(tmp_path / name, NOW)

    assert str(raised.value) == f"{tmp_path / name} cannot be read: {reason}"
