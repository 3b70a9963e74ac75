import logging
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.tokens import ISSUER
from tunnelgate import Allow, Deny, NeedsScopes, Principal, Reason, Requirement, Verdict
from tunnelgate.catalogue import EVERYTHING, Names, Resources, check_name, check_resource, list_tools
from tunnelgate.reading.methods import MAX_NAME, MAX_URI

ALLOWED = Allow()


def _principal(scopes: str = "", claims: Mapping[str, Any] | None = None) -> Principal:
    return Principal(ISSUER, "alice", "agent", frozenset(scopes.split()), claims or {})


# What names may be listed


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        pytest.param([""], "'' is not a name of 1 to 256 characters", id="an empty name"),
        pytest.param(["x" * (MAX_NAME + 1)], "is not a name of 1 to 256", id="a name that is too long"),
        pytest.param(["*"], r"'\*' is a pattern; list the names one by one", id="a star in a list"),
        pytest.param(["read_*"], "is a pattern", id="a star at the end"),
        pytest.param(["read_?"], "is a pattern", id="a question mark"),
        pytest.param(["read_[ab]"], "is a pattern", id="a set of letters"),
        pytest.param(["search_docs", "*"], r"'\*' is a pattern", id="a pattern among names"),
        pytest.param({"*": ["docs:read"]}, "is a pattern", id="a pattern with a scope"),
        pytest.param("search_docs", "'search_docs' is a text where a list", id="one text in place of a list"),
        pytest.param("", "'' is a text where a list", id="an empty text in place of a list"),
        pytest.param({"search_docs": "docs:read"}, "text", id="one text in place of a list of scopes"),
        pytest.param(
            {"search_docs": {"scopes": ["docs:read"]}}, "list of scopes", id="a mapping in place of a list"
        ),
    ],
)
def test_names_that_cannot_be_meant_are_refused_at_construction(listed: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        list_tools(listed)
    with pytest.raises(ValueError, match=sentence):
        Names(listed, Reason.PROMPT_NOT_ALLOWED)


@pytest.mark.parametrize(
    "name", ["a", "x" * MAX_NAME, "search_docs", "größe", "a b", "a/b", "a.b:c-d", "{a}"]
)
def test_a_plain_name_of_any_script_can_be_listed(name: str) -> None:
    check_name(name)

    assert Names([name], Reason.TOOL_NOT_ALLOWED).decide(name, None) == ALLOWED


def test_names_that_are_added_afterwards_are_not_listed() -> None:
    listed: dict[str, list[str]] = {"search_docs": []}
    tools = list_tools(listed)
    listed["drop_docs"] = []

    assert tools.decide("drop_docs", None) == Deny(Reason.TOOL_NOT_ALLOWED)


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param({"a": None}, id="nothing said"),
        pytest.param({"a": ()}, id="no scopes"),
        pytest.param({"a": Requirement()}, id="an empty requirement"),
        pytest.param(["a"], id="a list"),
        pytest.param(iter(["a"]), id="an iterator"),
    ],
)
def test_a_name_without_a_rule_requires_nothing(listed: Any) -> None:
    tools = list_tools(listed)

    assert bool(tools)
    assert tools.decide("a", None) == ALLOWED


@pytest.mark.parametrize("listed", [[], (), {}])
def test_an_empty_catalogue_is_falsy_and_has_nothing(listed: Any) -> None:
    assert not Names(listed, Reason.PROMPT_NOT_ALLOWED)
    assert not Resources(listed)
    assert Names(listed, Reason.PROMPT_NOT_ALLOWED).decide("a", None) == Deny(Reason.PROMPT_NOT_ALLOWED)


# Every tool


def test_every_tool_needs_a_second_word(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"^'\*' is every tool there will ever be; list them, or set allow"):
        list_tools(EVERYTHING)

    assert caplog.records == []


