"""The tables of the index; what makes their words searchable is each database's own, in the migrations."""

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tunnelgate_servers.docs_readonly.paths import MAX_PATH_CHARACTERS

# By code point, as SQLite and Python compare, whatever language the database is in.
_Path = String(MAX_PATH_CHARACTERS).with_variant(String(MAX_PATH_CHARACTERS, collation="C"), "postgresql")


class Base(DeclarativeBase):
    """What the tables have in common."""


class Document(Base):
    """A document, and what its file was like when it was read.

    `modified_ns` is when the file was changed, in nanoseconds since the epoch; it is null where that was so
    shortly before it was read that another change might not show. `digest` is the SHA-256 of the file, and
    `parsed_as` the version of the parsers.
    """

    __tablename__ = "documents"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(_Path, unique=True)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    headings: Mapped[int]
    modified_ns: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    parsed_as: Mapped[int]


class Section(Base):
    """A section of a document by its place in the text; `level` is 0 before the first heading."""

    __tablename__ = "sections"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    heading: Mapped[str] = mapped_column(Text)
    level: Mapped[int]
    start: Mapped[int]
    end: Mapped[int]


class Passage(Base):
    """A part of a section that is searched; it has the title and the heading for their words."""

    __tablename__ = "passages"

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), index=True)
    title: Mapped[str] = mapped_column(Text)
    heading: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
