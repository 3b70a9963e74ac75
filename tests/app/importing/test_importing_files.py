"""The files around an import are read and written as they should be, or not at all."""

import stat
from pathlib import Path

import pytest

from tunnelgate_app.importing.files import FileError, check_is_new, read_token, relocated, write_whole


@pytest.mark.parametrize(
    ("source", "output", "name", "placed"),
    [
        pytest.param("a/config.yaml", "a/out.yaml", "tls.crt", "tls.crt", id="beside both"),
        pytest.param("a/config.yaml", "b/out.yaml", "tls.crt", "../a/tls.crt", id="in another folder"),
        pytest.param("a/config.yaml", "a/b/out.yaml", "c/tls.crt", "../c/tls.crt", id="in a folder above"),
        pytest.param("a/config.yaml", "b/out.yaml", "/data/tls.crt", "/data/tls.crt", id="an absolute name"),
    ],
)
def test_a_file_is_named_from_where_it_is_named(
    tmp_path: Path, source: str, output: str, name: str, placed: str
) -> None:
    assert relocated(tmp_path / source, tmp_path / output)(name) == placed


def test_names_relative_to_here_are_taken_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert relocated(Path("a/config.yaml"), Path("out.yaml"))("tls.crt") == "a/tls.crt"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_token_is_read_without_its_line_end(tmp_path: Path, end: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(f"one.two-three{end}".encode())

    assert read_token(file) == "one.two-three"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(b"one two", id="a space"),
        pytest.param(b"one\ntwo", id="two lines"),
        pytest.param(b"one\x00", id="a control character"),
        pytest.param(b"\xff", id="another encoding"),
    ],
)
def test_what_is_no_token_is_not_sent_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)

    with pytest.raises(FileError) as caught:
        read_token(file)

    assert str(caught.value) == f"{file} holds no token"


def test_a_token_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="token cannot be read: No such file or directory"):
        read_token(tmp_path / "token")


def test_a_new_file_is_written_in_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "out.yaml"
    write_whole(file, "ä\n", force=False)

    assert file.read_text("utf-8") == "ä\n"


def test_what_is_there_stays_there(tmp_path: Path) -> None:
    file = tmp_path / "out.yaml"
    file.write_text("old")

    with pytest.raises(FileError, match="is there already; --force overwrites it, --output names another"):
        write_whole(file, "new", force=False)

    assert file.read_text() == "old"


def test_a_link_to_nothing_is_there_as_well(tmp_path: Path) -> None:
    link = tmp_path / "out.yaml"
    link.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileError, match="is there already"):
        check_is_new(link, force=False)


def test_what_is_to_be_overwritten_is_replaced_at_once_and_keeps_its_mode(tmp_path: Path) -> None:
    file, other = tmp_path / "out.yaml", tmp_path / "other"
    file.write_text("old")
    file.chmod(0o640)
    other.hardlink_to(file)

    write_whole(file, "new", force=True)

    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert other.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [other, file]


def test_a_file_that_was_given_up_need_not_be_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "out.yaml", "new", force=True)

    assert (tmp_path / "out.yaml").read_text() == "new"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path, is_there: bool) -> None:  # noqa: FBT001
    file = tmp_path / "out.yaml"
    if is_there:
        file.mkdir()  # which nothing replaces
    else:
        file = tmp_path / "no-such-folder" / "out.yaml"

    with pytest.raises(FileError, match=r"out\.yaml cannot be written: "):
        write_whole(file, "new", force=True)

    assert [each.name for each in tmp_path.iterdir()] == (["out.yaml"] if is_there else [])