def test_every_tool_is_allowed_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    tools = list_tools("*", allow_all_tools=True)

    assert bool(tools)
    assert [tools.decide(name, None) for name in ("a", "*", "größe")] == [ALLOWED] * 3
    assert caplog.record_tuples == [
        (
            "tunnelgate",
            logging.WARNING,
            "all tools are allowed, also those that the server will have tomorrow",
        )
    ]


def test_the_second_word_alone_opens_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tools = list_tools(["a"], allow_all_tools=True)

    assert not tools.is_open
    assert tools.decide("b", None) == Deny(Reason.TOOL_NOT_ALLOWED)
    assert caplog.records == []


def test_a_star_in_place_of_prompts_or_resources_is_refused() -> None:
    with pytest.raises(ValueError, match="is a text where a list"):
        Names("*", Reason.PROMPT_NOT_ALLOWED)
    with pytest.raises(ValueError, match="is a text where a list"):
        Resources("*")


def test_an_open_catalogue_still_asks_what_a_listed_name_requires() -> None:
    tools = Names({"drop": Requirement(["docs:admin"])}, Reason.TOOL_NOT_ALLOWED, is_open=True)

    assert tools.decide("drop", None) == NeedsScopes(("docs:admin",))
    assert tools.decide("read", None) == ALLOWED


# Who may use which name

UNKNOWN = Deny(Reason.TOOL_NOT_ALLOWED)
RULES = list_tools(
    {
        "open": [],
        "read": ["docs:read"],
        "drop": ["docs:read", "docs:admin"],
        "ours": Requirement(claims={"team": "docs"}),
        "sign": Requirement(["docs:sign"], {"team": ["docs", "legal"]}),
    }
)


@pytest.mark.parametrize(
    ("name", "principal", "verdict"),
    [
        pytest.param("open", None, ALLOWED, id="a tool that needs nothing, for nobody"),
        pytest.param("open", _principal("other"), ALLOWED, id="a tool that needs no scope, with one"),
        pytest.param("read", _principal("docs:read"), ALLOWED, id="the scope that the tool needs"),
        pytest.param("read", _principal("other docs:read"), ALLOWED, id="more than the tool needs"),
        pytest.param("read", None, NeedsScopes(("docs:read",)), id="a tool that needs a scope, for nobody"),
        pytest.param("read", _principal(), NeedsScopes(("docs:read",)), id="no scope"),
        pytest.param("read", _principal("docs:admin"), NeedsScopes(("docs:read",)), id="another scope"),
        pytest.param(
            "read", _principal("docs:read:all"), NeedsScopes(("docs:read",)), id="a scope that begins so"
        ),
        pytest.param(
            "read", _principal("DOCS:READ"), NeedsScopes(("docs:read",)), id="the scope in capitals"
        ),
        pytest.param(
            "drop", _principal("docs:admin"), NeedsScopes(("docs:read", "docs:admin")), id="one scope of two"
        ),
        pytest.param("drop", _principal("docs:admin docs:read"), ALLOWED, id="both scopes"),
        pytest.param("ours", _principal(claims={"team": "docs"}), ALLOWED, id="the claim"),
        pytest.param(
            "ours", _principal(claims={"team": ["it", "docs"]}), ALLOWED, id="the claim among others"
        ),
        pytest.param("ours", _principal(claims={"team": "it"}), UNKNOWN, id="another value of the claim"),
        pytest.param("ours", _principal("docs:read"), UNKNOWN, id="no claim"),
        pytest.param("ours", None, UNKNOWN, id="a tool that needs a claim, for nobody"),
        pytest.param("sign", _principal("docs:sign"), UNKNOWN, id="the scope without the claim"),
        pytest.param(
            "sign",
            _principal(claims={"team": "legal"}),
            NeedsScopes(("docs:sign",)),
            id="a claim and no scope",
        ),
        pytest.param(
            "sign", _principal("docs:sign", {"team": "legal"}), ALLOWED, id="the claim and the scope"
        ),
        pytest.param("delete", _principal("docs:read docs:admin"), UNKNOWN, id="a tool that is not listed"),
        pytest.param("OPEN", None, UNKNOWN, id="a listed name in capitals"),
        pytest.param("open ", None, UNKNOWN, id="a listed name and a space"),
        pytest.param("ope\u0301n", None, UNKNOWN, id="a listed name with an accent"),
        pytest.param("\uff4fpen", None, UNKNOWN, id="a listed name with a wide letter"),
        pytest.param("\u043epen", None, UNKNOWN, id="a listed name with a letter of another script"),
        pytest.param("open\x00drop", None, UNKNOWN, id="a listed name, a NUL and another"),
        pytest.param("ope", None, UNKNOWN, id="a part of a listed name"),
        pytest.param("", None, UNKNOWN, id="no name"),
        pytest.param("*", None, UNKNOWN, id="a star"),
    ],
)
def test_a_name_may_be_used_when_it_is_listed_and_what_it_requires_is_there(
    name: str, principal: Principal | None, verdict: Verdict
) -> None:
    assert RULES.decide(name, principal) == verdict


