"""Attacks on the sample servers by whoever writes what they answer from, and by whoever has a token."""

import logging
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import pytest
from dulwich.objects import Blob
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.servers.billing_audit.books import new_books, on, reading_token
from tests.servers.deploy_status.releasing import commit_of_record
from tests.servers.hosting.raw_calls import Wire, ask
from tests.servers.serving import Era, connected, own_check_options, served, structured, token
from tests.support.postgres import Databases
from tunnelgate_servers.billing_audit.redaction import redacted
from tunnelgate_servers.deploy_status import create_app as deploy_status
from tunnelgate_servers.deploy_status.catalogue import Records
from tunnelgate_servers.deploy_status.repository import RepositorySource
from tunnelgate_servers.docs_readonly.sources import DocumentSources, SkippedError

_CARD: Final = "4111111111111111"
_IBAN: Final = "DE89370400440532013000"
_GROUPS: Final = ("4111", "1111", "1111", "1111")
_METHOD_NOT_FOUND: Final = -32601
_MEBIBYTE: Final = 1024 * 1024
_SECONDS: Final = 30  # that a document may take to be read, on a busy machine


@pytest.fixture(
    params=[pytest.param("2026-07-28", id="modern era"), pytest.param("legacy", id="legacy era")],
)
def era(request: pytest.FixtureRequest) -> Era:
    spoken: Era = request.param
    return spoken


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ACC-" + "-".join(_GROUPS), id="after the letters of an account's id, with dashes"),
        pytest.param("ACC-" + " ".join(_GROUPS), id="after the letters of an account's id, with blanks"),
        pytest.param("TXN-" + "-".join(_GROUPS), id="after the letters of a transaction's id"),
        pytest.param("TXN-" + "\u2212".join(_GROUPS), id="after those letters, with minus signs"),
        pytest.param("    ".join(_GROUPS), id="with four blanks, as in a table"),
        pytest.param(" \r\n ".join(_GROUPS), id="in indented lines"),
        pytest.param(("\u200b" * 8).join(_GROUPS), id="with many characters of no width"),
        pytest.param("\u3164".join(_GROUPS), id="with a letter that shows nothing"),
        pytest.param("\u2800".join(_GROUPS), id="with an empty pattern of Braille"),
        pytest.param("".join(f"{each}\ufe0f\u20e3" for each in _CARD), id="in digits on keys"),
        pytest.param("".join(f"{each}\u0301\u0301\u0301\u0301" for each in _CARD), id="with many accents"),
        pytest.param("\u2212".join(_GROUPS), id="with minus signs"),
        pytest.param("\u00b7".join(_GROUPS), id="with middle dots"),
        pytest.param("\u2022".join(_GROUPS), id="with bullets"),
        pytest.param("\uff0e".join(_GROUPS), id="with wide full stops"),
        pytest.param("\uff0f".join(_GROUPS), id="with wide slashes"),
        pytest.param("\u2024".join(_GROUPS), id="with dot leaders"),
        pytest.param("+".join(_GROUPS), id="with the blanks of a form that was sent"),
        pytest.param("*".join(_GROUPS), id="with asterisks"),
        pytest.param(":".join(_GROUPS), id="with colons"),
        pytest.param("\0 ".join(_GROUPS), id="with NUL"),
    ],
)
def test_the_number_of_a_card_is_hidden_however_it_is_written(text: str) -> None:
    shown = redacted(f"Paid by phone, {text} (Visa)")

    assert "••••" in shown
    assert sum(character.isdecimal() for character in shown) == 4


@pytest.mark.parametrize(
    "separator",
    [
        pytest.param("\u2212", id="minus signs"),
        pytest.param("    ", id="four blanks"),
        pytest.param("\u00b7", id="middle dots"),
        pytest.param("\u20dd", id="circles around the characters"),
    ],
)
def test_an_iban_is_hidden_however_it_is_written(separator: str) -> None:
    groups = [_IBAN[place : place + 4] for place in range(0, len(_IBAN), 4)]

    assert redacted(f"from {separator.join(groups)}, thanks") == "from •••• 3000, thanks"


