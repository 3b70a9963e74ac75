import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tunnelgate import (
    Audit,
    Clients,
    ConfigurationError,
    Issuer,
    Limits,
    OAuth,
    Policy,
    Requirement,
    Route,
    RouteClients,
    Rule,
)

LOGIN = "https://login.example.com/"
PARTNER = "https://partner.example.com"
GOOD: Mapping[str, Any] = {
    "tunnel_domain": "tunnel.example.com",
    "clients": {"allowed_ips": ["10.0.0.0/8", "::1"]},
    "oauth": {"issuers": [{"issuer": LOGIN, "jwks_file": "jwks.json"}]},
    "routes": {"docs": {"tools": ["search_docs"]}},
}
NO_ENVIRONMENT: Mapping[str, str] = {}


def policy(**changes: Any) -> Policy:
    return Policy.from_mapping({**GOOD, **changes})


def routed(**changes: Any) -> Policy:
    return policy(routes={"docs": {"tools": ["search_docs"], **changes}})


def faults(**changes: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        policy(**changes)
    return [str(fault) for fault in caught.value.faults]


def written(file: Path, content: str) -> Path:
    file.write_text(content, "utf-8")
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(
        tmp_path / "gate.yaml",
        """
        tunnel_domain: tunnel.example.com
        clients: {allowed_ips: [10.0.0.0/8, "::1"]}
        oauth: {issuers: [{issuer: "https://login.example.com/", jwks_file: jwks.json}]}
        routes: {docs: {tools: [search_docs]}}
        """,
    )


def test_what_is_not_said_has_the_documented_default() -> None:
    made = policy()

    assert (made.listen_addr, made.log_level, made.shutdown_timeout) == ("127.0.0.1:8080", "info", 30)
    assert (made.public_scheme, made.public_port, made.host_ports) == ("https", None, ())
    assert (made.limits, made.audit) == (Limits(), Audit())
    assert (made.limits.body_bytes, made.limits.header_bytes, made.limits.answer_bytes) == (
        1048576,
        32768,
        8388608,
    )
    assert made.audit.file == "-"
    assert (made.sealing_keys, made.warnings) == ((), ())
    assert made.clients.address_from == "peer"
    assert made.routes["docs"] == Route(tools=["search_docs"])
    assert made.issuers("docs")[0].algorithms == ("ES256", "Ed25519", "PS256", "RS256")


@pytest.mark.promise("closed-by-default")
def test_what_a_route_does_not_list_nobody_gets() -> None:
    route = policy().routes["docs"]

    assert (route.prompts, route.resources, route.methods) == (None, None, ())
    assert (route.prompt_requirements, route.resource_requirements) == ({}, {})
    assert (route.claims, route.client_log_level) == ({}, None)
    assert (route.tasks, route.allow_all_tools) == (False, False)


def test_a_policy_is_the_same_from_a_file_and_from_code(file: Path) -> None:
    built = Policy(
        tunnel_domain="tunnel.example.com",
        clients=Clients(allowed_ips=["10.0.0.0/8", "::1"]),
        oauth=OAuth(issuers=[Issuer(issuer=LOGIN, jwks_file=file.parent / "jwks.json")]),
        routes={"docs": Route(tools=["search_docs"])},
    )

    assert built == Policy.from_file(file, NO_ENVIRONMENT)
    assert built == Policy.from_file(str(file), NO_ENVIRONMENT)


def test_files_that_the_file_names_lie_beside_it(file: Path) -> None:
    more = "audit: {file: audit.jsonl}\nsealing_keys: [new.key, ../old.key, /run/secrets/older.key]\n"
    written(file, dedent(file.read_text("utf-8")) + more)

    made = Policy.from_file(file, NO_ENVIRONMENT)

    assert made.audit.file == str(file.parent / "audit.jsonl")
    assert made.sealing_keys == (
        file.parent / "new.key",
        file.parent / "../old.key",
        Path("/run/secrets/older.key"),
    )
    assert made.issuers("docs")[0].jwks_file == file.parent / "jwks.json"


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        pytest.param({"public_port": 1}, 1, id="the first port"),
        pytest.param({"public_port": 65535}, 65535, id="the last port"),
        pytest.param({"host_ports": [1, 65535]}, (1, 65535), id="ports of hosts"),
        pytest.param({"shutdown_timeout": 0}, 0, id="no time to shut down"),
        pytest.param({"shutdown_timeout": "1h30m"}, 5400, id="a long time to shut down"),
        pytest.param({"shutdown_timeout": 0.5}, 0.5, id="a short time to shut down"),
        pytest.param({"limits": {"body_bytes": 1024}}, Limits(body_bytes=1024), id="the smallest body"),
        pytest.param({"limits": {"body_bytes": 2**30}}, Limits(body_bytes=2**30), id="the largest body"),
        pytest.param({"log_level": "warn"}, "warn", id="a level"),
        pytest.param({"public_scheme": "http"}, "http", id="a scheme"),
        pytest.param({"tunnel_domain": "T.Example"}, "t.example", id="a domain in capitals"),
        pytest.param({"listen_addr": ":80"}, ":80", id="an address to listen on"),
        pytest.param({"audit": {"file": "a.jsonl"}}, Audit(file="a.jsonl"), id="a file for the audit"),
        pytest.param({"sealing_keys": ["a.key"]}, (Path("a.key"),), id="a file with a key"),
        pytest.param(
            {"sealing_keys": [Path("new.key"), "old.key"]}, (Path("new.key"), Path("old.key")), id="two keys"
        ),
        pytest.param({"sealing_keys": []}, (), id="no key of one's own"),
    ],
)
def test_a_setting_at_its_bound_is_used(changes: dict[str, Any], value: Any) -> None:
    (name,) = changes

    assert getattr(policy(**changes), name) == value


