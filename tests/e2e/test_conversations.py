import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tunnelgate_app.demo import ACCOUNTS, ROUTES

pytestmark = pytest.mark.checkout
ROOT = Path(__file__).parents[2]
CARD_NUMBER = re.compile(r"\b[0-9](?:[ -]?[0-9]){12,18}\b")


@pytest.fixture(scope="module")
def conversations() -> dict[str, list[str]]:
    """Run the program, and return the lines of each conversation by the name of its route."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.conversations"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    _, *parts = re.split(r"^== ([a-z]+)\..*\n", done.stdout, flags=re.MULTILINE)
    return {name: text.splitlines() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def asked(lines: list[str]) -> list[str]:
    """Return the tools that were called, in their order."""
    calls = [line.split()[1] for line in lines if re.match(r"> [a-z_/]+( \{|$)", line)]
    return [name for name in calls if name != "tools/list"]


def test_there_is_a_conversation_with_each_server(conversations: dict[str, list[str]]) -> None:
    assert list(conversations) == list(ROUTES)
    assert [name for name, lines in conversations.items() if not 20 <= len(lines) <= 120] == []


@pytest.mark.parametrize("name", ROUTES)
def test_the_client_lists_exactly_what_it_may_call_after_the_person_has_logged_in(
    conversations: dict[str, list[str]], name: str
) -> None:
    told, login, question, answer, *_ = conversations[name]

    assert told.endswith("/mcp and nothing else")
    assert login == f"# alice logs in and allows {' and '.join(ROUTES[name].scopes)}"
    assert (question, sorted(answer.strip().split(", "))) == ("> tools/list", sorted(ROUTES[name].tools))


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.promise("hidden-equals-absent")
def test_a_tool_that_nobody_listed_is_answered_like_one_that_is_not_there(
    conversations: dict[str, list[str]], name: str
) -> None:
    lines = conversations[name]
    refused = next(tool for tool in ROUTES[name].unlisted if tool in asked(lines))

    assert lines.count(f"  -32602 Unknown tool: {refused}") == 1
    assert sum("-326" in line for line in lines) == 1


def test_a_document_that_was_found_is_read(conversations: dict[str, list[str]]) -> None:
    lines = conversations["docs"]

    assert asked(lines) == ["search_docs", "read_doc", "list_docs", "reindex_docs"]
    assert not any(line.startswith("  error: ") for line in lines)
    assert any("docs/tokens.md" in line or "path: tokens.md" in line for line in lines)


@pytest.mark.promise("challenge-complete")
def test_a_draft_takes_the_person_twice_and_becomes_a_ticket_at_the_desk(
    conversations: dict[str, list[str]],
) -> None:
    lines = conversations["tickets"]
    text = "\n".join(lines)

    assert asked(lines) == [
        "search_tickets",
        "read_ticket",
        "create_draft",
        "update_draft",
        "update_draft",
        "submit_draft",
        "read_ticket",
        "read_ticket",
    ]
    order = [
        "> read_ticket",
        "# alice logs in and allows tickets:read and tickets:draft",
        "> create_draft",
        "error: Error executing tool update_draft",
        "Unknown tool: submit_draft",
        "# alice opens http://desk.tunnel.localhost:",
        "# she submits, and reads: Your draft is ticket TCK-",
        "requester: alice",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_the_accounts_of_alice_are_shown_without_a_number_of_a_card_and_nobody_elses(
    conversations: dict[str, list[str]],
) -> None:
    lines = conversations["billing"]
    text = "\n".join(lines)

    assert asked(lines) == [
        "list_accounts",
        "search_transactions",
        "read_statement",
        "search_transactions",
        "explain_charge",
        "read_statement",
        "refund_charge",
    ]
    answers = [line for line in lines if not line.startswith((">", "#"))]
    assert [line for line in answers if CARD_NUMBER.search(line)] == []
    shown = set(re.findall(r"\bACC-[0-9]+", "\n".join(answers)))
    assert shown
    assert shown <= set(ACCOUNTS["alice"])
    assert f"count: {len(ACCOUNTS['alice'])}" in text
    assert sum("error: " in line for line in lines) == 1
    for part in ("opening_balance", "closing_balance"):
        assert part in text


def test_what_lies_between_two_releases_is_told(conversations: dict[str, list[str]]) -> None:
    lines = conversations["deploy"]

    assert asked(lines) == [
        "list_services",
        "current_release",
        "release_history",
        "compare_releases",
        "compare_releases",
        "rollback",
    ]
    for wanted in (r"  direction: (forward|backward|same)", r"  between_total: [1-9][0-9]*"):
        assert any(re.fullmatch(wanted, line) for line in lines), wanted
    assert not any(line.startswith("  error: ") for line in lines)
