"""The pages about importing and about callers show what is written and printed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, Block, blocks, shell_commands
from tunnelgate_app.asking.answers import Listing, Server, Tool
from tunnelgate_app.cli import app
from tunnelgate_app.importing.proposing import Proposal, propose
from tunnelgate_app.importing.proxy_file import read_proxy_file
from tunnelgate_app.importing.settings import PLACEHOLDER_ISSUER, settings_of
from tunnelgate_app.importing.writing import write_configuration

IMPORT, CONNECTING = (ROOT / "docs" / name for name in ("import.md", "connecting-clients.md"))
LISTED = Listing(
    Server("modern", "2026-07-28", "docs-mcp", "3.1"),
    (
        Tool("search_docs", "Search", "Finds documents by their words.", read_only=True),
        Tool("read_doc", None, "Returns a document.", read_only=True, open_world=False),
        Tool("reindex_docs", None, "Reads all documents anew.", read_only=False, destructive=False),
        Tool("drop_index", destructive=True),
    ),
)
METADATA = "https://wiki.internal:9443/.well-known/oauth-protected-resource/mcp"
REFUSED = Proposal(
    failure=f'the server answers 401: it needs a token, and says "Bearer resource_metadata="{METADATA}""',
    needs_token=True,
)


def on(page: Path, *languages: str) -> list[Block]:
    return [block for block in blocks(*languages) if block.page == page]


def test_the_file_that_is_shown_is_what_is_made_of_that_of_the_proxy(tmp_path: Path) -> None:
    config, shown = on(IMPORT, "yaml")
    file = tmp_path / config.file
    file.write_text(config.text, "utf-8")
    settings = settings_of(read_proxy_file(file), PLACEHOLDER_ISSUER, lambda name: name)

    written = write_configuration(config.file, settings, {"docs": propose(LISTED), "wiki": REFUSED}, {}, {})

    assert shown.text == written


def test_what_is_said_of_it_is_what_was_listed() -> None:
    (block,) = on(IMPORT, "")
    ((command, printed),) = shell_commands(block.text)
    proposal = propose(LISTED)

    assert command == "tunnelgate import config.yaml"
    assert printed.splitlines() == [
        f"docs: {len(proposal.listed)} listed, {len(proposal.left_out)} left out",
        "wiki: the server answers 401: …",
    ]


@pytest.mark.parametrize("block", on(CONNECTING, ""), ids=lambda block: block.text.splitlines()[0])
def test_what_callers_write_down_is_what_is_printed(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = on(CONNECTING, "yaml")
    (tmp_path / "tunnelgate.yaml").write_text(config.text, "utf-8")
    monkeypatch.chdir(tmp_path)
    command, _, shown = block.text.partition("\n")
    program, *arguments = command.removeprefix("$ ").split()

    done = CliRunner().invoke(app, arguments)

    assert (program, done.exit_code) == ("tunnelgate", 0)
    assert done.output == shown


@pytest.mark.parametrize(("command", "page"), [("import", IMPORT), ("connector", CONNECTING)])
def test_every_option_stands_on_the_page(command: str, page: Path) -> None:
    help_text = CliRunner().invoke(app, [command, "--help"]).output
    options = {word for word in help_text.split() if word.startswith("--")} - {"--help", "--connect"}

    text = page.read_text("utf-8")
    assert [option for option in sorted(options) if option not in text and option != "--config"] == []
