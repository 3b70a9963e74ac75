"""Which files become documents, and why others do not."""

import errno
import os
from pathlib import Path

import pytest

from tests.servers.docs_readonly.serving import write_documents
from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.results import SkippedFile
from tunnelgate_servers.docs_readonly.sources import MAX_DOCUMENT_BYTES, DocumentSources, SourceDocument


def documents_of(sources: DocumentSources) -> list[str]:
    return [found.path for found in sources.read() if isinstance(found, SourceDocument)]


def skipped_of(sources: DocumentSources) -> list[tuple[str, str]]:
    return [(found.path, found.reason) for found in sources.read() if isinstance(found, SkippedFile)]


def test_markdown_files_are_found_in_every_folder_and_in_a_fixed_order(tmp_path: Path) -> None:
    write_documents(
        tmp_path, {"b.md": "", "a/z.markdown": "", "a/c/d.MD": "", "c.md/e.md": "", "image.png": ""}
    )

    assert documents_of(DocumentSources(tmp_path)) == ["b.md", "a/z.markdown", "a/c/d.MD", "c.md/e.md"]


def test_names_that_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    write_documents(tmp_path, {".hidden.md": "", ".git/a.md": "", "seen.md": ""})

    assert documents_of(DocumentSources(tmp_path)) == ["seen.md"]
    assert skipped_of(DocumentSources(tmp_path)) == []


def test_a_document_has_its_text_and_its_size_in_bytes(tmp_path: Path) -> None:
    write_documents(tmp_path, {"a.md": b"\xef\xbb\xbfcaf\xc3\xa9 \0"})

    (document,) = DocumentSources(tmp_path).read()

    assert SourceDocument(path="a.md", text="café \ufffd", size=10) == document


def test_extra_files_go_by_their_name_and_may_have_any_ending(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"a.md": ""})
    write_documents(tmp_path, {"README.md": "", "LICENSE": ""})
    sources = DocumentSources(folder, (tmp_path / "README.md", tmp_path / "LICENSE"))

    assert documents_of(sources) == ["a.md", "README.md", "LICENSE"]


def test_of_two_documents_with_the_same_path_the_first_counts(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "docs", {"README.md": "inner"})
    write_documents(tmp_path, {"README.md": "outer"})

    found = list(DocumentSources(folder, (tmp_path / "README.md",)).read())

    assert [
        SourceDocument(path="README.md", text="inner", size=5),
        SkippedFile(path="README.md", reason="another document has this path"),
    ] == found


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
    ] == skipped_of(sources)


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
        list(DocumentSources(tmp_path / "gone").read())
