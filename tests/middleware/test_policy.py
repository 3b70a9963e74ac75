from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tunnelgate import (
    Audit,
    Clients,
    ConfigurationError,
    Issuer,
    Limits,
    OAuth,
    Policy,
    Route,
    RouteClients,
    ToolRule,
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
    assert made.clients.address_from == "peer"
    assert made.routes["docs"] == Route(tools=["search_docs"])
    assert made.issuers("docs")[0].algorithms == ("ES256", "Ed25519", "PS256", "RS256")


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
    written(file, file.read_text("utf-8") + "audit: {file: audit.jsonl}\n")

    made = Policy.from_file(file, NO_ENVIRONMENT)

    assert made.audit.file == str(file.parent / "audit.jsonl")
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
    ],
)
def test_a_setting_at_its_bound_is_used(changes: dict[str, Any], value: Any) -> None:
    (name,) = changes

    assert getattr(policy(**changes), name) == value


GREATER = "input should be greater than or equal to"
LESS = "input should be less than or equal to"
NO_LIST = "'str' instances are not allowed as a Sequence value"


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
        "routes.docs.tools[0] = '*': is a pattern; list the tools by name, one by one",
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
        f"routes.{name}.tools[0] = '*': is a pattern; list the tools by name, one by one"
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
        },
    )

    assert (made.log_level, made.public_port, made.shutdown_timeout) == ("debug", 8443, 300)
    assert made.clients.allowed_ips == ("192.0.2.0/24",)
    assert made.routes["docs"] == Route(tools=["search_docs"], scopes=["docs:read"])
    assert made.audit.file == "elsewhere.jsonl"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param({"TUNNELGATE_LOGLEVEL": "debug"}, ["loglevel", "is not a setting"], id="a typo"),
        pytest.param({"TUNNELGATE_CLIENTS__ALOWED_IPS": "[]"}, ["clients", "alowed_ips"], id="a typo below"),
        pytest.param({"TUNNELGATE_LOG_LEVEL": "loud"}, ["log_level", "'loud'"], id="a wrong value"),
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


@pytest.mark.parametrize(
    ("tools", "scopes"),
    [
        pytest.param(["a", "b"], {"a": (), "b": ()}, id="a list"),
        pytest.param(("a",), {"a": ()}, id="a tuple"),
        pytest.param({"a": None, "b": {"scopes": ["x", "y"]}}, {"a": (), "b": ("x", "y")}, id="a mapping"),
        pytest.param({"a": {}}, {"a": ()}, id="a rule that asks for nothing"),
        pytest.param({"a": ToolRule(scopes=["x"])}, {"a": ("x",)}, id="a rule in code"),
    ],
)
def test_tools_are_names_or_names_with_scopes(tools: Any, scopes: Mapping[str, tuple[str, ...]]) -> None:
    assert routed(tools=tools).routes["docs"].tool_scopes == scopes


def test_a_route_without_tools_has_none() -> None:
    assert Route(public_paths=["/healthz"]).tool_scopes == {}


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


@pytest.mark.parametrize("name", ["clients", "routes", "oauth", "limits", "audit", "tunnel_domain", "new"])
def test_no_setting_can_be_changed_afterwards(name: str) -> None:
    made = policy()

    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, name, None)
    assert made == policy()


@pytest.mark.parametrize(
    "section",
    [
        Clients(allowed_ips=["::1"]),
        RouteClients(allowed_ips=["::1"]),
        Issuer(issuer=LOGIN),
        OAuth(issuers=[Issuer(issuer=LOGIN)]),
        ToolRule(),
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
    route = Route(tools=tools, scopes=scopes, public_paths=scopes[:0])
    made = Clients(allowed_ips=networks), OAuth(issuers=issuers), route
    before = repr(made)

    networks.append("0.0.0.0/0")
    tools.append("delete_docs")
    scopes.clear()
    issuers.append(Issuer(issuer=PARTNER))

    assert repr(made) == before


def test_mappings_that_are_changed_later_change_nothing() -> None:
    rules: dict[str, Any] = {"search_docs": {"scopes": ["x"]}}
    options: dict[str, Any] = {"roots": ["docs"], "index": {"size": 1}}
    routes: dict[str, Any] = {"docs": {"tools": rules, "options": options}}
    made = policy(routes=routes)
    before = repr(made)

    rules["delete_docs"] = None
    rules["search_docs"]["scopes"].clear()
    options["more"] = 1
    options["roots"].append("/")
    options["index"]["size"] = 2
    routes["evil"] = {"tools": ["a"]}

    assert repr(made) == before


def test_no_route_tool_or_option_can_be_put_in_afterwards() -> None:
    made = routed(tools={"search_docs": None}, options={"a": 1})
    route = made.routes["docs"]
    mappings: list[Any] = [made.routes, route.tools, route.options]

    for mapping in mappings:
        with pytest.raises(TypeError):
            mapping["evil"] = None
        with pytest.raises((TypeError, AttributeError)):
            mapping.clear()