# What resources may be listed


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        pytest.param([""], "'' is not a URI of 1 to 2048 characters", id="an empty URI"),
        pytest.param(["docs:" + "x" * (MAX_URI - 4)], "is not a URI of 1 to 2048", id="one that is too long"),
        pytest.param(["docs:///*"], r"'docs:///\*' is a pattern; write a URI template", id="a star"),
        pytest.param(["*"], r"'\*' is a pattern", id="a star alone"),
        pytest.param(["docs:///{a*}"], "has an expression that is none of", id="an explosion"),
        pytest.param(["docs:///{a"], "has an expression that is none of", id="a bracket left open"),
        pytest.param(["docs:///a}"], "has an expression that is none of", id="a bracket never opened"),
        pytest.param(["{+anything}"], "does not begin with a scheme", id="a template of everything"),
        pytest.param("docs:///a", "is a text where a list", id="one text in place of a list"),
        pytest.param({"docs:///a": "docs:read"}, "text", id="one text in place of a list of scopes"),
    ],
)
def test_resources_that_cannot_be_meant_are_refused_at_construction(listed: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Resources(listed)


@pytest.mark.parametrize(
    "uri", ["docs:///a", "docs:" + "x" * (MAX_URI - 5), "a b", "urn:isbn:1", "docs:///{+a}"]
)
def test_a_resource_is_listed_by_its_uri_as_the_server_writes_it(uri: str) -> None:
    check_resource(uri)

    assert Resources([uri]).decide(uri, None) == ALLOWED


# Who may read which resource

RESOURCES = Resources(
    {
        "docs:///guide.md": None,
        "docs:///public/{name}": None,
        "docs:///team/{+path}": ["docs:read"],
        "docs:///team/plans/{name}": Requirement(["docs:plans"], {"team": "docs"}),
        "docs:///team/plans/secret.md": Requirement(["docs:secret"]),
        "test://template/{id}/data": Requirement(claims={"level": 1}),
    }
)
DOCS = {"team": "docs"}


@pytest.mark.parametrize(
    ("uri", "principal", "verdict"),
    [
        pytest.param("docs:///guide.md", None, ALLOWED, id="a listed URI"),
        pytest.param("docs:///GUIDE.md", None, None, id="a listed URI in capitals"),
        pytest.param("docs:///guide.md#x", None, None, id="a listed URI with a fragment"),
        pytest.param("docs:///guide.md?x", None, None, id="a listed URI with a query"),
        pytest.param("docs:///guide", None, None, id="a part of a listed URI"),
        pytest.param("docs:///public/a", None, ALLOWED, id="a URI of a template"),
        pytest.param("docs:///public/", None, None, id="a template without a value"),
        pytest.param("docs:///public/a/b", None, None, id="two segments for one"),
        pytest.param("docs:///public/..", None, None, id="the folder above"),
        pytest.param("docs:///public/%2e%2e", None, None, id="the folder above, encoded"),
        pytest.param("docs:///public/{name}", None, ALLOWED, id="a listed template itself"),
        pytest.param("docs:///public/{other}", None, None, id="a template that is not listed"),
        pytest.param("docs:///team/a", None, NeedsScopes(("docs:read",)), id="a scope of nobody"),
        pytest.param("docs:///team/a", _principal("docs:read"), ALLOWED, id="the scope that is needed"),
        pytest.param("test://template/1/data", None, None, id="a claim of nobody"),
        pytest.param("test://template/1/data", _principal(claims={"level": 2}), None, id="another claim"),
        pytest.param("test://template/1/data", _principal(claims={"level": 1}), ALLOWED, id="the claim"),
        pytest.param(
            "docs:///team/plans/a", _principal("docs:read"), None, id="two templates, claim missing"
        ),
        pytest.param(
            "docs:///team/plans/a",
            _principal("", DOCS),
            NeedsScopes(("docs:read", "docs:plans")),
            id="two templates, no scope",
        ),
        pytest.param(
            "docs:///team/plans/a",
            _principal("docs:plans", DOCS),
            NeedsScopes(("docs:read", "docs:plans")),
            id="two templates, the scope of one",
        ),
        pytest.param(
            "docs:///team/plans/a", _principal("docs:plans docs:read", DOCS), ALLOWED, id="two templates, all"
        ),
        pytest.param(
            "docs:///team/plans/secret.md",
            _principal("docs:secret"),
            None,
            id="a URI and two templates, the scope of the URI",
        ),
        pytest.param(
            "docs:///team/plans/secret.md",
            _principal("docs:plans docs:read", DOCS),
            NeedsScopes(("docs:secret", "docs:read", "docs:plans")),
            id="a URI and two templates, all but the scope of the URI",
        ),
        pytest.param(
            "docs:///team/plans/secret.md",
            _principal("docs:plans docs:read docs:secret", DOCS),
            ALLOWED,
            id="a URI and two templates, all that they require",
        ),
        pytest.param("", None, None, id="no URI"),
        pytest.param("*", None, None, id="a star"),
    ],
)
def test_a_resource_may_be_read_when_everything_that_is_listed_about_it_allows_it(
    uri: str, principal: Principal | None, verdict: Verdict | None
) -> None:
    absent = Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": uri})

    assert RESOURCES.decide(uri, principal) == (absent if verdict is None else verdict)


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("docs:///secret%2Fplan.md", id="an encoded slash"),
        pytest.param("docs:///secret%252Fplan.md", id="a slash that is encoded twice"),
        pytest.param("docs:///top.md#x", id="a fragment"),
        pytest.param("docs:///top.md?x", id="a query"),
    ],
)
def test_no_other_spelling_of_a_uri_escapes_what_is_required_of_it(uri: str) -> None:
    hidden = Requirement(claims={"team": "board"})
    resources = Resources(
        {"docs:///{+path}": None, "docs:///secret/{+path}": hidden, "docs:///top.md": hidden}
    )

    assert resources.decide("docs:///open.md", None) == ALLOWED
    assert resources.decide(uri, None) == Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": uri})


