import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tunnelgate_app.demo import ACCOUNTS, DATA, USERS, DemoError
from tunnelgate_app.demo.data import make_data
from tunnelgate_servers.hosting import open_reader, read_url

UNTIL = date(2026, 11, 1)
COUNTS = {"tickets": "SELECT count(*) FROM tickets", "billing": "SELECT count(*) FROM entries"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the data of a demo, as at its first start."""
    folder = tmp_path_factory.mktemp("state") / "demo"
    make_data(folder, until=UNTIL)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "demo"))


@pytest.fixture
def billing(made: Path) -> Generator[Engine]:
    engine = open_reader(read_url(f"sqlite:///{made / DATA['billing']}"))
    yield engine
    engine.dispose()


def asked(folder: Path, name: str, question: str) -> int:
    with closing(sqlite3.connect(folder / DATA[name])) as connection:
        (answer,) = connection.execute(question).fetchone()
    assert isinstance(answer, int)
    return answer


def releases(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in (folder / DATA["deploy"]).rglob("*.yaml")}


def test_the_first_start_makes_what_the_servers_show_and_nothing_else(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {DATA[name] for name in ("tickets", "billing", "deploy")}
    assert asked(made, "tickets", COUNTS["tickets"]) >= 100
    assert asked(made, "billing", COUNTS["billing"]) >= 500
    assert len(releases(made)) >= 300


@pytest.mark.parametrize("user", USERS)
def test_the_accounts_that_the_token_of_a_person_names_are_there(user: str, billing: Engine) -> None:
    with billing.connect() as connection:
        numbers = connection.execute(text("SELECT id FROM accounts WHERE kind = 'customer'")).scalars()
        there = {f"ACC-{number}" for number in numbers}

    assert set(ACCOUNTS[user]) <= there


def test_what_is_there_is_kept_at_the_next_start(folder: Path) -> None:
    kept = releases(folder).pop()
    for path in releases(folder) - {kept}:
        (folder / path).unlink()
    with closing(sqlite3.connect(folder / DATA["tickets"])) as connection, connection:
        connection.execute("DELETE FROM tickets WHERE number > (SELECT min(number) FROM tickets)")
    billed = asked(folder, "billing", COUNTS["billing"])

    make_data(folder, until=date(2026, 11, 20))

    assert releases(folder) == {kept}
    assert asked(folder, "tickets", COUNTS["tickets"]) == 1
    assert asked(folder, "billing", COUNTS["billing"]) == billed


def test_all_of_it_is_made_anew_when_it_is_to_be_fresh(folder: Path, made: Path) -> None:
    (folder / DATA["docs"]).write_bytes(b"an index")
    (folder / DATA["tickets"]).write_bytes(b"no database at all, or a broken one")
    (folder / DATA["deploy"] / "mine.yaml").touch()
    (folder / "audit.jsonl").write_text("{}\n")

    make_data(folder, until=UNTIL, fresh=True)

    assert not (folder / DATA["docs"]).exists()
    assert asked(folder, "tickets", COUNTS["tickets"]) == asked(made, "tickets", COUNTS["tickets"])
    assert releases(folder) == releases(made)
    assert (folder / "audit.jsonl").read_text() == "{}\n"


def test_a_database_of_an_older_form_is_brought_to_the_newest(folder: Path) -> None:
    (folder / DATA["tickets"]).write_bytes(b"")  # to SQLite, a database without a table

    make_data(folder, until=UNTIL)

    assert asked(folder, "tickets", COUNTS["tickets"]) == 0


def test_what_a_start_that_broke_off_has_left_is_in_no_way(tmp_path: Path, made: Path) -> None:
    for name in ("tickets", "billing"):
        (tmp_path / f"{DATA[name]}.unfinished").write_bytes(b"half of a database")
        (tmp_path / f"{DATA[name]}.unfinished-journal").write_bytes(b"what was under way")
    (tmp_path / f"{DATA['deploy']}.unfinished" / "production").mkdir(parents=True)

    make_data(tmp_path, until=UNTIL)

    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in made.iterdir()}
    assert releases(tmp_path) == releases(made)


def test_a_database_that_cannot_be_used_is_one_sentence_that_says_what_to_do(folder: Path) -> None:
    (folder / DATA["billing"]).write_bytes(b"this is no database, whatever its name says" * 100)

    with pytest.raises(DemoError) as failed:
        make_data(folder, until=UNTIL)

    sentence = f"{folder / DATA['billing']} cannot be used; make it anew: tunnelgate demo --fresh ("
    assert str(failed.value).startswith(sentence)
    assert "\n" not in str(failed.value)


def test_a_database_of_a_form_that_is_not_known_is_one_sentence(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATA["tickets"])) as connection, connection:
        connection.execute("UPDATE tickets_draft_version SET version_num = 'of the future'")

    with pytest.raises(DemoError, match=r"cannot be used; make it anew: tunnelgate demo --fresh \(.*future"):
        make_data(folder, until=UNTIL)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(DemoError) as failed:
        make_data(tmp_path / "state" / "demo", until=UNTIL)

    assert str(failed.value) == f"{tmp_path}/state/demo cannot be written: Not a directory"