@pytest.mark.parametrize(
    "text",
    [
        "ACC-1001 2026-03-01",
        "ACC-1001/2026-03-01",
        "TXN-000042: 12 seats, 120 days",
        "TXN-000042 and ACC-1001, 25 seats",
        "INV-2026-03-1001: 12 seats",
    ],
)
def test_the_ids_of_the_ledger_are_shown(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.anyio
async def test_a_card_that_is_called_an_account_is_in_no_answer(
    databases: Databases, tmp_path: Path, era: Era
) -> None:
    typed = "ACC-" + "-".join(_GROUPS)
    with new_books(databases, tmp_path) as books:
        customer = books.customer()
        charge = books.move(
            "charge", customer, 100, "revenue", when=on("2026-03-02"), description=typed, reference=typed
        )
        with books.served() as url:
            async with connected(url, era, reading_token([f"ACC-{customer}"])) as client:
                answers = [
                    await client.call_tool("search_transactions", {}),
                    await client.call_tool(
                        "read_statement", {"account": f"ACC-{customer}", "month": "2026-03"}
                    ),
                    await client.call_tool("explain_charge", {"charge": f"TXN-{charge:06}"}),
                ]
                found = await client.call_tool("search_transactions", {"words": "4111-1111-1111"})

    for answer in answers:
        assert not answer.is_error
        assert typed not in answer.model_dump_json()
    assert structured(found)["transactions"] == []


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(".git/config", id="a file in a hidden folder"),
        pytest.param(".env", id="a hidden file"),
        pytest.param("settings.ini", id="a file that is no document"),
    ],
)
def test_a_link_makes_no_document_of_a_file_that_is_left_out(tmp_path: Path, target: str) -> None:
    file = tmp_path / target
    file.parent.mkdir(exist_ok=True)
    file.write_text("url = https://gate:secret@git.example.com/docs.git")
    (tmp_path / "readme.md").symlink_to(target)

    (found,) = DocumentSources(tmp_path.resolve()).find()

    assert found.path == "readme.md"
    assert found.reason == "it is a link to a file that is no document"


def test_a_folder_that_was_swapped_for_a_link_after_it_was_listed_is_not_followed(tmp_path: Path) -> None:
    folder, private = tmp_path / "documents", tmp_path / "private"
    for each, text in ((folder / "guide", "# Public"), (private, "# Secret")):
        each.mkdir(parents=True)
        (each / "notes.md").write_text(text)
    (found,) = DocumentSources(folder.resolve()).find()

    (folder / "guide").rename(tmp_path / "moved")
    (folder / "guide").symlink_to(private)

    with pytest.raises(SkippedError, match="it cannot be read"):
        found.read()


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(("`a " * 6000 + "\n\n") * 10, id="paragraphs in which much begins and nothing ends"),
        pytest.param("__ a\n\n" * 80_000, id="targets without names"),
    ],
)
def test_a_restructured_text_does_not_hold_up_the_index(tmp_path: Path, part: str) -> None:
    document = tmp_path / "slow.rst"
    document.write_text(part)
    read = (
        "import pathlib, sys; from tunnelgate_servers.docs_readonly.parsing import kind_of; "
        "kind_of('slow.rst').parse(pathlib.Path(sys.argv[1]).read_text())"
    )

    subprocess.run([sys.executable, "-c", read, str(document)], check=True, timeout=_SECONDS)


def _packed_repository(folder: Path, content: bytes) -> Repo:
    """Return a repository with a record of this content, all of it in one pack."""
    repository = Repo.init_bare(str(folder), mkdir=True)
    blob = Blob.from_string(content)
    objects = commit_of_record(blob)
    repository.object_store.add_objects([(each, None) for each in (blob, *objects)])
    repository.refs[Ref(b"HEAD")] = objects[-1].id
    return repository


def test_a_huge_file_in_a_pack_is_not_unpacked(tmp_path: Path) -> None:
    _packed_repository(tmp_path / "releases.git", bytes(64 * _MEBIBYTE)).close()
    records = Records(RepositorySource(tmp_path / "releases.git", "HEAD"))

    tracemalloc.start()
    try:
        catalogue = records.current()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [each.path for each in catalogue.left_out] == ["production/checkout/1.0.0.yaml"]
    assert most < 32 * _MEBIBYTE


def test_a_large_file_in_a_repository_is_looked_at_once_for_each_commit(tmp_path: Path) -> None:
    _packed_repository(tmp_path / "releases.git", bytes(_MEBIBYTE)).close()
    records = Records(RepositorySource(tmp_path / "releases.git", "HEAD"))

    first = records.current()

    assert [each.path for each in first.left_out] == ["production/checkout/1.0.0.yaml"]
    assert records.current() is first


@pytest.mark.anyio
async def test_a_prompt_that_nobody_offers_leaves_nothing_of_the_caller_in_the_log(
    tmp_path: Path, era: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "releases").mkdir()
    name = "first line\nERROR second line"
    with (
        caplog.at_level(logging.DEBUG),
        served(deploy_status(releases=tmp_path / "releases", **own_check_options(tmp_path))) as url,
    ):
        answer = await ask(url, era, "prompts/get", {"name": "x", "arguments": {name: name}}, token=token())

    assert answer.message["error"]["code"] == _METHOD_NOT_FOUND
    assert [record for record in caplog.records if record.exc_info] == []
