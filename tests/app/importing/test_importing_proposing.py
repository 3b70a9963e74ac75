"""What is proposed is what a server marks as read-only, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.asking.answers import Listing, Server, Tool
from tunnelgate_app.importing.proposing import LeftOut, Proposal, Proposed, fault_of_name, propose

SERVER = Server("modern", "2026-07-28", "documents", "3")


def proposed(*tools: Tool) -> Proposal:
    return propose(Listing(SERVER, tools))


@pytest.mark.parametrize(
    ("hints", "reason"),
    [
        pytest.param({"read_only": True}, None, id="read-only"),
        pytest.param({"read_only": True, "destructive": False}, None, id="read-only and not destructive"),
        pytest.param({"read_only": True, "idempotent": True}, None, id="read-only and the same each time"),
        pytest.param({}, "not marked as read-only", id="nothing said"),
        pytest.param({"destructive": False}, "not marked as read-only", id="only said not to destroy"),
        pytest.param({"idempotent": True}, "not marked as read-only", id="only said to be repeatable"),
        pytest.param({"read_only": False}, "marked as one that changes things", id="said to change"),
        pytest.param(
            {"read_only": False, "destructive": True}, "marked as destructive", id="said to destroy"
        ),
        pytest.param({"destructive": True}, "marked as destructive", id="said to destroy alone"),
        pytest.param(
            {"read_only": True, "destructive": True},
            "marked as read-only and as destructive",
            id="a contradiction",
        ),
    ],
)
def test_the_marks_decide(hints: Any, reason: str | None) -> None:
    made = proposed(Tool("search", **hints))

    if reason is None:
        assert made == Proposal(SERVER, listed=(Proposed("search", ""),))
    else:
        assert made == Proposal(SERVER, left_out=(LeftOut("search", reason, "", is_usable=True),))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param("search_docs", None, id="a plain name"),
        pytest.param("docs/search.v2-1", None, id="a name with what names may have"),
        pytest.param("suche für alle", None, id="a name with a space and a letter of its own"),
        pytest.param("x" * 256, None, id="the longest name"),
        pytest.param("", "is not a name of 1 to 256 characters", id="no name"),
        pytest.param("x" * 257, "is not a name of 1 to 256 characters", id="one that is longer"),
        pytest.param("get_*", "is a pattern; list the names one by one", id="a pattern"),
        pytest.param("a\nb", "has characters in its name that nobody can see", id="a line end"),
        pytest.param("a\u202eb", "has characters in its name that nobody can see", id="a turned direction"),
        pytest.param("a\u200bb", "has characters in its name that nobody can see", id="a space of no width"),
        pytest.param(" search", "has characters in its name that nobody can see", id="a space in front"),
        pytest.param("search ", "has characters in its name that nobody can see", id="a space behind"),
    ],
)
def test_a_name_that_cannot_be_listed_is_left_out_for_good(name: str, fault: str | None) -> None:
    made = proposed(Tool(name, read_only=True))

    assert fault_of_name(name) == fault
    assert [each.name for each in made.listed] == ([name] if fault is None else [])
    assert [(each.reason, each.is_usable) for each in made.left_out] == (
        [] if fault is None else [(fault, False)]
    )


def test_two_tools_of_one_name_are_none() -> None:
    made = proposed(
        Tool("search", read_only=True), Tool("read", read_only=True), Tool("search", read_only=True)
    )

    assert [each.name for each in made.listed] == ["read"]
    assert made.left_out == (LeftOut("search", "stands 2 times in the server's list", "", is_usable=True),)


@pytest.mark.parametrize(
    ("tool", "note"),
    [
        pytest.param(Tool("t", title="Search"), "Search", id="a title"),
        pytest.param(Tool("t", description="Finds."), "Finds.", id="a description"),
        pytest.param(Tool("t", title="Search", description="Finds."), "Search: Finds.", id="both"),
        pytest.param(Tool("t", title=" ", description="\n"), "", id="nothing but space"),
        pytest.param(Tool("t", description="a\n# b\u202e"), "a # b", id="what would end the line"),
        pytest.param(Tool("t", description="x" * 101), "x" * 99 + "…", id="a long one"),
        pytest.param(
            Tool("t", title="Web", open_world=True),
            "Web [reaches beyond its server]",
            id="one that reaches beyond its server",
        ),
    ],
)
def test_what_a_server_says_of_a_tool_is_shortened(tool: Tool, note: str) -> None:
    assert proposed(tool).left_out[0].note == note


hint = st.sampled_from([None, True, False])


@given(
    st.lists(
        st.builds(
            Tool,
            name=st.one_of(st.sampled_from(["a", "b"]), st.text(max_size=10)),
            read_only=hint,
            destructive=hint,
            open_world=hint,
        )
    )
)
@pytest.mark.promise("proposal-reads")
def test_every_tool_is_in_one_place_and_only_those_that_only_read_are_listed(tools: list[Tool]) -> None:
    made = proposed(*tools)

    names = [each.name for each in made.listed] + [each.name for each in made.left_out]
    assert sorted(names) == sorted({each.name for each in tools})
    for each in made.listed:
        (tool,) = [tool for tool in tools if tool.name == each.name]
        assert tool.read_only
        assert not tool.destructive
