"""What a configuration gives to `create_app`, and the sentence for each fault."""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from tests.servers.docs_readonly.serving import write_documents
from tunnelgate_servers.docs_readonly import DocumentsMissingError, OptionsError, create_app


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Options as YAML gives them: texts and lists."""
    folder = write_documents(tmp_path / "docs", {"guide.md": "# Guide"})
    write_documents(tmp_path, {"README.md": "# Read me"})
    return {
        "folder": str(folder),
        "index": str(tmp_path / "state" / "docs.sqlite3"),
        "extra_files": [str(tmp_path / "README.md")],
        "allowed_hosts": ["docs.tunnel.localhost"],
    }


def test_options_may_be_texts(options: dict[str, Any]) -> None:
    create_app(**options)

    assert Path(options["index"]).is_file()


def test_options_may_be_paths_and_have_defaults(options: dict[str, Any]) -> None:
    create_app(folder=Path(options["folder"]), index=Path(options["index"]))

    assert Path(options["index"]).is_file()


def test_paths_may_be_relative_to_the_working_directory(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(options["folder"]).parent)

    create_app(folder="docs", index="docs.sqlite3", extra_files=("README.md",))

    assert Path("docs.sqlite3").is_file()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        pytest.param("folder", "", "folder needs a text that is not empty, not ''", id="an empty folder"),
        pytest.param("folder", None, "folder needs a text that is not empty, not None", id="no folder"),
        pytest.param(
            "index", 7, "index needs a text that is not empty, not 7", id="an index that is a number"
        ),
        pytest.param(
            "extra_files", "README.md", "extra_files needs a list, not 'README", id="a text for a list"
        ),
        pytest.param(
            "extra_files", [""], "extra_files needs a text that is not empty", id="an empty extra file"
        ),
        pytest.param("allowed_hosts", "localhost", "allowed_hosts needs a list", id="a text for the hosts"),
        pytest.param("allowed_hosts", [1], "allowed_hosts needs a text", id="a host that is a number"),
        pytest.param("allowed_hosts", [], "every request would be refused", id="no hosts"),
    ],
)
def test_a_value_that_cannot_be_used(
    options: dict[str, Any], option: str, value: object, sentence: str
) -> None:
    options[option] = value

    with pytest.raises(OptionsError, match=sentence):
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


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"# Read me", id="a document"),
        pytest.param(b"", id="an empty file"),
        pytest.param(b"SQLite format 3\0" + bytes(84), id="another database"),
    ],
)
def test_an_index_never_replaces_a_file_that_is_none(options: dict[str, Any], content: bytes) -> None:
    index = Path(options["index"])
    write_documents(index.parent, {index.name: content})

    with pytest.raises(OptionsError, match="exists and is not an index of this server"):
        create_app(**options)

    assert index.read_bytes() == content


def test_an_index_never_replaces_a_folder(options: dict[str, Any]) -> None:
    options["index"] = options["folder"]

    with pytest.raises(OptionsError, match="exists and is not an index of this server"):
        create_app(**options)


def test_an_index_from_before_is_replaced(options: dict[str, Any]) -> None:
    create_app(**options)
    before = Path(options["index"]).stat().st_ino

    create_app(**options)

    assert before != Path(options["index"]).stat().st_ino


def test_an_index_in_a_place_that_cannot_hold_it_is_one_sentence(options: dict[str, Any]) -> None:
    index = Path(options["folder"]) / "guide.md" / "docs.sqlite3"
    options["index"] = str(index)

    with pytest.raises(OptionsError) as raised:
        create_app(**options)

    assert f"The index {index} cannot be written: {os.strerror(errno.EEXIST)}." == str(raised.value)


def test_the_root_logger_stays_as_it_was(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level

    create_app(**options)

    assert root.handlers == []
    assert root.level == level