def _seconds(resources: Resources, uris: list[str]) -> float:
    """Return the processor's time for deciding about ``uris``: the least of three, as noise only adds."""
    seconds: list[float] = []
    for _ in range(3):
        began = time.process_time()
        assert all(resources.decide(uri, None) for uri in uris)
        seconds.append(time.process_time() - began)
    return min(seconds)


@pytest.mark.promise("bounded")
def test_a_template_that_a_uri_is_not_of_costs_next_to_nothing() -> None:
    # One message may name a thousand such URIs, and nobody else is served while they are judged.
    uris = ["docs:///" + "%25" * 600] * 10
    one = Resources(["docs:///{+path}"])
    many = Resources(["docs:///{+path}", *(f"docs:///part-{number}/{{name}}" for number in range(100))])

    assert _seconds(many, uris) < 10 * _seconds(one, uris)


# Whatever is listed

ENTRIES = st.sampled_from(
    [
        "docs:///a",
        "docs:///a/b",
        "docs:///{x}",
        "docs:///{+x}",
        "docs:///a/{x}",
        "docs:///a{?x,y}",
        "docs://{h}/a",
    ]
)
URIS = st.sampled_from(
    [
        *(
            "docs:///a",
            "docs:///b",
            "docs:///a/b",
            "docs:///a/b/c",
            "docs:///a?x=1",
            "docs:///a?z=1",
            "docs://h/a",
        ),
        *(
            "docs:///a/../b",
            "docs:///{x}",
            "docs:///{+x}",
            "docs:///{y}",
            "docs:///a//b",
            "docs:///A",
            "x",
            "docs:",
        ),
    ]
)
REQUIREMENTS = st.builds(
    Requirement,
    scopes=st.lists(st.sampled_from("ab"), max_size=2),
    claims=st.dictionaries(st.just("team"), st.sampled_from("xy"), max_size=1),
)
PRINCIPALS = st.none() | st.builds(
    _principal,
    scopes=st.sampled_from(["", "a", "b", "a b"]),
    claims=st.dictionaries(st.just("team"), st.sampled_from(["x", "y", "z"]), max_size=1),
)


