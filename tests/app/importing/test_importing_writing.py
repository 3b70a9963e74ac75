"""What is written is a configuration, and lists what was proposed, whatever servers say."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tests.support.resolving import Names
from tests.support.tokens import Token
from tunnelgate import Policy, protect
from tunnelgate.configuration.sources import in_full
from tunnelgate.upstream.opening import open_fetch
from tunnelgate_app.asking.answers import Listing, Server, Tool
from tunnelgate_app.importing.proposing import Proposal, propose
from tunnelgate_app.importing.proxy_file import ProxyFile
from tunnelgate_app.importing.settings import PLACEHOLDER_ISSUER, settings_of
from tunnelgate_app.importing.writing import scalar, write_configuration

ISSUER = "https://login.example.com/"
URL = "http://10.0.0.7:9000"
SERVER = Server("modern", "2026-07-28", "documents", "3")


def written(
    proposal: Proposal,
    *,
    issuer: str = ISSUER,
    source: str = "config.yaml",
    paths: Mapping[str, str] | None = None,
    token_files: Mapping[str, str] | None = None,
    name: str = "docs",
    **settings: Any,
) -> str:
    file = ProxyFile.model_validate(
        {
            "listen_addr": ":8080",
            "tunnel_domain": "tunnel.example.com",
            "tls": {"cert_file": "tls.crt", "key_file": "tls.key"},
            "routes": {name: URL},
            **settings,
        }
    )
    made = settings_of(file, issuer, lambda each: each)
    return write_configuration(source, made, {name: proposal}, paths or {}, token_files or {})


def loaded(text: str) -> Policy:
    return Policy.from_mapping(in_full(yaml.safe_load(text)))


def routes_in(text: str) -> list[str]:
    return text.partition("routes:\n")[2].splitlines()


def uncommented(text: str) -> str:
    """Return a configuration in which every tool that can be listed is."""
    return text.replace("      # - ", "      - ")


def test_a_route_lists_what_was_proposed_and_has_the_rest_as_comments() -> None:
    tools = (
        Tool("search", title="Search", description="Finds documents.", read_only=True),
        Tool("drop", description="Drops everything.", destructive=True),
        Tool("make"),
        Tool("get_*", read_only=True),
    )
    text = written(propose(Listing(SERVER, tools)))

    assert routes_in(text) == [
        "  docs:",
        "    # The server calls itself documents 3, and speaks MCP 2026-07-28.",
        "    upstream: http://10.0.0.7:9000",
        "    tools:",
        "      - search  # Search: Finds documents.",
        "      # - drop  # marked as destructive. Drops everything.",
        "      # - make  # not marked as read-only.",
        '      # Cannot be listed: "get_*" is a pattern; list the names one by one',
    ]
    assert loaded(text).routes["docs"].tools == ("search",)
    assert loaded(uncommented(text)).routes["docs"].tools == ("search", "drop", "make")


def test_the_head_says_where_the_marks_come_from() -> None:
    text = written(Proposal(), source="con\nfig.yaml")

    head = text.partition("\n\n")[0].splitlines()
    assert head[0] == "# Written by `tunnelgate import` from con fig.yaml, a file of Anthropic's proxy."
    assert "# of the servers themselves, and nobody has checked them" in text
    assert all(line.startswith("#") for line in head)


def test_settings_stand_as_people_write_them() -> None:
    text = written(Proposal(), upstream={"allowed_ips": ["127.0.0.1"], "tls": {"include_system_cas": True}})

    assert text.partition("\n\n")[2].partition("# Callers")[0].splitlines() == [
        'listen_addr: ":8080"',
        "log_level: info",
        "shutdown_timeout: 30s",
        "tunnel_domain: tunnel.example.com",
        "tls:",
        "  cert_file: tls.crt",
        "  key_file: tls.key",
        "# The connector runs on this machine.",
        "clients:",
        '  allowed_ips: [127.0.0.0/8, "::1"]',
        "upstream:",
        "  allowed_ips: [127.0.0.1]",
        "  tls:",
        "    include_system_cas: true",
        "oauth:",
        "  issuers:",
        "    - issuer: https://login.example.com/",
    ]


def test_the_private_networks_that_a_file_relied_on_are_said() -> None:
    text = written(Proposal())

    assert (
        "# The proxy's default: the private networks of RFC 1918.\n"
        "upstream:\n"
        "  allowed_ips: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]\n"
    ) in text


def test_a_number_stands_without_quotes() -> None:
    assert "\nshutdown_timeout: 0.25\n" in written(Proposal(), shutdown_timeout="250ms")


def test_a_placeholder_says_what_it_is() -> None:
    text = written(Proposal(), issuer=PLACEHOLDER_ISSUER)

    assert "    # A PLACEHOLDER, with which no token is accepted" in text
    assert "PLACEHOLDER" not in written(Proposal())


@pytest.mark.parametrize(
    ("proposal", "comment"),
    [
        pytest.param(
            Proposal(failure="the server breaks\noff"),
            "# Nothing is listed, so every request is refused: the server breaks off",
            id="a server that cannot be asked",
        ),
        pytest.param(
            Proposal(),
            "# Nothing is listed, so every request is refused: the server was not asked",
            id="a server that was not asked",
        ),
        pytest.param(
            propose(Listing(Server("legacy", "2025-11-25"), ())),
            "# The server speaks MCP 2025-11-25. It marks no tool as read-only, so none is listed.",
            id="a server without tools",
        ),
        pytest.param(
            propose(Listing(SERVER, (Tool("make"),))),
            "# The server calls itself documents 3, and speaks MCP 2026-07-28. "
            "It marks no tool as read-only, so none is listed.",
            id="a server that marks nothing",
        ),
    ],
)
def test_a_route_of_which_nothing_is_listed_loads_and_serves_nothing(
    proposal: Proposal, comment: str
) -> None:
    text = written(proposal, paths={"docs": "/api/mcp"})

    lines = routes_in(text)
    assert lines[:4] == ["  docs:", f"    {comment}", f"    upstream: {URL}", "    # path: /api/mcp"]
    assert not loaded(text).routes["docs"].speaks_mcp


def test_what_can_be_uncommented_can_be_where_nothing_else_is_listed() -> None:
    text = written(propose(Listing(SERVER, (Tool("make"),))))

    assert loaded(text).routes["docs"].tools is None
    assert loaded(uncommented(text)).routes["docs"].tools == ("make",)


def test_a_path_of_its_own_stands_where_something_is_listed() -> None:
    text = written(propose(Listing(SERVER, (Tool("search", read_only=True),))), paths={"docs": "/api/mcp"})

    assert "    path: /api/mcp" in routes_in(text)
    assert loaded(text).routes["docs"].path == "/api/mcp"


@pytest.mark.parametrize(
    ("token_files", "file"),
    [
        pytest.param({"docs": "../a, b.token"}, '"../a, b.token"', id="a file that was asked with"),
        pytest.param({}, "docs.token", id="a file that is to be"),
    ],
)
def test_a_server_that_takes_tokens_is_given_a_line_for_one(
    token_files: Mapping[str, str], file: str
) -> None:
    proposal = propose(Listing(SERVER, (Tool("search", read_only=True),)), needs_token=True)
    text = written(proposal, token_files=token_files)

    line = f"    # credentials: {{bearer_file: {file}}}"
    assert line in routes_in(text)
    assert loaded(text).routes["docs"].credentials is None
    assert loaded(text.replace(line, line.replace("# ", ""))).routes["docs"].credentials is not None


def test_a_server_that_wants_a_token_to_be_asked_gets_no_line_that_would_stand_alone() -> None:
    text = written(Proposal(failure="the server answers 401", needs_token=True))

    assert "    # Import again with --token-file to ask with a token; the gate" in text
    assert "credentials" not in text


@pytest.mark.parametrize("name", ["null", "true", "1234", "0x1f", "12.5e3", "on"])
def test_a_route_keeps_its_name(name: str) -> None:
    proposal = propose(Listing(SERVER, (Tool("search", read_only=True),)))

    assert list(loaded(written(proposal, name=name)).routes) == [name]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("search_docs", "search_docs", id="a plain name"),
        pytest.param("no", '"no"', id="a truth value"),
        pytest.param("1.5", '"1.5"', id="a number"),
        pytest.param("2026-11-23", '"2026-11-23"', id="a date"),
        pytest.param("2026-99-99", '"2026-99-99"', id="a date that there is not"),
        pytest.param("---", '"---"', id="the end of a document"),
        pytest.param("&a", '"&a"', id="an anchor"),
        pytest.param("*a", '"*a"', id="an alias"),
        pytest.param("!a", '"!a"', id="a tag"),
        pytest.param("a: b", '"a: b"', id="a mapping"),
        pytest.param("a #b", '"a #b"', id="a comment"),
        pytest.param("<<", '"<<"', id="a merge"),
        pytest.param("sеarch", '"s\\u0435arch"', id="a letter that looks like another"),  # noqa: RUF001
        pytest.param("a\nb", '"a\\nb"', id="a line end"),
        pytest.param("a\u202eb", '"a\\u202Eb"', id="a turned direction"),
        pytest.param("😀", '"\\U0001F600"', id="a character beyond the first plane"),
    ],
)
def test_a_text_is_quoted_where_it_would_be_something_else(text: str, shown: str) -> None:
    assert scalar(text) == shown
    assert yaml.safe_load(f"- {scalar(text)}  # a comment") == [text]


anything = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "a\n  - evil",
            "\r- evil",
            "\x85- evil",
            "\u2028- evil",
            "]\n",
            "&a",
            "*a",
            "# ",
            "'",
            '"',
            "\\",
            "\t",
        ]
    ),
    st.text("-: #\n\r\t'\"{}[]&*!|>%@`,?\\\x00\x85\u2028\u2029\u202e\ufeffab", max_size=20),
)
hint = st.sampled_from([None, True, False])
tools = st.lists(
    st.builds(
        Tool,
        name=anything,
        title=st.none() | anything,
        description=st.none() | anything,
        read_only=hint,
        destructive=hint,
        open_world=hint,
    ),
    max_size=6,
)
servers = st.builds(
    Server, st.just("modern"), anything, name=st.none() | anything, version=st.none() | anything
)


@given(tools=tools, server=servers, needs_token=st.booleans())
@pytest.mark.promise("proposal-reads")
def test_whatever_a_server_says_what_is_written_loads_and_lists_only_what_only_reads(
    tools: list[Tool], server: Server, *, needs_token: bool
) -> None:
    proposal = propose(Listing(server, tuple(tools)), needs_token=needs_token)
    text = written(proposal)

    policy = loaded(text)
    (route,) = policy.routes.values()
    assert _lines_are_printable(text)
    assert list(route.tools or ()) == [each.name for each in proposal.listed]
    bare = loaded(written(Proposal()))
    assert route.model_copy(update={"tools": None}) == bare.routes["docs"]
    assert policy.model_copy(update={"routes": bare.routes}) == bare
    usable = [each.name for each in proposal.left_out if each.is_usable]
    every = loaded(uncommented(text)).routes["docs"].tools
    assert list(every or ()) == [*(each.name for each in proposal.listed), *usable]


@given(anything)
def test_whatever_went_wrong_what_is_written_loads(sentence: str) -> None:
    text = written(Proposal(failure=sentence), source=sentence)

    assert _lines_are_printable(text)
    assert loaded(text) == loaded(written(Proposal()))


def _lines_are_printable(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("issuer", "status"),
    [
        pytest.param(ISSUER, 401, id="of somebody"),
        pytest.param(PLACEHOLDER_ISSUER, 503, id="in the name of the placeholder"),
    ],
)
async def test_with_the_placeholder_no_token_is_accepted(issuer: str, status: int) -> None:
    text = written(propose(Listing(SERVER, (Tool("search", read_only=True),))), issuer=PLACEHOLDER_ISSUER)
    policy, behind = loaded(text), Spy()
    fetch = open_fetch(policy, resolve=Names({}))
    gate = protect(behind, policy, audit=Records(), fetch=fetch)
    token = Token(claims={"iss": issuer, "aud": policy.resource("docs")}).mint()
    headers = [("host", "docs.tunnel.example.com"), ("authorization", f"Bearer {token}")]

    reply = await call(gate, http_scope(headers=headers))

    assert (reply.status, behind.scopes) == (status, [])
