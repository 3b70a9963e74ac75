"""What PostgreSQL marks in a folded text stands at the same place of the text itself."""

from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.servers.docs_readonly.documents import indexed, opened, write_documents
from tests.support.postgres import Postgres, PostgresDatabases
from tunnelgate_servers.docs_readonly.folding import composed, fold
from tunnelgate_servers.docs_readonly.fulltext import Passage, fulltext_of
from tunnelgate_servers.docs_readonly.query import Query
from tunnelgate_servers.docs_readonly.reader import IndexReader
from tunnelgate_servers.hosting import RequestError

_BODIES = st.text(alphabet=st.sampled_from("aAbé\u0301日.-_/<>&@:'\" \n\t0٤²ß")) | st.text().map(
    lambda text: "".join(character for character in text if character.isprintable())
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Generator[Engine]:
    databases = PostgresDatabases(postgres)
    folder = write_documents(tmp_path_factory.mktemp("words") / "docs", {"a.md": "# One\n\nA <b>word</b>.\n"})
    try:
        with opened(databases, indexed(databases, folder)) as engine:
            yield engine
    finally:
        databases.drop()


@given(body=_BODIES)
def test_what_is_marked_are_the_words_of_the_query_and_nothing_beside(engine: Engine, body: str) -> None:
    body = composed(body)
    try:
        query = Query.parse(body)
    except RequestError:
        return
    with engine.connect() as connection:
        passage = Passage(1, "a.md", "One", "One", body)
        spans = fulltext_of(engine).spans(connection, query.words, [passage])[1]

    parts = {part for word in query.words for part in word}
    marked = {fold(body[start:end]).lower() for start, end in spans}
    assert all(" " not in word for word in marked)
    assert marked & parts or not any(part.isascii() for part in parts)


def test_signs_that_html_gives_a_meaning_are_marked_around_and_kept(engine: Engine) -> None:
    (hit,) = IndexReader(engine).search("word", 5).hits

    assert hit.snippet == "A <b>**word**</b>."