GREATER = "input should be greater than or equal to"
LESS = "input should be less than or equal to"
NO_LIST = "'str' instances are not allowed as a Sequence value"
NO_FILE = "is not the name of a file"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"public_port": 0}, f"public_port = 0: {GREATER} 1", id="no port"),
        pytest.param({"public_port": 65536}, f"public_port = 65536: {LESS} 65535", id="a port too large"),
        pytest.param({"host_ports": [80, 65536]}, f"host_ports[1] = 65536: {LESS} 65535", id="one of ports"),
        pytest.param(
            {"limits": {"body_bytes": 1023}},
            f"limits.body_bytes = 1023: {GREATER} 1024",
            id="a body too small",
        ),
        pytest.param(
            {"limits": {"header_bytes": 2**30 + 1}},
            f"limits.header_bytes = {2**30 + 1}: {LESS} {2**30}",
            id="headers too large",
        ),
        pytest.param(
            {"limits": {"answer_bytes": "lots"}},
            "limits.answer_bytes = 'lots': input should be a valid integer",
            id="an answer of no number",
        ),
        pytest.param(
            {"log_level": "WARN"},
            "log_level = 'WARN': input should be 'debug', 'info', 'warn' or 'error'",
            id="a level in capitals",
        ),
        pytest.param(
            {"public_scheme": "wss"},
            "public_scheme = 'wss': input should be 'http' or 'https'",
            id="another scheme",
        ),
        pytest.param(
            {"shutdown_timeout": "soon"},
            "shutdown_timeout = 'soon': is not a duration such as 30s or 5m",
            id="a word for a time",
        ),
        pytest.param({"shutdown_timeout": -1}, "shutdown_timeout = -1: ", id="a negative time"),
        pytest.param({"shutdown_timeout": float("nan")}, "shutdown_timeout = nan: ", id="no time at all"),
        pytest.param({"shutdown_timeout": float("inf")}, "shutdown_timeout = inf: ", id="all the time"),
        pytest.param({"shutdown_timeout": "9" * 400 + "s"}, "shutdown_timeout = '999", id="more than that"),
        pytest.param(
            {"listen_addr": "8080"}, "listen_addr = '8080': is not address:port", id="a port to listen on"
        ),
        pytest.param(
            {"tunnel_domain": "*.example.com"},
            "tunnel_domain = '*.example.com': is not a hostname",
            id="a pattern for a domain",
        ),
        pytest.param(
            {"clients": None}, "clients = None: input should be a valid dictionary", id="no clients"
        ),
        pytest.param(
            {"clients": {"allowed_ips": []}},
            "clients.allowed_ips = []: is empty, which would allow nothing",
            id="nobody is allowed",
        ),
        pytest.param({"clients": {}}, "clients.allowed_ips: is required", id="nobody is mentioned"),
        pytest.param(
            {"clients": {"allowed_ips": "10.0.0.0/8"}},
            f"clients.allowed_ips = '10.0.0.0/8': {NO_LIST}",
            id="a text for a list",
        ),
        pytest.param(
            {"clients": {"allowed_ips": ["10.0.0.0/8", "0.0.0.0/0"]}},
            "clients.allowed_ips[1] = '0.0.0.0/0': allows every address",
            id="everybody is allowed",
        ),
        pytest.param(
            {"clients": {"allowed_ips": ["::1"], "address_from": "x-forwarded-for"}},
            "clients.address_from = 'x-forwarded-for': input should be 'peer'",
            id="an address from a header",
        ),
        pytest.param(
            {"oauth": {"issuers": []}},
            "oauth.issuers = []: is empty, which would allow nothing",
            id="nobody is trusted",
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": LOGIN, "jwks_file": "a", "algorithms": list[str]()}]}},
            "oauth.issuers[0].algorithms = []: is empty",
            id="an issuer that may not sign",
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": LOGIN, "jwks_file": "a", "algorithms": ["HS256"]}]}},
            "oauth.issuers[0].algorithms[0] = 'HS256': is not one of ES256, Ed25519, PS256, RS256",
            id="an issuer with a shared secret",
        ),
        pytest.param({"sealing_keys": "a.key"}, f"sealing_keys = 'a.key': {NO_LIST}", id="a key in no list"),
        pytest.param(
            {"sealing_keys": ["a.key", 7]}, f"sealing_keys[1] = 7: {NO_FILE}", id="a number for a file"
        ),
        pytest.param({"sealing_keys": [""]}, f"sealing_keys[0] = '': {NO_FILE}", id="no name for a file"),
        pytest.param({"sealing_keys": [None]}, f"sealing_keys[0] = None: {NO_FILE}", id="null for a file"),
        pytest.param({"sealing_keys": {"a": "b"}}, "sealing_keys = {'a': 'b'}: ", id="keys in a mapping"),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": LOGIN, "jwks_file": 7}]}},
            f"oauth.issuers[0].jwks_file = 7: {NO_FILE}",
            id="a number for a file of keys",
        ),
        pytest.param({"routes": {}}, "routes = {}: is empty, which would allow nothing", id="no route"),
        pytest.param({"routes": ["docs"]}, "routes = ['docs']: ", id="a list of routes"),
        pytest.param(
            {"routes": {"*": {"tools": ["a"]}}}, "routes.* = '*': is not a hostname", id="a route for all"
        ),
        pytest.param(
            {"routes": {"docs:443": {"tools": ["a"]}}},
            "routes.docs:443 = 'docs:443': names a port",
            id="a route with a port",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_setting_past_its_bound_is_told_by_path_and_value(changes: dict[str, Any], told: str) -> None:
    (fault, *_) = faults(**changes)

    assert fault.startswith(told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"tools": []}, "tools = []: is empty, which would allow nothing", id="no tool"),
        pytest.param({"tools": {}}, "tools = {}: is empty, which would allow nothing", id="no tool by name"),
        pytest.param({"tools": "search"}, f"tools = 'search': {NO_LIST}", id="a text for a list of tools"),
        pytest.param({"tools": 7}, "tools = 7: input should be", id="a number for a list of tools"),
        pytest.param({"tools": ["*"]}, "tools[0] = '*': is a pattern", id="all tools"),
        pytest.param(
            {"tools": ["a", None]}, "tools[1] = None: input should be a valid string", id="a null tool"
        ),
        pytest.param({"tools": {"a*": None}}, "tools.a* = 'a*': is a pattern", id="a pattern with scopes"),
        pytest.param(
            {"tools": {"a": {"scopes": ["b c"]}}},
            "tools.a.scopes[0] = 'b c': is not one scope",
            id="a scope of a tool",
        ),
        pytest.param(
            {"tools": {"a": {"scope": []}}}, "tools.a.scope = []: is not a key; scopes is", id="typo"
        ),
        pytest.param({"tools": {"a": ["x"]}}, "tools.a = ['x']: input should be", id="a list for a rule"),
        pytest.param({"mount": "shop"}, "mount = 'shop': is not module:function", id="a module"),
        pytest.param({"options": ["x"]}, "options = ['x']: ", id="options in a list"),
        pytest.param({"path": "/"}, "path = '/': is not a path such as /mcp", id="the root"),
        pytest.param({"resource": "docs"}, "resource = 'docs': is not a URL", id="a resource that is no URL"),
        pytest.param({"issuers": []}, "issuers = []: is empty", id="no issuer"),
        pytest.param({"scopes": ["a b"]}, "scopes[0] = 'a b': is not one scope", id="two scopes in one"),
        pytest.param({"clients": {"allowed_ips": []}}, "clients.allowed_ips = []: is empty", id="no client"),
        pytest.param({"clients": {}}, "clients.allowed_ips: is required", id="no client mentioned"),
        pytest.param({"origins": ["*"]}, "origins[0] = '*': is not an origin", id="all origins"),
        pytest.param({"public_paths": ["x"]}, "public_paths[0] = 'x': is not a path", id="a relative path"),
        pytest.param(
            {"forward_headers": ["Authorization"]},
            "forward_headers[0] = 'Authorization': is never forwarded",
            id="the token for the application",
        ),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_a_fault_of_a_route_is_told_by_path_and_value(changes: dict[str, Any], told: str) -> None:
    (fault, *_) = faults(routes={"docs": {"tools": ["a"], **changes}})

    assert fault.startswith(f"routes.docs.{told}")


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        pytest.param("claims", {"department": "support"}, {"department": "support"}, id="a claim"),
        pytest.param(
            "claims", {"level": 3, "verified": True}, {"level": 3, "verified": True}, id="not texts"
        ),
        pytest.param("claims", {"a": ["x", 1, False]}, {"a": ("x", 1, False)}, id="one of several values"),
        pytest.param("claims", {"https://acme.example/t": "x"}, {"https://acme.example/t": "x"}, id="a URL"),
        pytest.param("claims", {}, {}, id="no claim"),
        pytest.param("prompts", ["greet"], ("greet",), id="a prompt"),
        pytest.param("resources", ["docs:///{+path}"], ("docs:///{+path}",), id="a template"),
        pytest.param("resources", {"docs:///a": None}, {"docs:///a": None}, id="a resource in a mapping"),
        pytest.param(
            "prompts",
            {"greet": {"scopes": ["a"], "claims": {"b": ["c"]}}},
            {"greet": Rule(scopes=["a"], claims={"b": ["c"]})},
            id="a prompt with a rule",
        ),
        pytest.param("methods", ["acme/search"], ("acme/search",), id="a method"),
        pytest.param("methods", [], (), id="no method"),
        pytest.param("client_log_level", "debug", "debug", id="the most verbose level"),
        pytest.param("client_log_level", "emergency", "emergency", id="the least verbose level"),
        pytest.param("client_log_level", None, None, id="no level"),
        pytest.param("tasks", True, True, id="tasks"),
        pytest.param("tasks", "true", True, id="tasks, as a variable says it"),
    ],
)
def test_a_setting_of_a_route_is_used(name: str, value: Any, kept: Any) -> None:
    assert getattr(routed(**{name: value}).routes["docs"], name) == kept


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(True, id="as itself"),
        pytest.param("true", id="as a variable says it"),
        pytest.param(1, id="as a number"),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_every_tool_is_allowed_where_that_is_said_twice(said: Any) -> None:
    route = routed(tools="*", allow_all_tools=said).routes["docs"]

    assert (route.tools, route.tool_requirements, route.allow_all_tools) == ("*", "*", True)
    assert route.speaks_mcp


