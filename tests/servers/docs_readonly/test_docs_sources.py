"""Which files become documents, and why others do not."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.servers.docs_readonly.documents import write_documents
from tunnelgate_servers.docs_readonly import DocumentsMissingError
from tunnelgate_servers.docs_readonly.sources import (
    MAX_DOCUMENT_BYTES,
    DocumentSources,
    FoundFile,
    SkippedError,
    Stamp,
    text_of,
)


def documents_of(sources: DocumentSources) -> list[str]:
    return [found.path for found in sources.find() if not reason_of(found)]


def skipped_of(sources: DocumentSources) -> list[tuple[str, str]]:
    return [(found.path, reason) for found in sources.find() if (reason := reason_of(found))]


def reason_of(found: FoundFile) -> str:
    if found.reason:
        return found.reason
    try:
        stamp, content = found.read()
        text_of(content)
    except SkippedError as error:
        return str(error)
    assert stamp == found.stamp()
    return ""


def test_files_of_every_kind_are_found_in_every_folder_and_in_a_fixed_order(tmp_path: Path) -> None:
    names = [
        "b.md",
        "c.rst",
        "d.html",
        "d.htm",
        "e.txt",
        "a/z.markdown",
        "a/c/d.MD",
        "c.md/e.text",
        "image.png",
    ]
    write_documents(tmp_path, dict.fromkeys(names, ""))

    assert documents_of(DocumentSources(tmp_path)) == [
        *("b.md", "c.rst", "d.htm", "d.html", "e.txt", "a/z.markdown", "a/c/d.MD", "c.md/e.text"),
    ]


def test_names_that_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    write_documents(tmp_path, {".hidden.md": "", ".git/a.md": "", "seen.md": ""})

    assert documents_of(DocumentSources(tmp_path)) == ["seen.md"]
    assert skipped_of(DocumentSources(tmp_path)) == []


def test_a_document_has_its_text_and_its_size_in_bytes(tmp_path: Path) -> None:
    write_documents(tmp_path, {"a.md": b"\xef\xbb\xbfcaf\xc3\xa9 \0\r\nb\rc\n"})

    (found,) = DocumentSources(tmp_path).find()
    stamp, content = found.read()

    assert (stamp.size, text_of(content)) == (16, "café \ufffd\nb\nc\n")
    assert stamp == Stamp(16, (tmp_path / "a.md").stat().st_mtime_ns)


def test_extra_files_go_by_their_name_and_may_have_any_ending(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": ""})
    write_documents(tmp_path, {"README.md": "", "LICENSE": ""})
    sources = DocumentSources(folder, (tmp_path / "README.md", tmp_path / "LICENSE"))

    assert documents_of(sources) == ["a.md", "README.md", "LICENSE"]


def test_of_two_documents_with_the_same_path_the_first_counts(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"README.md": "inner"})
    write_documents(tmp_path, {"README.md": "outer"})

    inner, outer = DocumentSources(folder, (tmp_path / "README.md",)).find()

    assert inner.read()[1] == b"inner"
    assert (outer.path, outer.reason) == ("README.md", "another document has this path")


@pytest.mark.parametrize("name", ["a\nb.md", "a\x7fb.md"], ids=["a line feed", "another control character"])
def test_a_path_that_nobody_could_ask_for_is_skipped(tmp_path: Path, name: str) -> None:
    write_documents(tmp_path, {name: "", "c.md": ""})

    assert documents_of(DocumentSources(tmp_path)) == ["c.md"]
    assert skipped_of(DocumentSources(tmp_path)) == [(name, "its path could not be asked for")]


def test_the_longest_path_is_found_and_one_that_is_longer_skipped(tmp_path: Path) -> None:
    folder = "/".join(["d" * 99] * 4)
    write_documents(tmp_path, {f"{folder}/{'x' * 97}.md": "", f"{folder}/{'y' * 98}.md": ""})
    sources = DocumentSources(tmp_path)

    assert [len(path) for path in documents_of(sources)] == [500]
    assert [(len(path), reason) for path, reason in skipped_of(sources)] == [
        (501, "its path could not be asked for")
    ]


def test_a_document_that_is_not_utf8_is_skipped_and_the_rest_is_read(tmp_path: Path) -> None:
    write_documents(tmp_path, {"a.md": "", "b.md": b"caf\xe9", "c.md": ""})
    sources = DocumentSources(tmp_path)

    assert documents_of(sources) == ["a.md", "c.md"]
    assert skipped_of(sources) == [("b.md", "it is not UTF-8 (at byte 3)")]


def test_the_largest_document_is_read_and_one_byte_more_is_skipped(tmp_path: Path) -> None:
    write_documents(tmp_path, {"a.md": bytes(MAX_DOCUMENT_BYTES), "b.md": bytes(MAX_DOCUMENT_BYTES + 1)})
    sources = DocumentSources(tmp_path)

    assert documents_of(sources) == ["a.md"]
    assert skipped_of(sources) == [("b.md", "it is larger than 1048576 bytes")]


def test_a_named_pipe_is_skipped_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")

    assert skipped_of(DocumentSources(tmp_path)) == [("pipe.md", "it is not a regular file")]


@pytest.mark.parametrize("read", [FoundFile.stamp, FoundFile.read], ids=["its stamp", "its content"])
def test_a_file_that_became_a_link_meanwhile_is_not_followed(tmp_path: Path, read: Any) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "inside"})
    write_documents(tmp_path, {"secret.md": "secret"})
    (found,) = DocumentSources(folder).find()
    found.file.unlink()
    found.file.symlink_to(tmp_path / "secret.md")

    with pytest.raises(SkippedError, match=r"not a regular file|cannot be read"):
        read(found)


@pytest.mark.parametrize("read", [FoundFile.stamp, FoundFile.read], ids=["its stamp", "its content"])
def test_a_file_that_went_away_meanwhile_is_skipped(tmp_path: Path, read: Any) -> None:
    (found,) = DocumentSources(write_documents(tmp_path, {"a.md": ""})).find()
    found.file.unlink()

    with pytest.raises(SkippedError, match="it cannot be read: No such file or directory"):
        read(found)


def test_an_extra_file_may_be_a_link(tmp_path: Path) -> None:
    write_documents(tmp_path, {"docs/a.md": "", "elsewhere/notes.md": ""})
    (tmp_path / "README.md").symlink_to(tmp_path / "elsewhere" / "notes.md")

    assert documents_of(DocumentSources(tmp_path / "docs", [tmp_path / "README.md"])) == ["a.md", "README.md"]


def test_links(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": "inside", "sub/b.md": ""})
    write_documents(tmp_path / "outside", {"secret.md": "secret"})
    (folder / "alias.md").symlink_to(folder / "a.md")
    (folder / "dangling.md").symlink_to(folder / "gone.md")
    (folder / "image.png").symlink_to(tmp_path / "outside")
    (folder / "loop.md").symlink_to(folder / "loop.md")
    (folder / "more").symlink_to(folder / "sub")
    (folder / "photo.png").symlink_to(tmp_path / "outside" / "secret.md")
    (folder / "secret.md").symlink_to(tmp_path / "outside" / "secret.md")
    (folder / "up.md").symlink_to("../outside/secret.md")
    sources = DocumentSources(folder)

    assert documents_of(sources) == ["a.md", "alias.md", "sub/b.md"]
    assert [
        ("dangling.md", f"it cannot be read: {os.strerror(errno.ENOENT)}"),
        ("image.png", "it is a link that leads outside the folder"),
        ("loop.md", f"it cannot be read: {os.strerror(errno.ELOOP)}"),
        ("more", "it is a link to a folder"),
        ("secret.md", "it is a link that leads outside the folder"),
        ("up.md", "it is a link that leads outside the folder"),
    ] == sorted(skipped_of(sources))


def test_a_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("text")

    assert documents_of(DocumentSources(tmp_path)) == ["caf\\udce9.md"]


def test_a_folder_that_cannot_be_read_is_skipped_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A path longer than the system allows fails for every user, which a missing permission does not.
    write_documents(tmp_path, {"a.md": ""})
    name = "d" * 250
    monkeypatch.chdir(tmp_path)
    for _ in range(17):
        Path(name).mkdir()
        os.chdir(name)

    (found,) = skipped_of(DocumentSources(tmp_path))

    assert documents_of(DocumentSources(tmp_path)) == ["a.md"]
    assert f"it cannot be read: {os.strerror(errno.ENAMETOOLONG)}" == found[1]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DocumentsMissingError, match="cannot be read: No such file or directory"):
        DocumentSources(tmp_path / "gone").find()
