"""What a configuration gives to `create_app`, and the sentence for each fault."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import make_url

from tests.servers.docs_readonly.documents import indexed, write_documents
from tests.servers.serving import own_check_options
from tests.support.postgres import Databases
from tunnelgate_servers.docs_readonly import DocumentsMissingError, create_app, index_documents
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url

NAME = "docs-readonly"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_documents(tmp_path, {"README.md": "# Read me"})
    return write_documents(tmp_path / "docs", {"guide.md": "# Guide"})


@pytest.fixture
def options(tmp_path: Path, folder: Path, databases: Databases) -> dict[str, Any]:
    """Options as YAML gives them: texts and lists."""
    url = indexed(databases, folder)
    return {
        "folder": str(folder),
        "database": databases.reader(url, NAME),
        "index_database": url,
        "extra_files": [str(tmp_path / "README.md")],
        "allowed_hosts": ["docs.tunnel.localhost"],
    }


def is_healthy(**options: Any) -> bool:
    with TestClient(create_app(**options)) as http:
        return http.get("/healthz").status_code == 200


def test_options_may_be_texts(options: dict[str, Any]) -> None:
    assert is_healthy(**options)


def test_options_may_be_paths_and_have_defaults(options: dict[str, Any], folder: Path) -> None:
    assert is_healthy(folder=folder, database=options["database"], index_database=options["index_database"])


def test_an_index_without_its_folder_is_served(options: dict[str, Any]) -> None:
    assert is_healthy(database=options["database"])


def test_an_index_in_sqlite_needs_no_second_url(folder: Path, tmp_path: Path) -> None:
    assert is_healthy(folder=folder, database=f"sqlite:///{tmp_path / 'docs.sqlite'}")


def test_paths_may_be_relative_to_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)

    assert is_healthy(folder="docs", database="sqlite:///docs.sqlite", extra_files=("README.md",))
    assert Path("docs.sqlite").is_file()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        pytest.param("folder", "", "folder needs a text that is not empty, not ''", id="an empty folder"),
        pytest.param(
            "folder", 7, "folder needs a text that is not empty, not 7", id="a folder that is a number"
        ),
        pytest.param("database", "", "database needs a URL", id="no database"),
        pytest.param("database", "mysql://x/y", "is for sqlite and postgresql", id="another database"),
        pytest.param("index_database", 7, "database needs a URL", id="a database that is a number"),
        pytest.param(
            "extra_files", "README.md", "extra_files needs a list, not 'README", id="a text for a list"
        ),
        pytest.param(
            "extra_files", [""], "extra_files needs a text that is not empty", id="an empty extra file"
        ),
        pytest.param("allowed_hosts", "localhost", "allowed_hosts needs a list", id="a text for the hosts"),
        pytest.param("allowed_hosts", [], "every request would be refused", id="no hosts"),
        pytest.param("resource", "https://docs.example.com/mcp", "oauth", id="a resource without issuers"),
        pytest.param("oauth", {"issuers": []}, "resource", id="issuers without a resource"),
    ],
)
def test_a_value_that_cannot_be_used(
    options: dict[str, Any], option: str, value: object, sentence: str
) -> None:
    options[option] = value

    with pytest.raises(OptionsError, match=sentence):
        create_app(**options)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"extra_files": ["README.md"]}, id="extra files"),
        pytest.param({"index_database": "sqlite:///docs.sqlite"}, id="a database to index in"),
    ],
)
def test_what_is_for_a_folder_is_refused_without_one(options: dict[str, Any], given: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="are for a server with a folder"):
        create_app(database=options["database"], **given)


def test_a_folder_and_a_database_that_only_reads_need_a_second_url(options: dict[str, Any]) -> None:
    if make_url(options["database"]).get_backend_name() == "sqlite":
        options["database"] = "postgresql://reader@127.0.0.1:9/docs"
    del options["index_database"]

    with pytest.raises(OptionsError, match="index_database is needed with a folder"):
        create_app(**options)


def test_a_folder_that_does_not_exist_is_named_in_one_sentence(
    options: dict[str, Any], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    options["folder"] = str(missing)

    with pytest.raises(DocumentsMissingError) as raised:
        create_app(**options)

    assert str(raised.value) == f"The documents folder {missing} does not exist or is not a folder."


def test_an_extra_file_that_does_not_exist_is_named_in_one_sentence(
    options: dict[str, Any], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.md"
    options["extra_files"] = [str(missing)]

    with pytest.raises(DocumentsMissingError) as raised:
        create_app(**options)

    assert str(raised.value) == f"The extra file {missing} does not exist or is not a file."


def test_a_database_without_an_index_says_what_to_run(databases: Databases) -> None:
    url = databases.new()
    engine = open_writer(read_url(url))
    migrate(engine, "tunnelgate_servers.billing_audit")
    engine.dispose()

    with pytest.raises(OptionsError, match="run: tunnelgate-servers migrate docs-readonly"):
        create_app(database=databases.reader(url, "billing-audit"))


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    write_documents(tmp_path, {"notes.txt": "Somebody's notes, and many of them. " * 9})

    with pytest.raises(OptionsError) as raised:
        create_app(database=f"sqlite:///{tmp_path / 'notes.txt'}")

    assert "\n" not in str(raised.value)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a list of the open files")
@pytest.mark.parametrize("with_folder", [True, False], ids=["with a folder", "without"])
def test_nothing_that_could_write_is_open_while_the_server_runs(
    tmp_path: Path, folder: Path, *, with_folder: bool
) -> None:
    file = tmp_path / "docs.sqlite"
    index_documents(f"sqlite:///{file}", folder)

    app = create_app(database=f"sqlite:///{file}", folder=folder if with_folder else None)
    with TestClient(app) as http:
        assert http.get("/healthz").status_code == 200
        opened = [open_mode(handle) for handle in Path("/proc/self/fd").iterdir() if leads_to(handle, file)]
    left = [handle for handle in Path("/proc/self/fd").iterdir() if leads_to(handle, file)]

    assert opened
    assert set(opened) == {os.O_RDONLY}
    assert left == []


def leads_to(handle: Path, file: Path) -> bool:
    return handle.is_symlink() and handle.readlink() == file


def open_mode(handle: Path) -> int:
    lines = (Path("/proc/self/fdinfo") / handle.name).read_text("utf-8").splitlines()
    (flags,) = [line.split()[1] for line in lines if line.startswith("flags:")]
    return int(flags, 8) & os.O_ACCMODE


def test_the_check_of_its_own_is_made_of_two_options(options: dict[str, Any], tmp_path: Path) -> None:
    assert is_healthy(**options, **own_check_options(tmp_path))


def test_the_root_logger_stays_as_it_was(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level

    create_app(**options)

    assert root.handlers == []
    assert root.level == level
