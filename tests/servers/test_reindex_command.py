"""`tunnelgate-servers reindex`: the index of a folder, with a bar on a terminal and lines elsewhere."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.servers.test_servers_command import COMMAND, invoke
from tests.support.postgres import Databases
from tests.support.processes import environment

LIMIT = 60  # seconds that a process may take
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.md").write_text(f"# Document {number}\n\nA tunnel carries bytes.\n", "utf-8")
    return folder


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.new()


def reindex(folder: Path, url: str) -> tuple[int, str, str]:
    return invoke("reindex", "--folder", str(folder), "--database", url)


def test_it_says_what_became_of_the_index(folder: Path, url: str) -> None:
    made = reindex(folder, url)
    (folder / "00.md").unlink()
    (folder / "01.md").write_text("# Another\n\nWith other words.\n", "utf-8")
    (folder / "new.txt").write_text("Something new.\n", "utf-8")
    updated = reindex(folder, url)
    again = reindex(folder, url)

    assert made[:2] == (0, "The index has 30 documents: 30 new, 0 changed, 0 removed.\n")
    assert updated[:2] == (0, "The index has 30 documents: 1 new, 1 changed, 1 removed.\n")
    assert again[:2] == (0, "The index has 30 documents: 0 new, 0 changed, 0 removed.\n")


def test_elsewhere_than_on_a_terminal_it_says_ten_times_how_far_it_is(folder: Path, url: str) -> None:
    _, _, error = reindex(folder, url)

    assert error.splitlines() == [f"documents: {done} of 30" for done in range(3, 31, 3)]


def test_few_documents_are_few_lines_and_none_are_one(tmp_path: Path, url: str) -> None:
    (tmp_path / "docs").mkdir()
    _, _, none = reindex(tmp_path / "docs", url)
    (tmp_path / "docs" / "one.md").write_text("# One\n", "utf-8")
    _, _, one = reindex(tmp_path / "docs", url)

    assert none.splitlines() == ["documents: 0 of 0"]
    assert one.splitlines() == ["documents: 1 of 1"]


def test_files_that_are_left_out_are_named_with_the_reason(folder: Path, url: str) -> None:
    for number in range(60):
        (folder / f"bad-{number:02}.md").write_bytes(b"\xff\xfe")

    code, out, error = reindex(folder, url)

    left_out = [line for line in error.splitlines() if line.startswith("left out: ")]
    assert (code, out) == (0, "The index has 30 documents: 30 new, 0 changed, 0 removed.\n")
    assert left_out[0] == "left out: bad-00.md: it is not UTF-8 (at byte 0)"
    assert (len(left_out), left_out[-1]) == (51, "left out: 10 more")


def test_a_name_that_would_write_to_the_terminal_does_not(folder: Path, url: str) -> None:
    (folder / "\x1b[31mred\x07.md").write_bytes(b"\xff")
    command = [COMMAND, "reindex", "--folder", str(folder), "--database", url]

    done = subprocess.run(
        command, env=environment(folder), capture_output=True, text=True, timeout=LIMIT, check=False
    )

    assert done.returncode == 0
    assert "left out: '\\x1b[31mred\\x07.md': " in done.stderr
    assert done.stderr.count("red") == 1
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


@pytest.mark.parametrize("name", ["missing", "file.md"])
def test_a_folder_that_is_none_is_one_sentence_and_makes_no_database(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.md").touch()
    file = tmp_path / "docs.sqlite"

    code, out, error = reindex(tmp_path / name, f"sqlite:///{file}")

    assert (code, out) == (2, "")
    assert error == f"The documents folder {tmp_path / name} does not exist or is not a folder.\n"
    assert not file.exists()


def test_on_a_terminal_there_is_a_bar(folder: Path, tmp_path: Path) -> None:
    main, other = pty.openpty()
    try:
        done = subprocess.run(
            [COMMAND, "reindex", "--folder", str(folder), "--database", f"sqlite:///{tmp_path / 'd.sqlite'}"],
            env=environment(tmp_path, TERM="xterm-256color", COLUMNS="80"),
            stdout=subprocess.PIPE,
            stderr=other,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        shown = os.read(main, 65536).decode()
    finally:
        os.close(other)
        os.close(main)

    assert (done.returncode, done.stdout) == (
        0,
        "The index has 30 documents: 30 new, 0 changed, 0 removed.\n",
    )
    last = ESCAPES.sub("", shown).replace("\r", "\n").strip().splitlines()[-1]
    assert re.fullmatch(r"documents ━+ 30/30 0:00:00", last)
    assert len(last) <= 80
