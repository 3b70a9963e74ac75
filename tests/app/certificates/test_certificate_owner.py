import os
from pathlib import Path

import pytest

from tunnelgate_app.certificates.owner import Owner, belongs, open_keys, owner_of, unreachable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("65532", Owner(65532), id="a user"),
        pytest.param("65532:65533", Owner(65532, 65533), id="a user and a group"),
        pytest.param("0:0", Owner(0, 0), id="root"),
    ],
)
def test_an_owner_is_read(text: str, expected: Owner) -> None:
    assert Owner.from_text(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":", "1:", ":1", "root", "-1", "1:2:3", "1 ", "\u0661", "1234567890", "0x10"]
)
def test_what_is_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not UID or UID:GID in numbers"):
        Owner.from_text(text)


def test_a_file_belongs_to_its_user_and_its_group(tmp_path: Path) -> None:
    status = tmp_path.stat()
    user, group = status.st_uid, status.st_gid

    assert owner_of(tmp_path) == Owner(user, group)
    assert [belongs(status, each) for each in (Owner(user), Owner(user, group))] == [True, True]
    assert [belongs(status, each) for each in (Owner(user + 1), Owner(user, group + 1))] == [False, False]


def test_what_is_not_there_belongs_to_nobody(tmp_path: Path) -> None:
    assert owner_of(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("owner", "mode", "is_reachable"),
    [
        pytest.param(None, 0o000, True, id="nobody in particular"),
        pytest.param(Owner(0), 0o000, True, id="root"),
        pytest.param(Owner(7001), 0o700, False, id="another user of a closed folder"),
        pytest.param(Owner(7001), 0o701, True, id="another user of a folder that all may enter"),
        pytest.param(Owner(7001, os.getegid()), 0o710, True, id="a group that may enter"),
        pytest.param(Owner(7001, os.getegid()), 0o701, False, id="a group that may not, where all may"),
        pytest.param(Owner(os.geteuid() or 7001, 7001), 0o701, True, id="the folder's own user"),
    ],
)
def test_a_folder_is_entered_by_whom_its_mode_lets_in(
    owner: Owner | None, mode: int, *, is_reachable: bool, tmp_path: Path
) -> None:
    tmp_path.chmod(mode)
    said = unreachable(tmp_path, owner)
    tmp_path.chmod(0o700)

    assert (said == ()) is is_reachable
    assert all("cannot enter the folder. Allow it: chmod o+x" in each for each in said)


def test_keys_that_everybody_can_read_are_said_at_their_certificates(tmp_path: Path) -> None:
    for name, mode in {"tls.key": 0o644, "ca.key": 0o640, "ca-old.key": 0o604}.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)

    found = open_keys(tmp_path)

    assert list(found) == ["tls.crt", "ca-old.crt"]
    assert found["tls.crt"].endswith(f"chmod o-r {tmp_path / 'tls.key'}")
