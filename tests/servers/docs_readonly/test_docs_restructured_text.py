"""Headings, sections and plain text of reStructuredText, and what docutils must not do for it."""

import sys
from pathlib import Path
from time import process_time

import pytest
from docutils.parsers.rst import roles
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.docs_readonly.parsing import ParsedDocument, under
from tunnelgate_servers.docs_readonly.parsing.restructured_text import parse_restructured_text

TEXT = """\
Before all.

=====
Guide
=====

How the *gate* is ``set up``, says :ref:`the guide <guide>`.

Routes
------

- A route has a |name|.
- Another `link <https://example.com>`_.

Mounts *here*
~~~~~~~~~~~~~

.. code-block:: sh

   make demo

Audit
-----

.. _target:

.. note:: Mind the gap.
"""


def outline(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(section.level, section.heading) for section in document.sections]


def test_sections_have_their_headings_their_plain_texts_and_their_places() -> None:
    document = parse_restructured_text(TEXT)

    assert document.title == "Guide"
    assert outline(document) == [(0, ""), (1, "Guide"), (2, "Routes"), (3, "Mounts here"), (2, "Audit")]
    assert [section.body for section in document.sections] == [
        "Before all.",
        "How the gate is set up, says :ref:`the guide <guide>`.",
        "A route has a name.\n\nAnother link.",
        "make demo",
        "Mind the gap.",
    ]
    starts = [TEXT[section.start :].split("\n", 1)[0] for section in document.sections]
    assert starts == ["Before all.", "=====", "Routes", "Mounts *here*", "Audit"]
    assert document.sections[-1].end == len(TEXT)


def test_a_section_is_read_with_its_subsections_as_it_was_written() -> None:
    document = parse_restructured_text(TEXT)

    part = under("routes", document.sections, document.text)

    assert part is not None
    assert part.startswith("Routes\n------\n\n- A route has a |name|.\n")
    assert part.endswith(".. code-block:: sh\n\n   make demo")


@pytest.mark.parametrize(
    ("text", "outlined"),
    [
        pytest.param("", [], id="an empty text"),
        pytest.param("Only text.", [(0, "")], id="no heading"),
        pytest.param("A\n=\n\nB\n-\n\nC\n=\n", [(1, "A"), (2, "B"), (1, "C")], id="two levels"),
        pytest.param(
            "A\n=\n\nB\n-\n\nC\n~\n\nD\n=\n\nE\n~\n",
            [(1, "A"), (2, "B"), (3, "C"), (1, "D")],
            id="a level that is left out is no section",
        ),
        pytest.param("- A\n  =\n", [(0, "")], id="a heading in a list is none"),
    ],
)
def test_the_outline(text: str, outlined: list[tuple[int, str]]) -> None:
    assert outline(parse_restructured_text(text)) == outlined


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(".. versionadded:: 1.2\n   A new thing.\n", "A new thing.", id="a directive of Sphinx"),
        pytest.param(":unknown:`the words`\n", "the words", id="a role of Sphinx"),
        pytest.param("an *open mark\n", "an *open mark", id="a mark that is not closed"),
        pytest.param(
            "=======  ===\ncolumn   two\n=======  ===\ncell     x\n=======  ===\n", "cell", id="a table"
        ),
        pytest.param("term\n   what it means\n", "what it means", id="a definition"),
        pytest.param(".. [1] A footnote.\n", "A footnote.", id="a footnote"),
        pytest.param(".. image:: x.png\n   :alt: A picture\n\ntext\n", "text", id="a picture"),
    ],
)
def test_what_a_person_reads_is_in_the_body(text: str, said: str) -> None:
    (section,) = parse_restructured_text(text).sections

    assert said in section.body


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(".. a comment\n", id="a comment"),
        pytest.param(".. |name| replace:: comment\n", id="a definition of a substitution"),
        pytest.param(".. _comment: https://example.com\n", id="a target"),
    ],
)
def test_what_nobody_reads_is_not(text: str) -> None:
    assert parse_restructured_text(text).sections == ()


@pytest.mark.parametrize(
    "directive",
    [
        pytest.param(".. include:: {file}", id="include"),
        pytest.param(".. literalinclude:: {file}", id="include as code"),
        pytest.param(".. csv-table:: t\n   :file: {file}", id="a table from a file"),
        pytest.param(".. csv-table:: t\n   :url: file://{file}", id="a table from a URL"),
        pytest.param(".. raw:: html\n   :file: {file}", id="raw from a file"),
        pytest.param(".. raw:: html\n   :url: file://{file}", id="raw from a URL"),
    ],
)
def test_no_other_file_is_read(tmp_path: Path, directive: str) -> None:
    file = tmp_path / "hidden"
    file.write_text("What nobody may see.", "utf-8")

    document = parse_restructured_text(directive.format(file=file))

    assert "What nobody may see" not in f"{document}"


def test_nothing_is_said_on_the_way(capfd: pytest.CaptureFixture[str]) -> None:
    parse_restructured_text(
        "Title\n==\n\n:unknown:`x` *open |a| `b`_\n\n.. unknown::\n\n.. include:: /none\n"
    )

    assert capfd.readouterr() == ("", "")


def test_a_role_that_one_document_names_is_unknown_to_the_next() -> None:
    before = dict(vars(roles)["_roles"])

    parse_restructured_text(
        ".. role:: shout(strong)\n.. default-role:: shout\n\n:shout:`loud` and `louder`\n"
    )

    assert vars(roles)["_roles"] == before
    assert ":shout:" in parse_restructured_text(":shout:`loud`").sections[0].body


def test_a_file_of_the_machine_does_not_configure_docutils(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\n", "utf-8")
    (tmp_path / "hidden").write_text("What nobody may see.", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCUTILSCONFIG", str(tmp_path / "docutils.conf"))

    assert "nobody" not in f"{parse_restructured_text('.. include:: hidden')}"


def test_what_docutils_fails_at_is_read_as_a_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    text = f"Title\n=====\n\n{'- ' * sys.getrecursionlimit()}the end\n"

    document = parse_restructured_text(text)

    assert (document.title, document.text) == ("Title", text)
    assert document.sections[0].body.endswith("the end")
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "docutils cannot read a document, which is taken as plain text"
    ]


def test_a_paragraph_that_would_take_docutils_too_long_is_read_as_a_plain_text() -> None:
    started = process_time()

    document = parse_restructured_text("Title\n=====\n\n" + "*a " * 300_000)

    assert (document.title, process_time() - started < 5) == ("Title", True)


@given(st.text(alphabet=st.sampled_from("=-~*`|_:.[]<>#\\ \n\tab")))
def test_every_text_is_cut_into_sections_that_follow_one_another(text: str) -> None:
    document = parse_restructured_text(text)

    assert document.text == text
    for section, following in zip(document.sections, document.sections[1:], strict=False):
        assert section.start <= section.end == following.start
    if document.sections:
        assert document.sections[-1].end == len(text)
