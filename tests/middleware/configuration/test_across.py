from typing import Any

import pytest

from tunnelgate import Clients, Credentials, Issuer, OAuth, Route, TokenRequest
from tunnelgate.configuration.across import faults_across

ISSUER: dict[str, Any] = {"issuer": "https://login.example.com", "jwks_file": "jwks.json"}
OTHER: dict[str, Any] = {"issuer": "https://other.example.com", "jwks_uri": "https://other.example.com/jwks"}
GOOD: dict[str, Any] = {
    "clients": {"allowed_ips": ["10.0.0.0/8"]},
    "tunnel_domain": "tunnel.example.com",
    "oauth": {"issuers": [ISSUER, OTHER]},
    "routes": {
        "docs": {"tools": ["search"], "issuers": ["https://login.example.com"]},
        "wiki.example.com": {"tools": {"read": None}},
        "issuer": {"public_paths": ["/token"]},
    },
}


def faults(**changes: Any) -> list[str]:
    return [str(fault) for fault in faults_across({**GOOD, **changes})]


def test_a_configuration_that_fits_together_has_no_faults() -> None:
    assert faults() == []


def test_a_configuration_built_in_code_is_read_likewise() -> None:
    data: dict[str, Any] = {
        "clients": Clients(allowed_ips=["10.0.0.0/8"]),
        "oauth": OAuth(issuers=[Issuer(issuer="https://login.example.com", jwks_file="jwks.json")]),
        "routes": {"docs": Route(tools=["a"], issuers=["https://evil.example"])},
    }

    assert [str(fault) for fault in faults_across(data)] == [
        "routes.docs: is no full hostname, and there is no tunnel_domain to put it under",
        "routes.docs.issuers[0] = 'https://evil.example': is not one of oauth.issuers",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"oauth": {"issuers": [ISSUER, OTHER, ISSUER]}},
            ["oauth.issuers[2].issuer = 'https://login.example.com': stands twice"],
            id="an issuer that stands twice",
        ),
        pytest.param(
            {"routes": {"docs": {"tools": ["a"]}, "Docs": {"tools": ["b"]}}},
            ["routes.Docs: stands twice; hostnames do not differ by case"],
            id="two routes that differ by case",
        ),
        pytest.param(
            {"routes": {"docs": {}}},
            ["routes.docs: lists neither tools nor public_paths, so it would serve nothing"],
            id="a route that serves nothing",
        ),
        pytest.param(
            {"routes": {"docs": None}},
            ["routes.docs: lists neither tools nor public_paths, so it would serve nothing"],
            id="a route that is empty",
        ),
        pytest.param(
            {"routes": {"docs": {"tools": None, "public_paths": []}}},
            ["routes.docs: lists neither tools nor public_paths, so it would serve nothing"],
            id="a route that lists nothing",
        ),
        pytest.param(
            {"tunnel_domain": None},
            [
                "routes.docs: is no full hostname, and there is no tunnel_domain to put it under",
                "routes.issuer: is no full hostname, and there is no tunnel_domain to put it under",
            ],
            id="names without a domain to put them under",
        ),
        pytest.param(
            {"oauth": None, "routes": {"docs": {"tools": ["a"]}, "pub": {"public_paths": ["/x"]}}},
            ["routes.docs: has tools, and oauth.issuers trusts nobody to make tokens for them"],
            id="tools without an issuer",
        ),
        pytest.param(
            {"routes": {"docs": {"tools": ["a"], "issuers": ["https://evil.example", 7]}}},
            [
                "routes.docs.issuers[0] = 'https://evil.example': is not one of oauth.issuers",
                "routes.docs.issuers[1] = 7: is not one of oauth.issuers",
            ],
            id="an issuer of a route that is not trusted",
        ),
        pytest.param(
            {"routes": {"a.example": {"tools": ["a"], "issuers": ["https://login.example.com/"]}}},
            ["""routes."a.example".issuers[0] = 'https://login.example.com/': is not one of oauth.issuers"""],
            id="an issuer that differs by a slash",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_what_does_not_fit_together_is_a_fault(changes: dict[str, Any], told: list[str]) -> None:
    assert faults(**changes) == told


SECRET: dict[str, Any] = {"client_id": "gate", "client_secret_file": "secret"}
NO_SECRET: dict[str, Any] = {"client_id": "gate"}
TWO_SECRETS: dict[str, Any] = {**SECRET, "client_secret_env": "SECRET"}
JWKS_URI = "https://login.example.com/jwks"
LACKS_A_SECRET = "needs one of client_secret_file, client_secret_env"
WHICH_SECRET = "has client_secret_file and client_secret_env; which one is meant?"
WHICH_KEYS = "has both a jwks_file and a jwks_uri; which one is meant?"
NOBODY_TO_ASK = "makes opaque tokens, and has no introspection to ask about them"
NEEDS_JWT = "means nothing unless token_formats has jwt"
NEEDS_OPAQUE = "means nothing unless token_formats has opaque"


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        pytest.param({}, [], id="keys that are to be found"),
        pytest.param({"jwks_file": None, "jwks_uri": None}, [], id="keys that are null, to be found"),
        pytest.param({"jwks_file": "a"}, [], id="keys in a file"),
        pytest.param({"jwks_uri": JWKS_URI}, [], id="keys at a URL"),
        pytest.param({"jwks_file": "a", "jwks_uri": JWKS_URI}, [f": {WHICH_KEYS}"], id="keys in two places"),
        pytest.param({"token_formats": None}, [], id="formats that are null, which are JWTs"),
        pytest.param({"token_formats": ["opaque"], "introspection": SECRET}, [], id="opaque tokens"),
        pytest.param(
            {"token_formats": ["jwt", "opaque"], "jwks_file": "a", "introspection": SECRET},
            [],
            id="tokens of both kinds",
        ),
        pytest.param(
            {"token_formats": ["opaque"]}, [f": {NOBODY_TO_ASK}"], id="opaque tokens and nobody to ask"
        ),
        pytest.param(
            {"token_formats": ["jwt", "opaque"], "introspection": None},
            [f": {NOBODY_TO_ASK}"],
            id="tokens of both kinds and a null to ask",
        ),
        pytest.param(
            {"token_formats": ["opaque"], "introspection": SECRET, "jwks_file": "a"},
            [f".jwks_file: {NEEDS_JWT}"],
            id="a file of keys for opaque tokens",
        ),
        pytest.param(
            {"token_formats": ["opaque"], "introspection": SECRET, "jwks_uri": JWKS_URI},
            [f".jwks_uri: {NEEDS_JWT}"],
            id="a URL of keys for opaque tokens",
        ),
        pytest.param(
            {"introspection": SECRET}, [f".introspection: {NEEDS_OPAQUE}"], id="introspection of JWTs"
        ),
        pytest.param(
            {"token_formats": ["opaque"], "introspection": NO_SECRET},
            [f".introspection: {LACKS_A_SECRET}"],
            id="introspection without a secret",
        ),
        pytest.param(
            {"token_formats": ["opaque"], "introspection": {**SECRET, "client_secret_file": None}},
            [f".introspection: {LACKS_A_SECRET}"],
            id="introspection with a secret that is null",
        ),
        pytest.param(
            {"token_formats": ["opaque"], "introspection": TWO_SECRETS},
            [f".introspection: {WHICH_SECRET}"],
            id="introspection with two secrets",
        ),
        pytest.param(
            {"jwks_file": "a", "jwks_uri": JWKS_URI, "token_formats": ["opaque"], "introspection": NO_SECRET},
            [f": {WHICH_KEYS}", f".jwks_file: {NEEDS_JWT}", f".introspection: {LACKS_A_SECRET}"],
            id="all that can be wrong with opaque tokens",
        ),
        pytest.param(
            {"introspection": TWO_SECRETS},
            [f".introspection: {NEEDS_OPAQUE}", f".introspection: {WHICH_SECRET}"],
            id="all that can be wrong with JWTs",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_an_issuer_has_what_its_tokens_need_once_and_nothing_that_would_not_be_used(
    issuer: dict[str, Any], told: list[str]
) -> None:
    issuers = [ISSUER, OTHER, {"issuer": "https://third.example.com", **issuer}]

    assert faults(oauth={"issuers": issuers}) == [f"oauth.issuers[2]{each}" for each in told]


REQUEST: dict[str, Any] = {**SECRET, "token_endpoint": "https://login.example.com/token"}
LACKS_A_CREDENTIAL = "needs one of bearer_file, bearer_env, client_credentials, token_exchange"
LACKS_AN_ENDPOINT = "needs one of issuer, token_endpoint"
WHICH_ENDPOINT = "has issuer and token_endpoint; which one is meant?"


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"bearer_file": "a"}, [], id="a file"),
        pytest.param({"bearer_env": "A"}, [], id="a variable"),
        pytest.param({"client_credentials": REQUEST}, [], id="client credentials"),
        pytest.param({"token_exchange": REQUEST}, [], id="an exchange"),
        pytest.param(
            {"token_exchange": {**SECRET, "issuer": "https://login.example.com"}},
            [],
            id="an exchange where the issuer says",
        ),
        pytest.param({}, [f": {LACKS_A_CREDENTIAL}"], id="an empty section"),
        pytest.param({"bearer_file": None}, [f": {LACKS_A_CREDENTIAL}"], id="a file that is null"),
        pytest.param(
            {"bearer_file": "a", "bearer_env": "A"},
            [": has bearer_file and bearer_env; which one is meant?"],
            id="a file and a variable",
        ),
        pytest.param(
            {"bearer_env": "A", "client_credentials": REQUEST, "token_exchange": REQUEST},
            [": has bearer_env and client_credentials and token_exchange; which one is meant?"],
            id="three at once",
        ),
        pytest.param(
            {"client_credentials": {"token_endpoint": "https://login.example.com/token", **NO_SECRET}},
            [f".client_credentials: {LACKS_A_SECRET}"],
            id="client credentials without a secret",
        ),
        pytest.param({"token_exchange": SECRET}, [f".token_exchange: {LACKS_AN_ENDPOINT}"], id="no endpoint"),
        pytest.param(
            {"token_exchange": {**REQUEST, "issuer": "https://login.example.com"}},
            [f".token_exchange: {WHICH_ENDPOINT}"],
            id="an endpoint that stands in two places",
        ),
        pytest.param(
            {"bearer_file": "a", "client_credentials": NO_SECRET, "token_exchange": TWO_SECRETS},
            [
                ": has bearer_file and client_credentials and token_exchange; which one is meant?",
                f".client_credentials: {LACKS_A_SECRET}",
                f".client_credentials: {LACKS_AN_ENDPOINT}",
                f".token_exchange: {WHICH_SECRET}",
                f".token_exchange: {LACKS_AN_ENDPOINT}",
            ],
            id="all that can be wrong",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_the_credentials_of_a_route_are_one_kind_with_one_secret_and_one_endpoint(
    credentials: dict[str, Any] | None, told: list[str]
) -> None:
    routes = {"docs": {"tools": ["a"], "credentials": credentials}}

    assert faults(routes=routes) == [f"routes.docs.credentials{each}" for each in told]


def test_credentials_built_in_code_are_judged_likewise() -> None:
    request = TokenRequest(client_id="gate")
    routes = {"docs": Route(tools=["a"], credentials=Credentials(bearer_env="A", token_exchange=request))}

    assert faults(routes=routes) == [
        "routes.docs.credentials: has bearer_env and token_exchange; which one is meant?",
        f"routes.docs.credentials.token_exchange: {LACKS_A_SECRET}",
        f"routes.docs.credentials.token_exchange: {LACKS_AN_ENDPOINT}",
    ]


def opaque(name: str) -> dict[str, Any]:
    return {"issuer": name, "token_formats": ["jwt", "opaque"], "introspection": SECRET}


ONE, TWO = "https://one.example.com", "https://two.example.com"
BOTH = f"{ONE} and {TWO} both make opaque tokens, which do not say whom to ask"


@pytest.mark.parametrize(
    ("route", "told"),
    [
        pytest.param({}, [f"routes.docs.issuers: {BOTH}"], id="a route that accepts everybody"),
        pytest.param({"issuers": None}, [f"routes.docs.issuers: {BOTH}"], id="a route with a null"),
        pytest.param({"issuers": [TWO, ONE]}, [f"routes.docs.issuers: {BOTH}"], id="a route that names both"),
        pytest.param({"issuers": [ONE]}, [], id="a route that names one"),
        pytest.param({"issuers": [TWO, ISSUER["issuer"]]}, [], id="a route that names one beside others"),
        pytest.param({"issuers": [ISSUER["issuer"]]}, [], id="a route that names neither"),
    ],
)
@pytest.mark.promise("opaque-judged-here")
def test_opaque_tokens_of_a_route_are_those_of_one_issuer(route: dict[str, Any], told: list[str]) -> None:
    issuers = [ISSUER, opaque(ONE), opaque(TWO)]

    assert faults(oauth={"issuers": issuers}, routes={"docs": {"tools": ["a"], **route}}) == told


def test_a_route_without_an_endpoint_accepts_no_tokens_and_so_none_of_two_issuers() -> None:
    routes = {"docs": {"tools": ["a"], "issuers": [ONE]}, "login": {"public_paths": ["/authorize"]}}

    assert faults(oauth={"issuers": [opaque(ONE), opaque(TWO)]}, routes=routes) == []


EVERY = "is every tool there will ever be; list them, or set allow_all_tools: true as well"
NOTHING_SERVED = "routes.docs: lists neither tools nor public_paths, so it would serve nothing"
POINTLESS = 'means nothing unless tools is "*"'


@pytest.mark.parametrize(
    ("route", "told"),
    [
        pytest.param({"tools": ["a"]}, [], id="tools"),
        pytest.param({"prompts": ["a"]}, [], id="prompts alone"),
        pytest.param({"resources": ["docs:///a"]}, [], id="resources alone"),
        pytest.param({"methods": ["acme/search"]}, [], id="methods alone"),
        pytest.param({"public_paths": ["/x"], "methods": []}, [], id="public paths and an empty list"),
        pytest.param({"methods": []}, [NOTHING_SERVED], id="no method in a list alone"),
        pytest.param({"prompts": None, "resources": None}, [NOTHING_SERVED], id="nulls alone"),
        pytest.param({"claims": {"a": "b"}, "tasks": True}, [NOTHING_SERVED], id="rules for nothing"),
        pytest.param({"tools": "*", "allow_all_tools": True}, [], id="every tool, said twice"),
        pytest.param({"tools": "*"}, [f"routes.docs.tools = '*': {EVERY}"], id="every tool, said once"),
        pytest.param(
            {"tools": "*", "allow_all_tools": False},
            [f"routes.docs.tools = '*': {EVERY}"],
            id="every tool, and not",
        ),
        pytest.param(
            {"tools": "*", "allow_all_tools": "no"},
            [f"routes.docs.tools = '*': {EVERY}"],
            id="every tool, and not, as a variable says it",
        ),
        pytest.param({"tools": "*", "allow_all_tools": "true"}, [], id="every tool, as a variable says it"),
        pytest.param(
            {"tools": "*", "allow_all_tools": "perhaps"},
            [f"routes.docs.tools = '*': {EVERY}"],
            id="every tool, perhaps",
        ),
        pytest.param(
            {"tools": "*", "allow_all_tools": []},
            [f"routes.docs.tools = '*': {EVERY}"],
            id="every tool, and a list",
        ),
        pytest.param(
            {"tools": ["a"], "allow_all_tools": True},
            [f"routes.docs.allow_all_tools = True: {POINTLESS}"],
            id="one tool and every tool",
        ),
        pytest.param(
            {"tools": ["*"], "allow_all_tools": True},
            [f"routes.docs.allow_all_tools = True: {POINTLESS}"],
            id="every tool in a list",
        ),
        pytest.param(
            {"tools": {"*": None}, "allow_all_tools": True},
            [f"routes.docs.allow_all_tools = True: {POINTLESS}"],
            id="every tool in a mapping",
        ),
        pytest.param(
            {"prompts": ["a"], "allow_all_tools": True},
            [f"routes.docs.allow_all_tools = True: {POINTLESS}"],
            id="every tool of none",
        ),
    ],
)
@pytest.mark.promise("closed-by-default")
def test_a_route_serves_something_and_every_tool_only_when_that_is_said_twice(
    route: dict[str, Any], told: list[str]
) -> None:
    assert faults(routes={"docs": route}) == told


@pytest.mark.parametrize(
    ("route", "told"),
    [
        pytest.param(Route(public_paths=["/x"]), [], id="public paths"),
        pytest.param(Route(), [NOTHING_SERVED], id="nothing"),
        pytest.param(Route(tasks=True, methods=[]), [NOTHING_SERVED], id="an empty list"),
        pytest.param(
            Route(methods=["acme/search"]),
            ["routes.docs: has methods, and oauth.issuers trusts nobody to make tokens for them"],
            id="a method",
        ),
        pytest.param(
            Route(prompts=["greet"]),
            ["routes.docs: has prompts, and oauth.issuers trusts nobody to make tokens for them"],
            id="a prompt",
        ),
        pytest.param(
            Route(resources=["docs:///a"], public_paths=["/x"]),
            ["routes.docs: has resources, and oauth.issuers trusts nobody to make tokens for them"],
            id="a resource beside a public path",
        ),
        pytest.param(
            Route(tools="*", allow_all_tools=True, prompts=["greet"]),
            ["routes.docs: has tools, and oauth.issuers trusts nobody to make tokens for them"],
            id="every tool",
        ),
        pytest.param(
            Route(tools="*"),
            [
                "routes.docs: has tools, and oauth.issuers trusts nobody to make tokens for them",
                f"routes.docs.tools = '*': {EVERY}",
            ],
            id="every tool, said once",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_route_built_in_code_is_judged_by_what_it_lists(route: Route, told: list[str]) -> None:
    assert faults(routes={"docs": route}, oauth=None) == told


@pytest.mark.promise("host-exact")
def test_one_hostname_cannot_lead_to_two_routes() -> None:
    routes = {"docs": {"tools": ["read"]}, "docs.tunnel.example.com": {"tools": ["delete"]}}

    assert faults(routes=routes) == [
        'routes."docs.tunnel.example.com": has the hostname docs.tunnel.example.com, as routes.docs has'
    ]


def test_one_hostname_cannot_lead_to_two_routes_in_whatever_order_and_case() -> None:
    routes = {"Docs.Tunnel.example.com": {"tools": ["delete"]}, "DOCS": {"tools": ["read"]}}

    assert faults(routes=routes) == [
        'routes.DOCS: has the hostname docs.tunnel.example.com, as routes."Docs.Tunnel.example.com" has'
    ]


@pytest.mark.parametrize(
    ("domain", "name", "is_good"),
    [
        pytest.param(".".join(["a" * 61] * 4), "docs", True, id="just long enough"),
        pytest.param(".".join(["a" * 61] * 4), "docs1", True, id="the longest hostname"),
        pytest.param(".".join(["a" * 61] * 4), "docs12", False, id="one character longer"),
        pytest.param("tunnel.example.com", "[::ffff:192.0.2.1]", False, id="a name below which is none"),
        pytest.param("[::1]", "docs", False, id="a domain that is an address"),
    ],
)
def test_a_route_and_the_tunnel_domain_make_a_hostname(domain: str, name: str, is_good: bool) -> None:  # noqa: FBT001
    found = faults(tunnel_domain=domain, routes={name: {"tools": ["a"]}})

    assert [fault.partition(": ")[2] for fault in found if "tunnel_domain" in fault] == (
        [] if is_good else ["makes no hostname under the tunnel_domain"]
    )


NOTHING: dict[str, Any] = {}
ODD: list[Any] = [None, 7, "text", [], ["text"], [7], [None], [[]], [NOTHING], NOTHING, {"issuers": 7}]


@pytest.mark.parametrize("value", [*ODD, {"issuers": ODD}, {"docs": ODD}])
@pytest.mark.parametrize("key", ["oauth", "routes", "tunnel_domain", "clients"])
def test_whatever_else_is_wrong_the_search_goes_on(key: str, value: Any) -> None:
    assert all(fault.path for fault in faults_across({**GOOD, key: value}))


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", ["token_formats", "introspection", "jwks_file", "jwks_uri"])
def test_whatever_an_issuer_has_the_search_goes_on(name: str, value: Any) -> None:
    issuers = [{"issuer": ONE, name: value}, {**opaque(TWO), name: value}, ISSUER, ISSUER]

    told = f"oauth.issuers[3].issuer = '{ISSUER['issuer']}': stands twice"
    assert told in faults(oauth={"issuers": issuers})


@pytest.mark.parametrize("value", ODD[1:])
@pytest.mark.parametrize("name", ["credentials", "client_credentials", "token_exchange"])
def test_whatever_stands_for_credentials_is_a_fault_and_the_search_goes_on(name: str, value: Any) -> None:
    credentials = value if name == "credentials" else {"bearer_env": "A", name: value}

    found = faults(routes={"docs": {"tools": ["a"], "credentials": credentials}, "wiki": {}})

    assert found[0].startswith("routes.docs.credentials")
    assert found[-1] == "routes.wiki: lists neither tools nor public_paths, so it would serve nothing"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"oauth": {"issuers": [{"issuer": ["x"], "jwks_file": "a"}]}}, id="an issuer in a list"),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": NOTHING, "jwks_file": "a"}]}}, id="an issuer in a mapping"
        ),
        pytest.param({"routes": {"docs": {"tools": ["a"], "issuers": [["x"]]}}}, id="a list in issuers"),
        pytest.param({"routes": {"docs": {"tools": ["a"], "issuers": [NOTHING]}}}, id="a mapping in issuers"),
        pytest.param({"routes": {7: {"tools": ["a"]}}}, id="a route that is a number"),
        pytest.param({"routes": {"docs": {"tools": [["*"]], "allow_all_tools": []}}}, id="lists for tools"),
        pytest.param(
            {"routes": {"docs": {"tools": NOTHING, "allow_all_tools": NOTHING}}}, id="mappings for tools"
        ),
        pytest.param({"routes": {"docs": {"methods": 7, "prompts": 7}}}, id="numbers for lists"),
    ],
)
def test_values_of_another_shape_do_not_end_the_search(changes: dict[str, Any]) -> None:
    wiki: dict[str, Any] = {"wiki": {}}

    found = faults(**{**changes, "routes": {**changes.get("routes", {}), **wiki}})

    assert "routes.wiki: lists neither tools nor public_paths, so it would serve nothing" in found
