from typing import Any

import pytest

from tunnelgate import Clients, Issuer, OAuth, Route
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
            {"oauth": {"issuers": [ISSUER, {"issuer": "https://other.example.com"}]}},
            ["oauth.issuers[1]: has no keys; name a jwks_file or a jwks_uri"],
            id="an issuer without keys",
        ),
        pytest.param(
            {"oauth": {"issuers": [{**ISSUER, "jwks_file": None}]}},
            ["oauth.issuers[0]: has no keys; name a jwks_file or a jwks_uri"],
            id="an issuer whose file is null",
        ),
        pytest.param(
            {"oauth": {"issuers": [{**ISSUER, "jwks_uri": "https://login.example.com/jwks"}]}},
            ["oauth.issuers[0]: has both a jwks_file and a jwks_uri; which one is meant?"],
            id="an issuer with keys in two places",
        ),
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