@given(listed=st.dictionaries(ENTRIES, REQUIREMENTS, max_size=4), uri=URIS | ENTRIES, principal=PRINCIPALS)
def test_entries_about_one_uri_allow_together_what_each_of_them_allows(
    listed: Mapping[str, Requirement], uri: str, principal: Principal | None
) -> None:
    verdict = Resources(listed).decide(uri, principal)

    about = [entry for entry in listed if Resources([entry]).decide(uri, None)]
    alone = [Resources({entry: listed[entry]}).decide(uri, principal) for entry in about]
    assert bool(verdict) == (bool(alone) and all(alone))
    assert isinstance(verdict, Deny) == (not alone or any(isinstance(each, Deny) for each in alone))


@given(
    listed=st.dictionaries(st.sampled_from("abAB"), REQUIREMENTS, max_size=3),
    name=st.sampled_from("abABc"),
    principal=PRINCIPALS,
    is_open=st.booleans(),
)
def test_a_name_that_nobody_listed_exists_only_where_all_do(
    listed: Mapping[str, Requirement],
    name: str,
    principal: Principal | None,
    is_open: bool,  # noqa: FBT001 - hypothesis passes by name
) -> None:
    assume(name not in listed)
    names = Names(listed, Reason.PROMPT_NOT_ALLOWED, is_open=is_open)

    assert names.decide(name, principal) == (ALLOWED if is_open else Deny(Reason.PROMPT_NOT_ALLOWED))


OVERLAPPING = Resources(
    {
        "docs:///{+path}": (),
        "docs:///hr/{+path}": Requirement(claims={"team": "hr"}),
        "docs:///pay/{name}.md": Requirement(["pay:read"]),
        "docs:///pay/a:1.md": (),
    }
)


@pytest.mark.parametrize(
    "uri",
    [
        "docs:///hr/salaries.md",
        "docs:///hr/salaries:2026.md",
        "docs:///hr/x:y/salaries.md",
        "docs:///hr/salaries%3A2026.md",
        "docs:///hr/salaries.",
    ],
)
def test_a_value_that_a_narrower_template_does_not_take_is_not_free_of_what_it_requires(uri: str) -> None:
    assert OVERLAPPING.decide(uri, None) == Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": uri})


@pytest.mark.parametrize("uri", ["docs:///pay/a.md", "docs:///pay/a:1.md", "docs:///pay/a:2.md"])
def test_nor_is_a_resource_that_is_listed_by_its_uri(uri: str) -> None:
    assert OVERLAPPING.decide(uri, None) == NeedsScopes(("pay:read",))


@pytest.mark.parametrize("uri", ["docs:///a/secret.md::$DATA", "docs:///a/my_secret.md:$DATA"])
def test_a_stream_of_a_file_is_no_other_resource(uri: str) -> None:
    assert OVERLAPPING.decide(uri, None) == Deny(Reason.RESOURCE_NOT_ALLOWED, told={"uri": uri})