@pytest.mark.promise("closed-by-default")
def test_who_allows_every_tool_is_warned_route_by_route() -> None:
    every = {"tools": "*", "allow_all_tools": True}
    made = policy(routes={"docs": every, "wiki.example.com": every, "tickets": {"tools": ["search"]}})

    told = "every tool is allowed, also those that the server will have tomorrow"
    assert made.warnings == (f"routes.docs.tools: {told}", f'routes."wiki.example.com".tools: {told}')


EVERY = "is every tool there will ever be; list them, or set allow_all_tools: true as well"
ONE_BY_ONE = "is a pattern; list the names one by one"
EXPRESSION = "has an expression that is none of {a}, {+a}, {/a}, {/a*} and {?a,b}"
CLAIM = "is not a text, a whole number, true or false, or a list of these"
EMPTY = "is empty, which would allow nothing"
LEVELS = "'debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert' or 'emergency'"
PROTOCOL = "is a method of the protocol, which other settings decide about"
POINTLESS = 'means nothing unless tools is "*"'
PROMPTED: dict[str, Any] = {"prompts": {"greet": {"scopes": ["a b"]}}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"tools": "*"}, [f"tools = '*': {EVERY}"], id="every tool"),
        pytest.param(
            {"tools": "*", "allow_all_tools": False}, [f"tools = '*': {EVERY}"], id="every tool, and not"
        ),
        pytest.param({"tools": ["*"]}, [f"tools[0] = '*': {ONE_BY_ONE}"], id="every tool in a list"),
        pytest.param(
            {"tools": ["*"], "allow_all_tools": True},
            [f"tools[0] = '*': {ONE_BY_ONE}", f"allow_all_tools = True: {POINTLESS}"],
            id="every tool in a list, said twice",
        ),
        pytest.param({"tools": {"*": None}}, [f"tools.* = '*': {ONE_BY_ONE}"], id="every tool in a mapping"),
        pytest.param(
            {"tools": {"*": None}, "allow_all_tools": True},
            [f"tools.* = '*': {ONE_BY_ONE}", f"allow_all_tools = True: {POINTLESS}"],
            id="every tool in a mapping, said twice",
        ),
        pytest.param({"tools": "search_docs"}, [f"tools = 'search_docs': {NO_LIST}"], id="a tool in no list"),
        pytest.param(
            {"tools": "**", "allow_all_tools": True},
            [f"tools = '**': {NO_LIST}", f"allow_all_tools = True: {POINTLESS}"],
            id="more than every tool",
        ),
        pytest.param(
            {"allow_all_tools": True}, [f"allow_all_tools = True: {POINTLESS}"], id="one tool and every tool"
        ),
        pytest.param(
            {"allow_all_tools": "perhaps"},
            ["allow_all_tools = 'perhaps': input should be a valid boolean, unable to interpret input"],
            id="every tool, perhaps",
        ),
        pytest.param({"prompts": "*"}, [f"prompts = '*': {NO_LIST}"], id="every prompt"),
        pytest.param({"prompts": ["*"]}, [f"prompts[0] = '*': {ONE_BY_ONE}"], id="every prompt in a list"),
        pytest.param(
            {"prompts": {"gr*": None}}, [f"prompts.gr* = 'gr*': {ONE_BY_ONE}"], id="a pattern of prompts"
        ),
        pytest.param({"prompts": []}, [f"prompts = []: {EMPTY}"], id="no prompt"),
        pytest.param({"prompts": {}}, [f"prompts = {{}}: {EMPTY}"], id="no prompt in a mapping"),
        pytest.param(
            {"prompts": {"greet": {"scops": []}}},
            ["prompts.greet.scops = []: is not a key; scopes is"],
            id="a typo in the rule of a prompt",
        ),
        pytest.param(
            {"prompts": {"greet": {"claim": {}}}},
            ["prompts.greet.claim = {}: is not a key; claims is"],
            id="another typo in the rule of a prompt",
        ),
        pytest.param(
            PROMPTED,
            ["prompts.greet.scopes[0] = 'a b': is not one scope: no white space, quotes or backslashes"],
            id="two scopes in one",
        ),
        pytest.param({"resources": "*"}, [f"resources = '*': {NO_LIST}"], id="every resource"),
        pytest.param(
            {"resources": ["*"]},
            ["resources[0] = '*': is a pattern; write a URI template such as docs:///{+path}"],
            id="every resource in a list",
        ),
        pytest.param({"resources": []}, [f"resources = []: {EMPTY}"], id="no resource"),
        pytest.param(
            {"resources": ["docs:///a", "docs:///{b*}"]},
            [f"resources[1] = 'docs:///{{b*}}': {EXPRESSION}"],
            id="a template that is not supported",
        ),
        pytest.param(
            {"resources": {"docs:///{a,b}": None}},
            ["resources.docs:///{a,b} = 'docs:///{a,b}': has two expressions in one segment"],
            id="a template with two expressions in one segment",
        ),
        pytest.param(
            {"resources": ["{+uri}"]},
            ["resources[0] = '{+uri}': does not begin with a scheme such as docs:"],
            id="a template for every URI",
        ),
        pytest.param(
            {"resources": {"docs:///a.md": {"scops": []}}},
            ['resources."docs:///a.md".scops = []: is not a key; scopes is'],
            id="a typo in the rule of a resource",
        ),
        pytest.param(
            {"methods": ["tools/call"]}, [f"methods[0] = 'tools/call': {PROTOCOL}"], id="tools/call"
        ),
        pytest.param(
            {"methods": ["acme/x", "sampling/createMessage"]},
            [f"methods[1] = 'sampling/createMessage': {PROTOCOL}"],
            id="what servers ask",
        ),
        pytest.param(
            {"methods": ["notifications/message"]},
            [f"methods[0] = 'notifications/message': {PROTOCOL}"],
            id="what servers say",
        ),
        pytest.param(
            {"methods": ["*"]},
            ["methods[0] = '*': is a pattern; list the methods one by one"],
            id="all methods",
        ),
        pytest.param({"methods": "acme/x"}, [f"methods = 'acme/x': {NO_LIST}"], id="a method in no list"),
        pytest.param(
            {"client_log_level": "warn"},
            [f"client_log_level = 'warn': input should be {LEVELS}"],
            id="a level of ours",
        ),
        pytest.param(
            {"client_log_level": "DEBUG"},
            [f"client_log_level = 'DEBUG': input should be {LEVELS}"],
            id="a level in capitals",
        ),
        pytest.param(
            {"tasks": "maybe"},
            ["tasks = 'maybe': input should be a valid boolean, unable to interpret input"],
            id="tasks, maybe",
        ),
        pytest.param({"claims": {"d": None}}, [f"claims.d = None: {CLAIM}"], id="a claim without a value"),
        pytest.param({"claims": {"d": 1.5}}, [f"claims.d = 1.5: {CLAIM}"], id="a fraction"),
        pytest.param({"claims": {"d": ""}}, [f"claims.d = '': {CLAIM}"], id="an empty text"),
        pytest.param({"claims": {"d": {"x": 1}}}, [f"claims.d = {{'x': 1}}: {CLAIM}"], id="a mapping"),
        pytest.param({"claims": {"d": b"x"}}, [f"claims.d = b'x': {CLAIM}"], id="octets"),
        pytest.param({"claims": {"d": []}}, [f"claims.d = []: {EMPTY}"], id="a claim of which none is good"),
        pytest.param(
            {"claims": {"d": ["a", None]}}, [f"claims.d = ['a', None]: {CLAIM}"], id="no value among values"
        ),
        pytest.param({"claims": {"d": [["a"]]}}, [f"claims.d = [['a']]: {CLAIM}"], id="a list in a list"),
        pytest.param({"claims": {"d": ["a", ""]}}, [f"claims.d = ['a', '']: {CLAIM}"], id="an empty one"),
        pytest.param(
            {"claims": {"": "x"}},
            ["claims. = '': string should have at least 1 character"],
            id="a claim without a name",
        ),
        pytest.param(
            {"claims": ["d"]}, ["claims = ['d']: input should be a valid dictionary"], id="claims in a list"
        ),
        pytest.param(
            {"tools": {"a": {"claims": {"d": None}}}},
            [f"tools.a.claims.d = None: {CLAIM}"],
            id="a claim without a value in the rule of a tool",
        ),
        pytest.param(
            {"resources": {"docs:///{+p}": {"claims": {"d": [], "e": 0.5}}}},
            [
                f"resources.docs:///{{+p}}.claims.d = []: {EMPTY}",
                f"resources.docs:///{{+p}}.claims.e = 0.5: {CLAIM}",
            ],
            id="two claims in the rule of a resource",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_bad_setting_of_a_route_is_one_fault_with_its_sentence(
    changes: dict[str, Any], told: list[str]
) -> None:
    assert faults(routes={"docs": {"tools": ["a"], **changes}}) == [f"routes.docs.{each}" for each in told]


TEXTS = st.text('a*/:{}+?[]. "\n\0é', max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
# What stands in the path of an error where one of several types was meant.
INTERNAL = re.compile(r"constrained|function-|lax-or-strict|union\[|\.(?:str|int|bool)\b")


@pytest.mark.parametrize(
    "name",
    ["tools", "prompts", "resources", "methods", "claims", "client_log_level", "tasks", "allow_all_tools"],
)
@given(value=ANYTHING)
def test_whatever_stands_for_a_setting_of_a_route_is_used_or_named(name: str, value: Any) -> None:
    try:
        made = routed(**{name: value})
    except ConfigurationError as error:
        told = [fault.path for fault in error.faults]
        assert all(path.startswith("routes.docs") for path in told)
        assert not any(INTERNAL.search(path) for path in told)
    else:
        assert made.routes["docs"].speaks_mcp


@given(value=ANYTHING)
def test_whatever_stands_for_sealing_keys_is_used_or_named(value: Any) -> None:
    try:
        made = policy(sealing_keys=value)
    except ConfigurationError as error:
        assert all(fault.path.startswith("sealing_keys") for fault in error.faults)  # noqa: PT017
        assert not any(INTERNAL.search(fault.path) for fault in error.faults)  # noqa: PT017
    else:
        assert made.sealing_keys == tuple(map(Path, value))


def test_every_fault_of_a_route_is_told_at_once() -> None:
    route: dict[str, Any] = {
        "tools": {"a": {"claims": {"d": None}}, "b*": None},
        "allow_all_tools": True,
        "prompts": [],
        "resources": ["docs:///{a*}", "docs:///{a}", "*"],
        "methods": ["acme/x", "ping"],
        "client_log_level": "loud",
        "tasks": "maybe",
        "claims": {"e": []},
    }

    assert faults(routes={"docs": route, "wiki": {"tools": "*"}}, sealing_keys=[7]) == [
        f"routes.docs.claims.e = []: {EMPTY}",
        f"routes.docs.tools.a.claims.d = None: {CLAIM}",
        f"routes.docs.tools.b* = 'b*': {ONE_BY_ONE}",
        f"routes.docs.prompts = []: {EMPTY}",
        f"routes.docs.resources[0] = 'docs:///{{a*}}': {EXPRESSION}",
        "routes.docs.resources[2] = '*': is a pattern; write a URI template such as docs:///{+path}",
        f"routes.docs.methods[1] = 'ping': {PROTOCOL}",
        f"routes.docs.client_log_level = 'loud': input should be {LEVELS}",
        "routes.docs.tasks = 'maybe': input should be a valid boolean, unable to interpret input",
        f"sealing_keys[0] = 7: {NO_FILE}",
        f"routes.docs.allow_all_tools = True: {POINTLESS}",
        f"routes.wiki.tools = '*': {EVERY}",
    ]


@pytest.mark.parametrize(
    "route",
    [
        pytest.param({"tools": ["a"]}, id="tools"),
        pytest.param({"tools": "*", "allow_all_tools": True}, id="every tool"),
        pytest.param({"prompts": ["greet"]}, id="prompts"),
        pytest.param({"resources": ["docs:///a"]}, id="resources"),
        pytest.param({"methods": ["acme/x"]}, id="methods"),
    ],
)
def test_a_route_that_lists_anything_has_an_endpoint(route: dict[str, Any]) -> None:
    assert policy(routes={"docs": route}).routes["docs"].speaks_mcp


def test_a_route_built_in_code_with_public_paths_alone_needs_no_issuer_and_has_no_endpoint() -> None:
    made = Policy(
        clients=Clients(allowed_ips=["::1"]),
        routes={"login.example.com": Route(public_paths=["/token"])},
    )

    assert not made.routes["login.example.com"].speaks_mcp


@pytest.mark.promise("closed-by-default")
def test_a_route_built_in_code_that_lists_nothing_is_a_fault() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(clients=Clients(allowed_ips=["::1"]), routes={"docs.example.com": Route()})

    assert [str(fault) for fault in caught.value.faults] == [
        'routes."docs.example.com": lists neither tools nor public_paths, so it would serve nothing'
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"tunnel_domian": "x"}, "tunnel_domian = 'x': is not a key; tunnel_domain is", id="typo"
        ),
        pytest.param(
            {"audit": {"path": "x"}}, "audit.path = 'x': is not a key", id="a key of another section"
        ),
        pytest.param({"allowed_ips": []}, "allowed_ips = []: is not a key", id="a key one level too high"),
        pytest.param(
            {"routes": {"docs": {"tools": ["a"], "issuer": "x"}}},
            "routes.docs.issuer = 'x': is not a key; issuers is",
            id="a key of another section that is nearly right",
        ),
        pytest.param({"tls": {}}, "tls = {}: is not a key", id="a key like no other"),
        pytest.param({"self": 1}, "self = 1: is not a key", id="self"),
        pytest.param({"data": 1}, "data = 1: is not a key", id="data"),
        pytest.param({"cls": 1}, "cls = 1: is not a key; clients is", id="cls"),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_key_that_does_not_exist_is_a_fault_with_the_nearest_that_does(
    changes: dict[str, Any], told: str
) -> None:
    assert faults(**changes) == [told]


@pytest.mark.promise("whole-configuration")
def test_five_faults_in_one_file_are_five_lines(tmp_path: Path) -> None:
    file = written(
        tmp_path / "gate.yaml",
        """
        log_level: loud
        clients: {allowed_ips: [10.0.0.1/8]}
        oauth: {issuers: [{issuer: login.example.com, jwks_file: a, jwks_uri: "https://x.example"}]}
        routes: {docs.example.com: {tolls: [search]}}
        """,
    )

    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(file, NO_ENVIRONMENT)

    assert str(caught.value).splitlines() == [
        f"{file}: 6 faults",
        "  log_level = 'loud': input should be 'debug', 'info', 'warn' or 'error'",
        "  clients.allowed_ips[0] = '10.0.0.1/8': has bits set behind its prefix; the network is 10.0.0.0/8",
        "  oauth.issuers[0].issuer = 'login.example.com': is not a URL such as https://login.example.com/",
        """  routes."docs.example.com".tolls = ['search']: is not a key; tools is""",
        "  oauth.issuers[0]: has both a jwks_file and a jwks_uri; which one is meant?",
        """  routes."docs.example.com": lists neither tools nor public_paths, so it would serve nothing""",
    ]


@pytest.mark.promise("whole-configuration")
def test_a_fault_in_one_place_hides_none_between_two() -> None:
    routes = {"docs": {"tools": ["*"], "issuers": [LOGIN, PARTNER]}, "Docs": {}, "x:1": {"tools": ["a"]}}

    assert faults(
        oauth={"issuers": [{"issuer": LOGIN}, {"issuer": LOGIN, "jwks_file": "a"}]}, routes=routes
    ) == [
        "routes.docs.tools[0] = '*': is a pattern; list the names one by one",
        "routes.x:1 = 'x:1': names a port; ports are listed beside the hosts",
        "oauth.issuers[0]: has no keys; name a jwks_file or a jwks_uri",
        f"oauth.issuers[1].issuer = '{LOGIN}': stands twice",
        f"routes.docs.issuers[1] = '{PARTNER}': is not one of oauth.issuers",
        "routes.Docs: stands twice; hostnames do not differ by case",
        "routes.Docs: lists neither tools nor public_paths, so it would serve nothing",
    ]


@pytest.mark.parametrize("name", ["as-list", "as-mapping"])
def test_whatever_a_route_is_called_a_fault_in_it_names_it(name: str) -> None:
    assert faults(routes={name: {"tools": ["*"]}}) == [
        f"routes.{name}.tools[0] = '*': is a pattern; list the names one by one"
    ]


def test_the_source_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^policy: 2 faults\n"):
        Policy.from_mapping({})
    with pytest.raises(ConfigurationError, match=r"^the demo: 2 faults\n"):
        Policy.from_mapping({}, "the demo")


def test_a_section_that_is_built_with_a_fault_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="is empty, which would allow nothing"):
        Clients(allowed_ips=[])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("a: 1\na: 2\n", "the key 'a' stands twice", id="a key twice"),
        pytest.param("- a\n", "is not a mapping of settings", id="a list"),
        pytest.param("a: [\n", "is not YAML", id="half a file"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Policy.from_file(written(tmp_path / "gate.yaml", content), NO_ENVIRONMENT)


def test_variables_lie_over_the_file(file: Path) -> None:
    made = Policy.from_file(
        file,
        {
            "TUNNELGATE_LOG_LEVEL": "debug",
            "TUNNELGATE_PUBLIC_PORT": "8443",
            "TUNNELGATE_SHUTDOWN_TIMEOUT": "5m",
            "TUNNELGATE_CLIENTS__ALLOWED_IPS": '["192.0.2.0/24"]',
            "TUNNELGATE_ROUTES__DOCS__SCOPES": '["docs:read"]',
            "TUNNELGATE_AUDIT__FILE": "elsewhere.jsonl",
            "TUNNELGATE_SEALING_KEYS": '["/run/secrets/a.key"]',
        },
    )

    assert (made.log_level, made.public_port, made.shutdown_timeout) == ("debug", 8443, 300)
    assert made.clients.allowed_ips == ("192.0.2.0/24",)
    assert made.routes["docs"] == Route(tools=["search_docs"], scopes=["docs:read"])
    assert made.audit.file == "elsewhere.jsonl"
    assert made.sealing_keys == (Path("/run/secrets/a.key"),)


def test_variables_say_what_else_a_route_has(file: Path) -> None:
    prefix = "TUNNELGATE_ROUTES__DOCS__"

    made = Policy.from_file(
        file,
        {
            f"{prefix}CLAIMS__DEPARTMENT": '["support", "sales"]',
            f"{prefix}CLIENT_LOG_LEVEL": "warning",
            f"{prefix}METHODS": '["acme/search"]',
            f"{prefix}PROMPTS": '{"greet": {"scopes": ["docs:greet"]}}',
            f"{prefix}RESOURCES": '["docs:///{+path}"]',
            f"{prefix}TASKS": "true",
            f"{prefix}TOOLS": "*",
            f"{prefix}ALLOW_ALL_TOOLS": "true",
        },
    )

    assert made.routes["docs"] == Route(
        tools="*",
        allow_all_tools=True,
        claims={"department": ["support", "sales"]},
        client_log_level="warning",
        methods=["acme/search"],
        prompts={"greet": Rule(scopes=["docs:greet"])},
        resources=["docs:///{+path}"],
        tasks=True,
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param({"TUNNELGATE_LOGLEVEL": "debug"}, ["loglevel", "is not a setting"], id="a typo"),
        pytest.param({"TUNNELGATE_CLIENTS__ALOWED_IPS": "[]"}, ["clients", "alowed_ips"], id="a typo below"),
        pytest.param({"TUNNELGATE_LOG_LEVEL": "loud"}, ["log_level", "'loud'"], id="a wrong value"),
        pytest.param(
            {"TUNNELGATE_SEALING_KEYS": "a.key"}, ["sealing_keys", "'a.key'"], id="a key in no list"
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__TOOLS": "*"}, ["docs.tools", "'*'", "allow_all_tools"], id="every tool"
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__ALLOW_ALL_TOOLS": "true"},
            ["docs.allow_all_tools", "'true'", "means nothing"],
            id="every tool of a list",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__CLIENT_LOG_LEVEL": "warn"},
            ["client_log_level", "'warn'"],
            id="a level",
        ),
        pytest.param({"TUNNELGATE_LOG_LEVEL__X": "debug"}, ["log_level", "'debug'"], id="below a value"),
        pytest.param({"TUNNELGATE_CLIENTS": "10.0.0.0/8"}, ["clients", "'10.0.0.0/8'"], id="no section"),
        pytest.param(
            {"TUNNELGATE_CLIENTS__ALLOWED_IPS": "10.0.0.0/8"},
            ["clients", "allowed_ips", "'10.0.0.0/8'"],
            id="no list",
        ),
        pytest.param({"TUNNELGATE_CLIENTS": '{"allowed_ips": ['}, ["clients", "'{"], id="half of JSON"),
        pytest.param({"TUNNELGATE_ROUTES": "[" * 100_000}, ["routes", "'[[["], id="JSON without end"),
        pytest.param(
            {"TUNNELGATE_ROUTES": '{"a": {"tools": ["b"]}, "a": {"tools": ["c"]}}'},
            ["routes", "'{"],
            id="JSON with a key twice",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_variable_that_cannot_be_used_is_told_by_name_and_value(
    file: Path, environment: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(file, environment)

    told = str(caught.value.faults[0]).lower()
    assert [word for word in words if word not in told] == []


def test_without_another_environment_it_is_that_of_the_process(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNNELGATE_LOG_LEVEL", "warn")

    assert Policy.from_file(file).log_level == "warn"


NOTHING = Requirement()
DRAFT = Requirement(("docs:draft", "docs:all"), {"department": ("support", "sales"), "level": 3})
DRAFT_RULE = {
    "scopes": ["docs:draft", "docs:all"],
    "claims": {"department": ["support", "sales"], "level": 3},
}


@pytest.mark.parametrize(
    ("listed", "requirements"),
    [
        pytest.param(["docs:a", "docs:b"], {"docs:a": NOTHING, "docs:b": NOTHING}, id="a list"),
        pytest.param(("docs:a",), {"docs:a": NOTHING}, id="a tuple"),
        pytest.param(
            {"docs:a": None, "docs:b": DRAFT_RULE}, {"docs:a": NOTHING, "docs:b": DRAFT}, id="a mapping"
        ),
        pytest.param({"docs:a": {}}, {"docs:a": NOTHING}, id="a rule that asks for nothing"),
        pytest.param({"docs:a": Rule(scopes=["x"])}, {"docs:a": Requirement(("x",))}, id="a rule in code"),
        pytest.param(
            {"docs:a": Rule(claims={"verified": True})},
            {"docs:a": Requirement((), {"verified": (True,)})},
            id="a claim in code",
        ),
    ],
)
@pytest.mark.parametrize(
    ("name", "compiled"),
    [
        ("tools", "tool_requirements"),
        ("prompts", "prompt_requirements"),
        ("resources", "resource_requirements"),
    ],
)
def test_what_is_listed_is_names_or_names_with_what_each_requires(
    name: str, compiled: str, listed: Any, requirements: Mapping[str, Requirement]
) -> None:
    route = policy(routes={"docs": {name: listed}}).routes["docs"]

    assert getattr(route, compiled) == requirements


def test_a_route_without_tools_has_none() -> None:
    assert Route(public_paths=["/healthz"]).tool_requirements == {}


@pytest.mark.parametrize(
    ("changes", "name", "hostnames", "resource"),
    [
        pytest.param(
            {}, "docs", ["docs.tunnel.example.com"], "https://docs.tunnel.example.com/mcp", id="a bare name"
        ),
        pytest.param(
            {},
            "wiki.example.com",
            ["wiki.example.com", "wiki.example.com.tunnel.example.com"],
            "https://wiki.example.com/mcp",
            id="a name with a dot",
        ),
        pytest.param(
            {"tunnel_domain": None},
            "wiki.example.com",
            ["wiki.example.com"],
            "https://wiki.example.com/mcp",
            id="a name with a dot and no domain",
        ),
        pytest.param(
            {"public_scheme": "http", "public_port": 8080},
            "docs",
            ["docs.tunnel.example.com"],
            "http://docs.tunnel.example.com:8080/mcp",
            id="another scheme and port",
        ),
        pytest.param(
            {"public_port": 443},
            "docs",
            ["docs.tunnel.example.com"],
            "https://docs.tunnel.example.com/mcp",
            id="the port of HTTPS, which no client names",
        ),
        pytest.param(
            {"public_scheme": "http", "public_port": 80},
            "docs",
            ["docs.tunnel.example.com"],
            "http://docs.tunnel.example.com/mcp",
            id="the port of HTTP",
        ),
        pytest.param(
            {"public_scheme": "http", "public_port": 443},
            "docs",
            ["docs.tunnel.example.com"],
            "http://docs.tunnel.example.com:443/mcp",
            id="the port of another scheme",
        ),
    ],
)
def test_a_route_has_hostnames_and_a_resource(
    changes: dict[str, Any], name: str, hostnames: list[str], resource: str
) -> None:
    made = policy(**changes, routes={name: {"tools": ["a"]}})

    assert made.hostnames(name) == tuple(hostnames)
    assert made.resource(name) == resource


def test_a_name_in_capitals_is_the_name_in_small_letters() -> None:
    made = policy(routes={"Docs": {"tools": ["a"], "path": "/v1"}})

    assert list(made.routes) == ["docs"]
    assert made.resource("docs") == "https://docs.tunnel.example.com/v1"


def test_a_resource_may_be_said() -> None:
    assert (
        routed(resource="https://docs.example.com/mcp/").resource("docs") == "https://docs.example.com/mcp/"
    )


def test_a_route_accepts_the_issuers_of_the_gate_or_those_that_it_names() -> None:
    issuers = [{"issuer": LOGIN, "jwks_file": "a"}, {"issuer": PARTNER, "jwks_uri": "https://p.example/jwks"}]
    made = policy(
        oauth={"issuers": issuers},
        routes={
            "docs": {"tools": ["a"]},
            "wiki": {"tools": ["a"], "issuers": [PARTNER]},
            "open": {"public_paths": ["/x"]},
        },
    )

    assert [each.issuer for each in made.issuers("docs")] == [LOGIN, PARTNER]
    assert [each.issuer for each in made.issuers("wiki")] == [PARTNER]


def test_without_oauth_nobody_is_trusted() -> None:
    assert policy(oauth=None, routes={"open": {"public_paths": ["/x"]}}).issuers("open") == ()


@pytest.mark.parametrize(
    "name",
    ["clients", "routes", "oauth", "limits", "audit", "tunnel_domain", "sealing_keys", "warnings", "new"],
)
def test_no_setting_can_be_changed_afterwards(name: str) -> None:
    made = policy()

    with pytest.raises((ValidationError, AttributeError), match=r"frozen|no setter"):
        setattr(made, name, None)
    assert made == policy()


@pytest.mark.parametrize(
    "section",
    [
        Clients(allowed_ips=["::1"]),
        RouteClients(allowed_ips=["::1"]),
        Issuer(issuer=LOGIN),
        OAuth(issuers=[Issuer(issuer=LOGIN)]),
        Rule(),
        Route(),
        Audit(),
        Limits(),
    ],
    ids=lambda section: type(section).__name__,
)
def test_no_section_can_be_changed_afterwards(section: BaseModel) -> None:
    for name in type(section).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, None)


def test_lists_that_are_changed_later_change_nothing() -> None:
    networks, tools, scopes, issuers = ["10.0.0.0/8"], ["search_docs"], ["docs:read"], [Issuer(issuer=LOGIN)]
    prompts, resources, methods, departments = ["greet"], ["docs:///a"], ["acme/x"], ["support"]
    route = Route(
        tools=tools,
        scopes=scopes,
        public_paths=scopes[:0],
        prompts=prompts,
        resources=resources,
        methods=methods,
        claims={"department": departments},
    )
    made = Clients(allowed_ips=networks), OAuth(issuers=issuers), route, Rule(claims={"a": departments})
    before = repr(made)

    networks.append("0.0.0.0/0")
    tools.append("delete_docs")
    prompts.append("*")
    resources.append("docs:///{+path}")
    methods.append("acme/y")
    departments.append("everybody")
    scopes.clear()
    issuers.append(Issuer(issuer=PARTNER))

    assert repr(made) == before


def test_mappings_that_are_changed_later_change_nothing() -> None:
    claims: dict[str, Any] = {"department": ["support"]}
    rules: dict[str, Any] = {"search_docs": {"scopes": ["x"], "claims": claims}}
    prompts: dict[str, Any] = {"greet": {"claims": claims}}
    resources: dict[str, Any] = {"docs:///a": {"claims": claims}}
    keys = ["a.key"]
    options: dict[str, Any] = {"roots": ["docs"], "index": {"size": 1}}
    routes: dict[str, Any] = {
        "docs": {
            "tools": rules,
            "options": options,
            "prompts": prompts,
            "resources": resources,
            "claims": claims,
        }
    }
    made = policy(routes=routes, sealing_keys=keys)
    before = repr(made)

    rules["delete_docs"] = None
    prompts["leak"] = None
    resources["docs:///{+path}"] = None
    claims["department"].append("everybody")
    claims["more"] = "x"
    keys.insert(0, "evil.key")
    rules["search_docs"]["scopes"].clear()
    options["more"] = 1
    options["roots"].append("/")
    options["index"]["size"] = 2
    routes["evil"] = {"tools": ["a"]}

    assert repr(made) == before


def test_nothing_can_be_put_in_afterwards() -> None:
    rule = Rule(claims={"a": "b"})
    made = routed(
        tools={"search_docs": rule},
        options={"a": 1},
        prompts={"greet": None},
        resources={"docs:///a": None},
        claims={"a": "b"},
    )
    route, unclaimed = made.routes["docs"], policy().routes["docs"]
    mappings: list[Any] = [
        made.routes,
        route.tools,
        route.options,
        route.prompts,
        route.resources,
        route.claims,
        rule.claims,
        Rule().claims,
        unclaimed.claims,
    ]

    for mapping in mappings:
        with pytest.raises(TypeError):
            mapping["evil"] = None
        with pytest.raises((TypeError, AttributeError)):
            mapping.clear()
