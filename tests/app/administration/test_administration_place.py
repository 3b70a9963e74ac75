from datetime import UTC, datetime
from pathlib import Path

import pytest

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.records import Tunnel
from tunnelgate_app.certificates.owner import Owner
from tunnelgate_app.errors import CommandError

TUNNEL = Tunnel("tnl_1", "abcd1234.tunnel.anthropic.com", None, None, datetime(2026, 9, 1, tzinfo=UTC), None)


def contents(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir()}


def test_a_folder_is_made_and_holds_the_three_files(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "new" / "data", None)

    with place.open_for(None) as write:
        place.write_tunnel(TUNNEL)
        write("s3cr3t")

    assert contents(tmp_path / "new" / "data") == {
        "tunnel-id": "tnl_1",
        "tunnel-domain": "abcd1234.tunnel.anthropic.com",
        "tunnel-token": "s3cr3t",
    }


def test_a_file_alone_is_all_that_is_written(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "data", tmp_path / "token")

    with place.open_for(None) as write:
        place.write_tunnel(TUNNEL)
        write("s3cr3t")

    assert contents(tmp_path) == {"token": "s3cr3t"}


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        pytest.param("tnl_1", None, id="for a new one"),
        pytest.param("tnl_1", "tnl_2", id="for another one"),
    ],
)
def test_the_folder_of_a_tunnel_is_not_written_over(kept: str, asked: str | None, tmp_path: Path) -> None:
    (tmp_path / "tunnel-id").write_text(kept)

    with pytest.raises(AdministrationError) as raised, Place.of(tmp_path, None).open_for(asked):
        pytest.fail("it was opened")

    assert str(raised.value) == (
        f"{tmp_path} is the folder of the tunnel tnl_1 already; use that one,"
        " or give another folder by --output"
    )
    assert contents(tmp_path) == {"tunnel-id": "tnl_1"}


@pytest.mark.parametrize("alone", [True, False])
def test_a_token_that_is_there_is_not_written_over_by_that_of_a_new_tunnel(
    alone: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    file = tmp_path / "tunnel-token"
    file.symlink_to("absent")

    with (
        pytest.raises(AdministrationError) as raised,
        Place.of(tmp_path, file if alone else None).open_for(None),
    ):
        pytest.fail("it was opened")

    assert str(raised.value) == f"{file} is there already, and is not written over"


def test_the_token_of_the_same_tunnel_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "tunnel-id").write_text("tnl_1")
    (tmp_path / "tunnel-token").write_text("old")

    with Place.of(tmp_path, None).open_for("tnl_1") as write:
        write("new")

    assert contents(tmp_path) == {"tunnel-id": "tnl_1", "tunnel-token": "new"}


def test_two_rotations_at_once_would_leave_the_wrong_token_so_one_is_refused(tmp_path: Path) -> None:
    with (
        Place.of(tmp_path, None).open_for("tnl_1"),
        pytest.raises(CommandError, match="another command is changing"),
        Place.of(tmp_path, None).open_for("tnl_1"),
    ):
        pytest.fail("it was opened twice")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CommandError), Place.of(tmp_path / "file" / "data", None).open_for(None):
        pytest.fail("it was opened")


def test_a_service_that_cannot_enter_the_folder_is_warned_about(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    user = tmp_path.stat().st_uid

    assert Place.of(tmp_path, None, Owner(user)).warnings() == ()
    assert Place.of(tmp_path, tmp_path / "token").warnings() == ()
    assert Place.of(tmp_path, None, Owner(user + 1)).warnings() == (
        f"{tmp_path}: the user {user + 1} cannot enter the folder. Allow it: chmod o+x {tmp_path}",
    )
