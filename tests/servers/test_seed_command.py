"""`tunnelgate-servers seed`: the same numbers make the same data, and nobody's files are touched."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from tests.servers.test_servers_command import invoke
from tunnelgate_servers.hosting import open_reader, read_url, require_newest

UNTIL = "2026-11-22"
MADE = {"documents", "docs.sqlite", "tickets.sqlite", "billing.sqlite", "releases", "seeded.json"}
PACKAGES = {
    "docs.sqlite": "docs_readonly",
    "tickets.sqlite": "tickets_draft",
    "billing.sqlite": "billing_audit",
}


def seed(folder: Path, number: int = 1, *options: str) -> tuple[int, str, str]:
    return invoke("seed", str(folder), "--seed", str(number), "--until", UNTIL, "--documents", "24", *options)


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the files below a folder, and when they were changed, by their paths."""
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path: content for path, (content, _) in files(folder).items()}


def rows(file: Path) -> Iterator[tuple[object, ...]]:
    """Give every row of every table, with the table's name."""
    with closing(sqlite3.connect(file)) as connection:
        names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        for (table,) in connection.execute(names).fetchall():
            columns = [name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")')]
            for row in connection.execute(f'SELECT {", ".join(columns)} FROM "{table}"'):
                yield (table, *row)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "sample"
    assert seed(folder)[0] == 0
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second") / "of" / "another" / "length"
    assert seed(folder)[0] == 0
    return folder


def test_it_makes_data_for_all_four_servers_and_says_what(tmp_path: Path) -> None:
    code, out, error = seed(tmp_path / "sample")

    assert code == 0
    assert {file.name for file in (tmp_path / "sample").iterdir()} == MADE
    lines = out.splitlines()
    documents = len(files(tmp_path / "sample" / "documents"))
    assert lines[0] == f"{tmp_path / 'sample' / 'documents'}: {documents} documents"
    assert lines[-1] == f"Made with --seed 1 --until {UNTIL} --documents 24."
    assert documents == 24
    assert error.splitlines()[-1] == "documents: 24 of 24"


@pytest.mark.parametrize("name", ["documents", "releases"])
def test_the_same_again_makes_the_same_files(first: Path, second: Path, name: str) -> None:
    assert contents(first / name) == contents(second / name)
    assert contents(first / name) != {}


def test_documents_have_the_times_that_they_speak_of(first: Path, second: Path) -> None:
    assert files(first / "documents") == files(second / "documents")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_same_again_makes_the_same_rows(first: Path, second: Path, name: str) -> None:
    mine, yours = sorted(map(repr, rows(first / name))), sorted(map(repr, rows(second / name)))

    assert mine == yours
    assert len(mine) > 24


@pytest.mark.parametrize("name", PACKAGES)
def test_the_databases_have_their_newest_form_and_can_be_read(first: Path, name: str) -> None:
    engine = open_reader(read_url(f"sqlite:///{first / name}"))
    try:
        require_newest(engine, f"tunnelgate_servers.{PACKAGES[name]}")
    finally:
        engine.dispose()


def test_another_seed_makes_other_data(first: Path, tmp_path: Path) -> None:
    assert seed(tmp_path, 2)[0] == 0

    for name in ("documents", "releases"):
        assert contents(tmp_path / name) != contents(first / name)
    for name in PACKAGES:
        assert sorted(map(repr, rows(tmp_path / name))) != sorted(map(repr, rows(first / name)))


def test_the_index_is_up_to_date_when_it_is_there(first: Path) -> None:
    code, out, _ = invoke(
        "reindex", "--folder", str(first / "documents"), "--database", f"sqlite:///{first / 'docs.sqlite'}"
    )

    assert (code, out) == (0, "The index has 24 documents: 0 new, 0 changed, 0 removed.\n")


def test_without_a_day_it_is_made_until_today(tmp_path: Path) -> None:
    before = datetime.now(UTC).date()
    assert invoke("seed", str(tmp_path), "--documents", "4")[0] == 0

    mark = orjson.loads((tmp_path / "seeded.json").read_bytes())
    assert mark["until"] in (before.isoformat(), datetime.now(UTC).date().isoformat())
    assert (mark["seed"], mark["documents"]) == (1, 4)


def test_data_that_is_there_is_kept_until_told_otherwise(tmp_path: Path) -> None:
    seed(tmp_path)
    before = files(tmp_path)
    (tmp_path / "docs.yaml").write_text("mine: true\n", "utf-8")

    refused = seed(tmp_path, 2)
    assert refused == (2, "", f"{tmp_path} has sample data already; --replace makes it anew.\n")
    assert {**files(tmp_path), "docs.yaml": None} == {**before, "docs.yaml": None}

    assert seed(tmp_path, 2, "--replace")[0] == 0
    assert contents(tmp_path / "releases") != {
        path.removeprefix("releases/"): content for path, (content, _) in before.items()
    }
    assert {file.name for file in tmp_path.iterdir()} == {*MADE, "docs.yaml"}
    assert (tmp_path / "docs.yaml").read_text("utf-8") == "mine: true\n"


@pytest.mark.parametrize("options", [(), ("--replace",)], ids=["", "even to be replaced"])
@pytest.mark.parametrize("name", sorted(MADE - {"seeded.json"}))
def test_what_somebody_else_made_is_never_replaced(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.md").write_text("mine\n", "utf-8")

    code, out, error = seed(tmp_path, 1, *options)

    assert (code, out) == (2, "")
    assert error == f"{tmp_path / name} was not made by this command; choose another folder.\n"
    assert contents(tmp_path) == {f"{name}/mine.md": b"mine\n"}


def test_a_link_that_took_the_place_of_a_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    sample, elsewhere = tmp_path / "sample", tmp_path / "elsewhere"
    seed(sample)
    elsewhere.mkdir()
    (elsewhere / "mine.md").write_text("mine\n", "utf-8")
    (sample / "documents").rename(tmp_path / "moved")
    (sample / "documents").symlink_to(elsewhere)

    assert seed(sample, 1, "--replace")[0] == 0

    assert contents(elsewhere) == {"mine.md": b"mine\n"}
    assert not (sample / "documents").is_symlink()


def test_a_link_to_nowhere_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "documents").symlink_to(tmp_path / "nowhere")

    code, _, error = seed(tmp_path)

    assert (code, error.count("was not made by this command")) == (2, 1)
    assert (tmp_path / "documents").readlink() == tmp_path / "nowhere"


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sample").write_text("mine\n", "utf-8")

    done = seed(tmp_path / "sample")

    assert done == (2, "", f"{tmp_path / 'sample'} cannot be written to: File exists.\n")
    assert (tmp_path / "sample").read_text("utf-8") == "mine\n"


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        pytest.param("--until", "2026-02-30", "it is no day such as 2026-03-31", id="a day that is none"),
        pytest.param("--until", "yesterday", "it is no day such as 2026-03-31", id="a word for a day"),
        pytest.param("--until", "1999-12-31", "it is not between 2000-01-01 and 2099-12-31", id="too early"),
        pytest.param("--until", "9999-12-31", "it is not between 2000-01-01 and 2099-12-31", id="too late"),
        pytest.param("--documents", "0", "greater than or equal to 1", id="no documents"),
        pytest.param("--documents", "100001", "less than or equal to 100000", id="too many documents"),
        pytest.param("--seed", "-1", "greater than or equal to 0", id="a seed below zero"),
        pytest.param("--seed", "1.5", "valid integer", id="half a seed"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, option: str, value: str, reason: str
) -> None:
    code, out, error = invoke("seed", str(tmp_path / "sample"), option, value)

    assert (code, out) == (2, "")
    assert option in error
    assert reason in error
    assert not (tmp_path / "sample").exists()


@pytest.mark.parametrize("until", ["2000-01-01", "2099-12-31", "2024-02-29"])
def test_any_day_can_be_the_last(tmp_path: Path, until: str) -> None:
    code, _, error = invoke("seed", str(tmp_path), "--until", until, "--documents", "4")

    assert code == 0, error
