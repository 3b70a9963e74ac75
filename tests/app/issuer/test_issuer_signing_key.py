import os
import stat
from pathlib import Path

import orjson
import pytest
from joserfc.jwk import ECKey

from tunnelgate_app.issuer import SigningKey
from tunnelgate_app.issuer.signing_key import ALGORITHM

PUBLIC_MEMBERS = {"alg", "crv", "kid", "kty", "use", "x", "y"}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_a_p256_key_named_by_its_thumbprint() -> None:
    members = SigningKey.generate().key.as_dict(private=False)

    assert (members["kty"], members["crv"], members["alg"], members["use"]) == (
        "EC",
        "P-256",
        ALGORITHM,
        "sig",
    )
    assert members["kid"] == ECKey.import_key(members).thumbprint()


def test_no_two_keys_are_the_same() -> None:
    assert SigningKey.generate().public_set() != SigningKey.generate().public_set()


@pytest.mark.promise("development-only")
def test_what_is_published_has_no_private_part() -> None:
    key = SigningKey.generate()

    (published,) = orjson.loads(key.public_set())["keys"]

    assert set(published) == PUBLIC_MEMBERS
    assert str(key.key.as_dict(private=True)["d"]) not in key.public_set().decode()


def test_a_key_that_was_written_is_read_back_whole(tmp_path: Path) -> None:
    key = SigningKey.generate()

    key.write(tmp_path / "key.json")

    read = SigningKey.from_file(tmp_path / "key.json")
    assert read.key.as_dict(private=True) == key.key.as_dict(private=True)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
@pytest.mark.promise("development-only")
def test_only_its_owner_can_read_the_file_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        SigningKey.generate().write(tmp_path / "key.json")
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "key.json") == 0o600


def test_a_file_that_others_could_read_is_replaced_and_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text("old")
    path.chmod(0o644)

    with path.open() as opened_before:
        SigningKey.generate().write(path)

        assert opened_before.read() == "old"
    assert mode_of(path) == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not a key")
    (tmp_path / "key.json").symlink_to(elsewhere)

    SigningKey.generate().write(tmp_path / "key.json")

    assert elsewhere.read_text() == "not a key"
    assert not (tmp_path / "key.json").is_symlink()


def test_a_key_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SigningKey.from_file(tmp_path / "key.json")


def test_a_key_cannot_be_written_where_no_folder_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SigningKey.generate().write(tmp_path / "missing" / "key.json")
