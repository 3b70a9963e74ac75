import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.files import PRIVATE, PUBLIC, kept_tunnel_id, reserved, write_whole
from tunnelgate_app.certificates.owner import Owner

ANOTHER = 65532


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def with_umask(mask: int) -> Generator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def as_another_user() -> Generator[Path]:
    """Be nobody special, and have a folder that everybody can write into."""
    me = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        if me == 0:
            os.seteuid(ANOTHER)
        try:
            yield Path(name)
        finally:
            os.seteuid(me)


def test_a_token_is_its_owners_alone_from_the_first_moment(tmp_path: Path) -> None:
    with with_umask(0), reserved(tmp_path / "tunnel-token", PRIVATE) as write:
        (beside,) = tmp_path.iterdir()
        assert (beside.name, mode(beside), beside.read_bytes()) == (".tunnel-token.new", 0o600, b"")
        write("s3cr3t")

    (file,) = tmp_path.iterdir()
    assert (file.name, mode(file), file.read_text()) == ("tunnel-token", 0o600, "s3cr3t")


def test_what_is_not_secret_can_be_read_by_the_service_whatever_the_umask(tmp_path: Path) -> None:
    with with_umask(0o077):
        write_whole(tmp_path / "tunnel-id", "tnl_1", PUBLIC)

    assert (mode(tmp_path / "tunnel-id"), (tmp_path / "tunnel-id").read_text()) == (0o644, "tnl_1")


def test_a_reader_sees_the_old_token_whole_or_the_new_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "tunnel-token"
    file.write_text("the old token, which is longer")

    with file.open() as opened_before, reserved(file, PRIVATE) as write:
        assert file.read_text() == "the old token, which is longer"
        write("new")
        assert file.read_text() == "new"
        assert opened_before.read() == "the old token, which is longer"


def test_what_is_not_written_leaves_everything_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "tunnel-token"
    file.write_text("old")

    with pytest.raises(KeyboardInterrupt), reserved(file, PRIVATE):
        raise KeyboardInterrupt

    assert [each.name for each in tmp_path.iterdir()] == ["tunnel-token"]
    assert file.read_text() == "old"


def test_what_a_killed_command_left_behind_is_written_over(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / ".tunnel-token.new").symlink_to(elsewhere)

    write_whole(tmp_path / "tunnel-token", "s3cr3t", PRIVATE)

    assert [each.name for each in tmp_path.iterdir()] == ["tunnel-token"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    (tmp_path / "tunnel-token").symlink_to(elsewhere)

    write_whole(tmp_path / "tunnel-token", "s3cr3t", PRIVATE)

    assert elsewhere.read_text() == "kept"
    assert not (tmp_path / "tunnel-token").is_symlink()


def test_a_folder_in_its_place_is_found_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "tunnel-token").mkdir()

    with pytest.raises(AdministrationError) as raised, reserved(tmp_path / "tunnel-token", PRIVATE):
        pytest.fail("it was reserved")

    assert str(raised.value) == f"{tmp_path / 'tunnel-token'} cannot be written: it is a folder"


def test_a_folder_that_is_not_there_is_found_before_anything_is_done(tmp_path: Path) -> None:
    file = tmp_path / "absent" / "tunnel-token"

    with pytest.raises(AdministrationError) as raised, reserved(file, PRIVATE):
        pytest.fail("it was reserved")

    assert str(raised.value) == f"{file} cannot be written: No such file or directory"


def test_a_folder_that_goes_away_meanwhile_is_said(tmp_path: Path) -> None:
    file = tmp_path / "data" / "tunnel-token"
    file.parent.mkdir()

    with reserved(file, PRIVATE) as write:
        file.parent.rename(tmp_path / "moved")
        with pytest.raises(AdministrationError) as raised:
            write("s3cr3t")

    assert str(raised.value) == f"{file} cannot be written: No such file or directory"


def test_a_file_that_is_replaced_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "tunnel-token"
    file.write_text("old")
    if os.geteuid() == 0:
        os.chown(file, ANOTHER, ANOTHER)
    before = file.stat()

    write_whole(file, "new", PRIVATE)

    after = file.stat()
    assert (after.st_uid, after.st_gid, mode(file)) == (before.st_uid, before.st_gid, 0o600)
    assert after.st_ino != before.st_ino


def test_a_file_can_be_given_to_who_has_it_already(tmp_path: Path) -> None:
    file = tmp_path / "tunnel-token"

    with reserved(file, PRIVATE, Owner(os.geteuid())) as write:
        write("s3cr3t")

    assert file.stat().st_uid == os.geteuid()


def test_who_cannot_give_files_away_is_told_before_anything_is_done() -> None:
    with as_another_user() as folder:
        owner = Owner(os.geteuid() + 1)
        with pytest.raises(AdministrationError) as raised, reserved(folder / "token", PRIVATE, owner):
            pytest.fail("it was reserved")

        assert str(raised.value) == (
            f"{folder / 'token'} cannot be given to the user {owner.user}: Operation not permitted;"
            " run this as root"
        )
        assert [*folder.iterdir()] == []


@pytest.mark.parametrize("content", ["tnl_011CZkZaBF1tNoB5wlCeusgy", "tnl_011CZkZaBF1tNoB5wlCeusgy\r\n"])
def test_a_folder_says_whose_it_is(content: str, tmp_path: Path) -> None:
    (tmp_path / "tunnel-id").write_text(content)

    assert kept_tunnel_id(tmp_path) == "tnl_011CZkZaBF1tNoB5wlCeusgy"


def test_a_folder_without_an_id_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert [
        kept_tunnel_id(tmp_path),
        kept_tunnel_id(tmp_path / "absent"),
        kept_tunnel_id(tmp_path / "file"),
    ] == [
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("content", [b"", b"abcd1234", b"\xff", b"tnl_1\ntnl_2", b"tnl_" + b"1" * 400])
def test_a_file_with_something_else_in_it_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tunnel-id").write_bytes(content)

    with pytest.raises(AdministrationError) as raised:
        kept_tunnel_id(tmp_path)

    assert str(raised.value) == f"{tmp_path / 'tunnel-id'} holds no id of a tunnel, which begins with tnl_"


def test_an_id_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tunnel-id").mkdir()

    with pytest.raises(AdministrationError) as raised:
        kept_tunnel_id(tmp_path)

    assert str(raised.value) == f"{tmp_path / 'tunnel-id'} cannot be read: Is a directory"
