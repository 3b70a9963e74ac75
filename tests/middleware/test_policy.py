import re
from collections.abc import Mapping, Sequence
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
    Credentials,
    Dpop,
    IntrospectionClient,
    Issuer,
    Limits,
    OAuth,
    Policy,
    Requirement,
    Route,
    RouteClients,
    RouteUpstream,
    Rule,
    Tls,
    TokenProfile,
    TokenRequest,
    Upstreams,
    UpstreamTls,
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
CLIENT: Mapping[str, Any] = {"client_id": "gate", "client_secret_env": "SECRET"}
OPAQUE: Mapping[str, Any] = {"issuer": LOGIN, "token_formats": ["opaque"], "introspection": CLIENT}
REQUEST: Mapping[str, Any] = {**CLIENT, "issuer": LOGIN}


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
    assert made.clients == Clients(allowed_ips=["10.0.0.0/8", "::1"], address_from="peer")
    assert (made.clients.trusted_proxies, made.clients.trust_unix_socket) == ((), False)
    assert (made.socket_mode, made.oauth and made.oauth.allowed_ips) == (0o600, None)
    assert made.routes["docs"] == Route(tools=["search_docs"])
    assert made.issuers("docs")[0].algorithms == ("ES256", "Ed25519", "PS256", "RS256")
    assert made.issuers("docs")[0].token_formats == ("jwt",)
    assert made.issuers("docs")[0].profile == TokenProfile()
    assert (made.tls, made.dpop) == (None, Dpop(max_age=60, require_nonce=False))


@pytest.mark.promise("closed-by-default")
def test_what_a_route_does_not_list_nobody_gets() -> None:
    route = policy().routes["docs"]

    assert (route.prompts, route.resources, route.methods) == (None, None, ())
    assert (route.prompt_requirements, route.resource_requirements) == ({}, {})
    assert (route.claims, route.client_log_level) == ({}, None)
    assert (route.tasks, route.allow_all_tools) == (False, False)
    assert (route.proof, route.require_user, route.credentials) == ("none", False, None)


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
    more = """
        audit: {file: audit.jsonl}
        sealing_keys: [new.key, ../old.key, /run/secrets/older.key]
        tls: {cert_file: server.pem, key_file: /run/secrets/server.key, client_ca_file: clients.pem}
        """
    written(file, dedent(file.read_text("utf-8")) + dedent(more))

    made = Policy.from_file(file, NO_ENVIRONMENT)

    assert made.audit.file == str(file.parent / "audit.jsonl")
    assert made.sealing_keys == (
        file.parent / "new.key",
        file.parent / "../old.key",
        Path("/run/secrets/older.key"),
    )
    assert made.issuers("docs")[0].jwks_file == file.parent / "jwks.json"
    assert made.tls == Tls(
        cert_file=file.parent / "server.pem",
        key_file="/run/secrets/server.key",
        client_ca_file=file.parent / "clients.pem",
    )


def test_secrets_that_the_file_names_lie_beside_it(file: Path) -> None:
    written(
        file,
        """
        tunnel_domain: tunnel.example.com
        clients: {allowed_ips: ["::1"]}
        oauth:
          issuers:
            - issuer: https://login.example.com
              token_formats: [opaque]
              introspection: {client_id: gate, client_secret_file: introspection}
        routes:
          docs: {tools: [a], credentials: {bearer_file: bearer}}
          wiki:
            tools: [a]
            credentials:
              client_credentials:
                {client_id: gate, client_secret_file: own, issuer: "https://login.example.com"}
          mail:
            tools: [a]
            credentials:
              token_exchange:
                {client_id: gate, client_secret_file: /run/exchange, issuer: "https://login.example.com"}
        """,
    )

    made = Policy.from_file(file, NO_ENVIRONMENT)

    introspection = made.issuers("docs")[0].introspection
    credentials = {name: route.credentials for name, route in made.routes.items()}
    assert introspection is not None
    assert introspection.client_secret_file == file.parent / "introspection"
    assert credentials["docs"] == Credentials(bearer_file=file.parent / "bearer")
    assert credentials["wiki"] == Credentials(
        client_credentials=TokenRequest(
            client_id="gate", client_secret_file=file.parent / "own", issuer="https://login.example.com"
        )
    )
    assert credentials["mail"] == Credentials(
        token_exchange=TokenRequest(
            client_id="gate", client_secret_file="/run/exchange", issuer="https://login.example.com"
        )
    )


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
        pytest.param(
            {"clients": {"allowed_ips": ["0.0.0.0/0", "::/0"], "allow_wide_networks": True}},
            Clients(allowed_ips=["0.0.0.0/0", "::/0"], allow_wide_networks=True),
            id="clients from anywhere",
        ),
        pytest.param(
            {
                "clients": {
                    "allowed_ips": ["203.0.113.0/24"],
                    "address_from": "x-forwarded-for",
                    "trusted_proxies": ["127.0.0.1", "::1"],
                }
            },
            Clients(
                allowed_ips=["203.0.113.0/24"],
                address_from="x-forwarded-for",
                trusted_proxies=["127.0.0.1", "::1"],
            ),
            id="an address from a header",
        ),
        pytest.param(
            {
                "oauth": {
                    "issuers": [{"issuer": LOGIN, "jwks_file": "a"}],
                    "allowed_ips": ["127.0.0.0/8", "10.7.0.1"],
                }
            },
            OAuth(issuers=[Issuer(issuer=LOGIN, jwks_file="a")], allowed_ips=["127.0.0.0/8", "10.7.0.1"]),
            id="where issuers are",
        ),
        pytest.param({"audit": {"file": "a.jsonl"}}, Audit(file="a.jsonl"), id="a file for the audit"),
        pytest.param({"sealing_keys": ["a.key"]}, (Path("a.key"),), id="a file with a key"),
        pytest.param(
            {"sealing_keys": [Path("new.key"), "old.key"]}, (Path("new.key"), Path("old.key")), id="two keys"
        ),
        pytest.param({"sealing_keys": []}, (), id="no key of one's own"),
        pytest.param({"dpop": {"max_age": 1}}, Dpop(max_age=1), id="the shortest life of a proof"),
        pytest.param({"dpop": {"max_age": "10m"}}, Dpop(max_age=600), id="the longest life of a proof"),
        pytest.param({"dpop": {"require_nonce": "true"}}, Dpop(require_nonce=True), id="nonces"),
        pytest.param(
            {"tls": {"cert_file": "a.pem", "key_file": "a.key"}},
            Tls(cert_file=Path("a.pem"), key_file=Path("a.key")),
            id="a certificate",
        ),
        pytest.param(
            {"tls": {"cert_file": "a.pem", "key_file": "a.key", "client_ca_file": "b.pem"}},
            Tls(cert_file="a.pem", key_file="a.key", client_ca_file=Path("b.pem")),
            id="a certificate, and one by whom clients have theirs",
        ),
    ],
)
def test_a_setting_at_its_bound_is_used(changes: dict[str, Any], value: Any) -> None:
    (name,) = changes

    assert getattr(policy(**changes), name) == value


GREATER = "is less than"
LESS = "is more than"
NO_LIST = "is not a list"
NO_FILE = "is not the name of a file"
EMPTY = "is empty, which would allow nothing"


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
            "limits.answer_bytes = 'lots': is not a whole number",
            id="an answer of no number",
        ),
        pytest.param(
            {"log_level": "WARN"},
            "log_level = 'WARN': is not 'debug', 'error', 'info' or 'warn'",
            id="a level in capitals",
        ),
        pytest.param(
            {"public_scheme": "wss"},
            "public_scheme = 'wss': is not 'http' or 'https'",
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
        pytest.param({"clients": None}, "clients = None: is not a mapping", id="no clients"),
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
            "clients.address_from = 'x-forwarded-for': is a header, and no trusted_proxies may send it",
            id="an address from a header of nobody",
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
            "oauth.issuers[0].algorithms[0] = 'HS256': is not one of "
            "ES256, ES384, ES512, Ed25519, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512",
            id="an issuer with a shared secret",
        ),
        pytest.param({"tls": {"key_file": "a"}}, "tls.cert_file: is required", id="no certificate"),
        pytest.param({"tls": {"cert_file": "a"}}, "tls.key_file: is required", id="a certificate, no key"),
        pytest.param(
            {"tls": {"cert_file": "a", "key_file": ""}},
            f"tls.key_file = '': {NO_FILE}",
            id="no name for the key of a certificate",
        ),
        pytest.param(
            {"tls": {"cert_file": "a", "key_file": "b", "client_ca_file": ["c"]}},
            f"tls.client_ca_file = ['c']: {NO_FILE}",
            id="a list for the CAs of clients",
        ),
        pytest.param({"tls": "a.pem"}, "tls = 'a.pem': is not", id="a text for TLS"),
        pytest.param({"dpop": {"max_age": 0.9}}, f"dpop.max_age = 0.9: {GREATER} 1", id="proofs too young"),
        pytest.param({"dpop": {"max_age": "601s"}}, f"dpop.max_age = '601s': {LESS} 600", id="too old"),
        pytest.param(
            {"dpop": {"max_age": "soon"}},
            "dpop.max_age = 'soon': is not a duration such as 30s or 5m",
            id="proofs of some age",
        ),
        pytest.param(
            {"dpop": {"max_age": float("nan")}}, "dpop.max_age = nan: ", id="proofs of no age at all"
        ),
        pytest.param(
            {"dpop": {"require_nonce": "perhaps"}},
            "dpop.require_nonce = 'perhaps': is neither true nor false",
            id="a nonce, perhaps",
        ),
        pytest.param({"dpop": None}, "dpop = None: is not", id="null for proofs"),
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
        pytest.param({"tools": 7}, "tools = 7: is not", id="a number for a list of tools"),
        pytest.param({"tools": ["*"]}, "tools[0] = '*': is a pattern", id="all tools"),
        pytest.param({"tools": ["a", None]}, "tools[1] = None: is not a text", id="a null tool"),
        pytest.param({"tools": {"a*": None}}, "tools.a* = 'a*': is a pattern", id="a pattern with scopes"),
        pytest.param(
            {"tools": {"a": {"scopes": ["b c"]}}},
            "tools.a.scopes[0] = 'b c': is not one scope",
            id="a scope of a tool",
        ),
        pytest.param(
            {"tools": {"a": {"scope": []}}}, "tools.a.scope = []: is not a key; scopes is", id="typo"
        ),
        pytest.param({"tools": {"a": ["x"]}}, "tools.a = ['x']: is not", id="a list for a rule"),
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
        pytest.param({"public_paths": ["//"]}, "public_paths[0] = '//': is not a path", id="two slashes"),
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
    ("settings", "profile"),
    [
        pytest.param({}, TokenProfile(), id="what RFC 9068 has"),
        pytest.param(
            {"algorithms": ["ES384", "EdDSA"]},
            TokenProfile(algorithms=frozenset({"ES384", "EdDSA"})),
            id="algorithms",
        ),
        pytest.param(
            {"token_types": ["at+jwt", "JWT"]}, TokenProfile(types=frozenset({"at+jwt", "JWT"})), id="types"
        ),
        pytest.param(
            {"scope_claims": ["scp", "roles"]}, TokenProfile(scope_claims=("scp", "roles")), id="scopes"
        ),
        pytest.param({"client_id_claim": "azp"}, TokenProfile(client_id_claim="azp"), id="a client"),
        pytest.param({"token_id_claim": "uti"}, TokenProfile(token_id_claim="uti"), id="a token's id"),
        pytest.param({"max_token_lifetime": "90m"}, TokenProfile(max_lifetime=5400), id="a lifetime"),
        pytest.param({"max_token_lifetime": 86400}, TokenProfile(max_lifetime=86400), id="the longest"),
    ],
)
def test_how_an_issuer_writes_its_tokens_is_as_it_was_said(
    settings: dict[str, Any], profile: TokenProfile
) -> None:
    (issuer,) = policy(oauth={"issuers": [{"issuer": LOGIN, **settings}]}).issuers("docs")

    assert issuer.profile == profile


@pytest.mark.parametrize(
    ("settings", "introspection"),
    [
        pytest.param(
            {"client_secret_file": "a"},
            IntrospectionClient(client_id="gate", client_secret_file=Path("a"), max_age=30),
            id="a secret in a file",
        ),
        pytest.param(
            {"client_secret_env": "A", "max_age": 0},
            IntrospectionClient(client_id="gate", client_secret_env="A", max_age=0),
            id="a secret in a variable, and no answer used twice",
        ),
        pytest.param(
            {
                "client_secret_env": "A",
                "max_age": "1m",
                "client_authentication": "client_secret_post",
                "endpoint": "https://login.example.com/introspect?v=2",
            },
            IntrospectionClient(
                client_id="gate",
                client_secret_env="A",
                max_age=60,
                client_authentication="client_secret_post",
                endpoint="https://login.example.com/introspect?v=2",
            ),
            id="all that can be said",
        ),
    ],
)
def test_introspection_is_as_it_was_said(
    settings: dict[str, Any], introspection: IntrospectionClient
) -> None:
    issuer = {
        "issuer": LOGIN,
        "token_formats": ["opaque"],
        "introspection": {"client_id": "gate", **settings},
    }

    assert policy(oauth={"issuers": [issuer]}).issuers("docs")[0].introspection == introspection


TEXT = "is empty"
AUTHENTICATION = "is not 'client_secret_basic' or 'client_secret_post'"
NO_URL = "is not a URL such as https://login.example.com/"
MORE_THAN_A_URL = "has a query, a fragment or a user, which an identifier does not have"
NO_VARIABLE = "is not the name of an environment variable"
NO_SCOPE = "is not one scope: no white space, quotes or backslashes"
NO_TYPE = "is not a media type such as at+jwt"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"token_formats": ["jws"]},
            ["token_formats[0] = 'jws': is not 'jwt' or 'opaque'"],
            id="a format that is none",
        ),
        pytest.param({"token_formats": list[str]()}, [f"token_formats = []: {EMPTY}"], id="no format"),
        pytest.param(
            {"token_formats": "jwt"}, [f"token_formats = 'jwt': {NO_LIST}"], id="a format in no list"
        ),
        pytest.param({"token_types": list[str]()}, [f"token_types = []: {EMPTY}"], id="no type"),
        pytest.param({"token_types": ["*"]}, [f"token_types[0] = '*': {NO_TYPE}"], id="every type"),
        pytest.param({"token_types": "JWT"}, [f"token_types = 'JWT': {NO_LIST}"], id="a type in no list"),
        pytest.param({"scope_claims": "scp"}, [f"scope_claims = 'scp': {NO_LIST}"], id="a claim in no list"),
        pytest.param(
            {"scope_claims": ["scp", ""]}, [f"scope_claims[1] = '': {TEXT}"], id="a claim without a name"
        ),
        pytest.param(
            {"client_id_claim": ""}, [f"client_id_claim = '': {TEXT}"], id="a client without a name"
        ),
        pytest.param(
            {"token_id_claim": None},
            ["token_id_claim = None: is not a text"],
            id="tokens without an id",
        ),
        pytest.param(
            {"max_token_lifetime": "25h"},
            ["max_token_lifetime = '25h': is more than 86400"],
            id="a token for longer than a day",
        ),
        pytest.param(
            {"max_token_lifetime": "1d"},
            ["max_token_lifetime = '1d': is not a duration such as 30s or 5m"],
            id="a day, as others write it",
        ),
        pytest.param(
            {"jwks_uri": "login.example.com/jwks"},
            [f"jwks_uri = 'login.example.com/jwks': {NO_URL}"],
            id="keys at no URL",
        ),
        pytest.param(
            {"jwks_uri": "https://login.example.com/jwks#a"},
            [f"jwks_uri = 'https://login.example.com/jwks#a': {MORE_THAN_A_URL}"],
            id="a part of a document of keys",
        ),
        pytest.param(
            {"issuer": "https://login.example.com/?t=1"},
            [f"issuer = 'https://login.example.com/?t=1': {MORE_THAN_A_URL}"],
            id="an issuer with a query",
        ),
        pytest.param(
            {"introspection": 7},
            [
                "introspection = 7: is not a mapping",
                "introspection: means nothing unless token_formats has opaque",
                "introspection: needs one of client_secret_file, client_secret_env",
            ],
            id="a number for introspection",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {"client_secret_file": "a"}},
            ["introspection.client_id: is required"],
            id="a secret and nobody whose it is",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "client_id": ""}},
            [f"introspection.client_id = '': {TEXT}"],
            id="a client without a name of its own",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "client_authentication": "none"}},
            [f"introspection.client_authentication = 'none': {AUTHENTICATION}"],
            id="no authentication",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "client_authentication": "private_key_jwt"}},
            [f"introspection.client_authentication = 'private_key_jwt': {AUTHENTICATION}"],
            id="an authentication that there is not",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "max_age": "61s"}},
            ["introspection.max_age = '61s': is more than 60"],
            id="answers that are too old",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "max_age": -1}},
            ["introspection.max_age = -1: is less than 0"],
            id="answers of the future",
        ),
        pytest.param(
            {**OPAQUE, "introspection": {**CLIENT, "endpoint": "/introspect"}},
            [f"introspection.endpoint = '/introspect': {NO_URL}"],
            id="an endpoint without a host",
        ),
        pytest.param(
            {
                "token_types": ["*"],
                "max_token_lifetime": "1d",
                "token_formats": ["opaque"],
                "introspection": {"endpoint": "x", "max_age": 61},
            },
            [
                "token_types[0] = '*': is not a media type such as at+jwt",
                "max_token_lifetime = '1d': is not a duration such as 30s or 5m",
                "introspection.client_id: is required",
                f"introspection.endpoint = 'x': {NO_URL}",
                "introspection.max_age = 61: is more than 60",
                "introspection: needs one of client_secret_file, client_secret_env",
            ],
            id="many at once",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_bad_setting_of_an_issuer_is_one_fault_with_its_sentence(
    changes: dict[str, Any], told: list[str]
) -> None:
    issuer = {"issuer": LOGIN, **changes}

    assert faults(oauth={"issuers": [issuer]}) == [f"oauth.issuers[0].{each}" for each in told]


@pytest.mark.parametrize(
    ("credentials", "kept"),
    [
        pytest.param({"bearer_file": "a"}, Credentials(bearer_file=Path("a")), id="a token in a file"),
        pytest.param({"bearer_env": "A"}, Credentials(bearer_env="A"), id="a token in a variable"),
        pytest.param(
            {"client_credentials": {"client_id": "gate", "client_secret_file": "a", "issuer": LOGIN}},
            Credentials(
                client_credentials=TokenRequest(
                    client_id="gate",
                    client_secret_file=Path("a"),
                    issuer=LOGIN,
                    client_authentication="client_secret_basic",
                    scopes=(),
                )
            ),
            id="client credentials",
        ),
        pytest.param(
            {
                "token_exchange": {
                    "client_id": "gate",
                    "client_secret_env": "A",
                    "client_authentication": "client_secret_post",
                    "token_endpoint": "https://login.example.com/token?tenant=a",
                    "scopes": ["wiki:read", "wiki:write"],
                    "resource": "https://wiki.example.com/mcp",
                    "audience": "wiki",
                }
            },
            Credentials(
                token_exchange=TokenRequest(
                    client_id="gate",
                    client_secret_env="A",
                    client_authentication="client_secret_post",
                    token_endpoint="https://login.example.com/token?tenant=a",
                    scopes=("wiki:read", "wiki:write"),
                    resource="https://wiki.example.com/mcp",
                    audience="wiki",
                )
            ),
            id="an exchange with all that can be said",
        ),
    ],
)
def test_credentials_are_as_they_were_said(credentials: dict[str, Any], kept: Credentials) -> None:
    assert routed(credentials=credentials).routes["docs"].credentials == kept


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        pytest.param("proof", "none", "none", id="no proof"),
        pytest.param("proof", "dpop", "dpop", id="DPoP"),
        pytest.param("proof", "mtls", "mtls", id="a certificate"),
        pytest.param("require_user", True, True, id="a person"),
        pytest.param("require_user", "true", True, id="a person, as a variable says it"),
    ],
)
@pytest.mark.promise("bound-stays-bound")
def test_who_must_ask_and_how_they_prove_it_is_used(name: str, value: Any, kept: Any) -> None:
    assert getattr(routed(**{name: value}).routes["docs"], name) == kept


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"proof": "DPoP"},
            ["proof = 'DPoP': is not 'dpop', 'mtls' or 'none'"],
            id="a proof in capitals",
        ),
        pytest.param(
            {"proof": None}, ["proof = None: is not 'dpop', 'mtls' or 'none'"], id="null for a proof"
        ),
        pytest.param(
            {"proof": ["dpop", "mtls"]},
            ["proof = ['dpop', 'mtls']: is not 'dpop', 'mtls' or 'none'"],
            id="two proofs",
        ),
        pytest.param(
            {"proof": True},
            ["proof = True: is not 'dpop', 'mtls' or 'none'"],
            id="a proof, whichever",
        ),
        pytest.param(
            {"require_user": "maybe"},
            ["require_user = 'maybe': is neither true nor false"],
            id="a person, maybe",
        ),
        pytest.param(
            {"credentials": {"bearer_file": ""}},
            [f"credentials.bearer_file = '': {NO_FILE}"],
            id="a token in no file",
        ),
        pytest.param(
            {"credentials": {"bearer_env": ""}},
            [f"credentials.bearer_env = '': {NO_VARIABLE}"],
            id="a token in no variable",
        ),
        pytest.param(
            {"credentials": {"token_exchange": {**REQUEST, "issuer": "login"}}},
            [f"credentials.token_exchange.issuer = 'login': {NO_URL}"],
            id="an issuer that is no URL",
        ),
        pytest.param(
            {"credentials": {"token_exchange": {**REQUEST, "resource": "wiki"}}},
            [f"credentials.token_exchange.resource = 'wiki': {NO_URL}"],
            id="a resource that is no URL",
        ),
        pytest.param(
            {"credentials": {"token_exchange": {**REQUEST, "resource": "https://a.example/?b"}}},
            [f"credentials.token_exchange.resource = 'https://a.example/?b': {MORE_THAN_A_URL}"],
            id="a resource with a query",
        ),
        pytest.param(
            {"credentials": {"token_exchange": {**REQUEST, "audience": ""}}},
            [f"credentials.token_exchange.audience = '': {TEXT}"],
            id="an audience without a name",
        ),
        pytest.param(
            {"credentials": {"token_exchange": {**REQUEST, "scopes": ["a b"]}}},
            [f"credentials.token_exchange.scopes[0] = 'a b': {NO_SCOPE}"],
            id="two scopes in one",
        ),
        pytest.param(
            {"credentials": {"client_credentials": {**CLIENT, "token_endpoint": "/token"}}},
            [f"credentials.client_credentials.token_endpoint = '/token': {NO_URL}"],
            id="an endpoint that is no URL",
        ),
        pytest.param(
            {"credentials": {"client_credentials": {**REQUEST, "client_authentication": "tls"}}},
            [f"credentials.client_credentials.client_authentication = 'tls': {AUTHENTICATION}"],
            id="an authentication that there is not",
        ),
        pytest.param(
            {
                "proof": "jwt",
                "require_user": 7,
                "credentials": {"client_credentials": {"client_id": "", "scopes": [""]}},
            },
            [
                "proof = 'jwt': is not 'dpop', 'mtls' or 'none'",
                "require_user = 7: is neither true nor false",
                f"credentials.client_credentials.client_id = '': {TEXT}",
                f"credentials.client_credentials.scopes[0] = '': {NO_SCOPE}",
                "credentials.client_credentials: needs one of client_secret_file, client_secret_env",
                "credentials.client_credentials: needs one of issuer, token_endpoint",
            ],
            id="all of them",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_bad_proof_and_bad_credentials_are_told_with_their_sentences(
    changes: dict[str, Any], told: list[str]
) -> None:
    assert faults(routes={"docs": {"tools": ["a"], **changes}}) == [f"routes.docs.{each}" for each in told]


PASTED = "s3cr3t-pasted-into-the-file"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"introspection": {"client_id": "gate", "client_secret": PASTED}}, id="a secret of introspection"
        ),
        pytest.param(
            {"introspection": {**CLIENT, "client_secret_env": PASTED}}, id="a secret for a variable"
        ),
        pytest.param({"introspection": {**CLIENT, "client_secret_file": [PASTED]}}, id="a secret in a list"),
        pytest.param({"introspection": {**CLIENT, "password": PASTED}}, id="a password"),
        pytest.param({"introspection": PASTED}, id="a secret for a section"),
        pytest.param({"introspection": [{"client_secret": PASTED}]}, id="a section in a list"),
        pytest.param({"client_secret": PASTED}, id="a secret one level too high"),
        pytest.param({"jwks_uri": f"https://gate:{PASTED}@login.example.com/jwks"}, id="a password in a URL"),
        pytest.param(
            {"introspection": {**CLIENT, "endpoint": f"https://gate:{PASTED}@login.example.com/"}},
            id="a password in the URL of an endpoint",
        ),
        pytest.param({"issuer": f"https://{PASTED}@login.example.com/"}, id="a user in an issuer"),
    ],
)
@pytest.mark.promise("token-stays-here")
def test_a_secret_of_an_issuer_that_somebody_wrote_down_is_a_fault_that_does_not_show_it(
    changes: dict[str, Any],
) -> None:
    issuer = {"issuer": LOGIN, "token_formats": ["opaque"], "introspection": CLIENT, **changes}

    assert PASTED not in "\n".join(faults(oauth={"issuers": [issuer]}))


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param({"bearer": PASTED}, id="a token"),
        pytest.param({"bearer_token": PASTED}, id="a token by another name"),
        pytest.param({"bearer_env": PASTED}, id="a token for a variable"),
        pytest.param({"bearer_file": {"bearer": PASTED}}, id="a token for a file"),
        pytest.param(PASTED, id="a token for the section"),
        pytest.param([PASTED], id="a token in a list"),
        pytest.param({"client_credentials": PASTED}, id="a secret for client credentials"),
        pytest.param({"client_credentials": {**REQUEST, "client_secret": PASTED}}, id="a client's secret"),
        pytest.param({"token_exchange": {**REQUEST, "client_secret": PASTED}}, id="a secret of an exchange"),
        pytest.param(
            {"token_exchange": {**REQUEST, "client_secret_env": PASTED}}, id="a secret for its name"
        ),
        pytest.param({"client_secret": PASTED}, id="a secret one level too high"),
    ],
)
@pytest.mark.promise("token-stays-here")
def test_a_secret_of_a_route_that_somebody_wrote_down_is_a_fault_that_does_not_show_it(
    credentials: Any,
) -> None:
    assert PASTED not in "\n".join(faults(routes={"docs": {"tools": ["a"], "credentials": credentials}}))


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"CREDENTIALS__BEARER": PASTED}, id="a token"),
        pytest.param({"CREDENTIALS__TOKEN_EXCHANGE__CLIENT_SECRET": PASTED}, id="a secret"),
        pytest.param({"CREDENTIALS": f'{{"bearer": "{PASTED}"}}'}, id="a token in JSON"),
        pytest.param({"CREDENTIALS": f'{{"bearer": "{PASTED}"'}, id="a token in half of JSON"),
    ],
)
@pytest.mark.promise("token-stays-here")
def test_a_secret_in_a_variable_for_a_setting_is_a_fault_that_does_not_show_it(
    file: Path, environment: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_file(
            file, {f"TUNNELGATE_ROUTES__DOCS__{name}": text for name, text in environment.items()}
        )

    assert PASTED not in str(caught.value)


def test_what_is_wrong_beside_a_secret_is_shown() -> None:
    credentials = {"token_exchange": {**REQUEST, "scopes": ["a b"], "client_secret": PASTED}}

    assert faults(routes={"docs": {"tools": ["a"], "credentials": credentials}})[0].startswith(
        "routes.docs.credentials.token_exchange.scopes[0] = 'a b': "
    )


def warnings_of(
    *issuers: Mapping[str, Any], allowed_ips: Sequence[str] | None = None, **route: Any
) -> tuple[str, ...]:
    oauth = {"issuers": issuers, "allowed_ips": allowed_ips}
    return policy(oauth=oauth, routes={"docs": {"tools": ["a"], **route}}).warnings


NOT_FOR_ACCESS = (
    "is also the type of tokens that are not made for access; only their audience tells them apart"
)


@pytest.mark.parametrize(
    ("types", "named"),
    [
        pytest.param(["at+jwt"], None, id="the type of RFC 9068"),
        pytest.param(["AT+JWT"], None, id="in capitals"),
        pytest.param(["application/at+jwt"], None, id="in full"),
        pytest.param(["application/AT+JWT"], None, id="in full and in capitals"),
        pytest.param(["at+jwt", "JWT"], "JWT", id="the type of all JWTs"),
        pytest.param(["JWT", "jose", "at+jwt"], "JWT, jose", id="two others"),
    ],
)
def test_who_accepts_tokens_of_other_types_is_warned(types: list[str], named: str | None) -> None:
    told = warnings_of({"issuer": LOGIN}, {"issuer": PARTNER, "token_types": types})

    assert told == (() if named is None else (f"oauth.issuers[1].token_types: {named} {NOT_FOR_ACCESS}",))


@pytest.mark.parametrize(
    ("issuer", "is_warned"),
    [
        pytest.param("https://login.example.com", False, id="TLS"),
        pytest.param("http://login.example.com", True, id="in the clear"),
        pytest.param("HTTP://login.example.com", True, id="in the clear, in capitals"),
        pytest.param("http://10.0.0.7:8080", True, id="an address of the network"),
        pytest.param("http://localhost.example.com", True, id="a name that begins like this machine's"),
        pytest.param("http://notlocalhost", True, id="a name that ends like this machine's"),
        pytest.param("http://127.0.0.1:8080", False, id="this machine"),
        pytest.param("http://[::1]:8080", False, id="this machine in IPv6"),
        pytest.param("http://localhost/realm", False, id="this machine by its name"),
        pytest.param("http://login.tunnel.localhost:8080", False, id="a name of this machine"),
        pytest.param("http://LOGIN.Localhost", False, id="a name of this machine in capitals"),
    ],
)
def test_who_trusts_an_issuer_in_the_clear_is_warned(
    issuer: str,
    is_warned: bool,  # noqa: FBT001
) -> None:
    is_here = issuer.startswith("http:")
    sentence = f"oauth.issuers[0].issuer: whoever is between the gate and {issuer} can make tokens"
    here = f"oauth.issuers[0]: {issuer} is on this machine, and not asked unless oauth.allowed_ips has it"

    assert warnings_of({"issuer": issuer}) == ((sentence,) if is_warned else (here,) if is_here else ())
    assert warnings_of({"issuer": issuer}, allowed_ips=["127.0.0.0/8", "::1"]) == (
        (sentence,) if is_warned else ()
    )
    assert here not in warnings_of({"issuer": issuer, "jwks_file": "jwks.json"})


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        pytest.param({"jwks_uri": "http://keys.example.com/jwks"}, "oauth.issuers[0].jwks_uri", id="keys"),
        pytest.param(
            {
                "token_formats": ["opaque"],
                "introspection": {**CLIENT, "endpoint": "http://login.example.com/introspect"},
            },
            "oauth.issuers[0].introspection.endpoint",
            id="introspection",
        ),
    ],
)
def test_who_asks_an_issuer_in_the_clear_is_warned(issuer: dict[str, Any], path: str) -> None:
    assert [each.partition(": ")[0] for each in warnings_of({"issuer": LOGIN, **issuer})] == [path]


HERE = "http://127.0.0.1:8080"
NOT_ASKED = "is on this machine, and not asked unless oauth.allowed_ips has it"


@pytest.mark.parametrize(
    ("issuer", "asked"),
    [
        pytest.param({"jwks_uri": f"{HERE}/jwks"}, f"{HERE}/jwks", id="for keys"),
        pytest.param({"jwks_uri": "https://[::1]/jwks"}, "https://[::1]/jwks", id="for keys, over TLS"),
        pytest.param({"jwks_file": "jwks.json"}, None, id="for nothing"),
        pytest.param(
            {
                "token_formats": ["opaque"],
                "introspection": {**CLIENT, "endpoint": f"{HERE}/introspect"},
            },
            f"{HERE}/introspect",
            id="about tokens",
        ),
    ],
)
def test_who_trusts_an_issuer_that_is_not_asked_is_warned(issuer: dict[str, Any], asked: str | None) -> None:
    told = warnings_of({"issuer": LOGIN, **issuer})

    assert told == (() if asked is None else (f"oauth.issuers[0]: {asked} {NOT_ASKED}",))
    assert warnings_of({"issuer": LOGIN, **issuer}, allowed_ips=["127.0.0.1", "::1"]) == ()


@pytest.mark.parametrize("kind", ["client_credentials", "token_exchange"])
@pytest.mark.parametrize("name", ["issuer", "token_endpoint"])
def test_who_gets_tokens_from_an_issuer_that_is_not_asked_is_warned(kind: str, name: str) -> None:
    credentials = {kind: {**CLIENT, name: HERE}}

    assert warnings_of({"issuer": LOGIN}, credentials=credentials) == (
        f"routes.docs.credentials.{kind}.{name}: {HERE} {NOT_ASKED}",
    )
    assert warnings_of({"issuer": LOGIN}, allowed_ips=["127.0.0.1"], credentials=credentials) == ()


def test_an_issuer_of_both_kinds_of_tokens_that_is_not_asked_is_warned_about_once() -> None:
    both = {**OPAQUE, "token_formats": ["jwt", "opaque"], "issuer": HERE}

    assert warnings_of(both) == (f"oauth.issuers[0]: {HERE} {NOT_ASKED}",)


def test_an_issuer_of_opaque_tokens_alone_is_asked_where_its_endpoint_is() -> None:
    """Where its endpoint is said, nobody looks for it, and nobody fetches keys of opaque tokens."""
    opaque = {**OPAQUE, "introspection": {**CLIENT, "endpoint": "https://login.example.com/introspect"}}

    assert warnings_of({**opaque, "issuer": HERE}) == ()
    assert warnings_of({**OPAQUE, "issuer": HERE}) == (f"oauth.issuers[0]: {HERE} {NOT_ASKED}",)


@pytest.mark.parametrize("kind", ["client_credentials", "token_exchange"])
@pytest.mark.parametrize(
    ("name", "url", "is_warned"),
    [
        pytest.param("issuer", "http://login.example.com", True, id="an issuer in the clear"),
        pytest.param("token_endpoint", "http://login.example.com/token", True, id="an endpoint in the clear"),
        pytest.param(
            "token_endpoint", "http://127.0.0.1:8080/token", False, id="an endpoint on this machine"
        ),
        pytest.param("token_endpoint", "https://login.example.com/token", False, id="an endpoint behind TLS"),
    ],
)
def test_who_sends_secrets_in_the_clear_is_warned(kind: str, name: str, url: str, is_warned: bool) -> None:  # noqa: FBT001
    credentials = {kind: {**CLIENT, name: url}}
    told = warnings_of({"issuer": LOGIN}, allowed_ips=["0.0.0.0/4"], credentials=credentials)

    assert [each.partition(": ")[0] for each in told] == (
        [f"routes.docs.credentials.{kind}.{name}"] if is_warned else []
    )


def test_warnings_are_about_issuers_and_then_about_routes() -> None:
    issuer = {"issuer": "http://login.example.com", "token_types": ["JWT"]}

    told = warnings_of(issuer, tools="*", allow_all_tools=True)

    assert [each.partition(": ")[0] for each in told] == [
        "oauth.issuers[0].token_types",
        "oauth.issuers[0].issuer",
        "routes.docs.tools",
    ]


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
LEVELS = "'alert', 'critical', 'debug', 'emergency', 'error', 'info', 'notice' or 'warning'"
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
            ["allow_all_tools = 'perhaps': is neither true nor false"],
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
            [f"client_log_level = 'warn': is not {LEVELS}"],
            id="a level of ours",
        ),
        pytest.param(
            {"client_log_level": "DEBUG"},
            [f"client_log_level = 'DEBUG': is not {LEVELS}"],
            id="a level in capitals",
        ),
        pytest.param(
            {"tasks": "maybe"},
            ["tasks = 'maybe': is neither true nor false"],
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
            ["claims. = '': is empty"],
            id="a claim without a name",
        ),
        pytest.param({"claims": ["d"]}, ["claims = ['d']: is not a mapping"], id="claims in a list"),
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
        f"routes.docs.client_log_level = 'loud': is not {LEVELS}",
        "routes.docs.tasks = 'maybe': is neither true nor false",
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


def test_the_root_may_be_public_and_is_that_path_alone() -> None:
    assert tuple(Route(public_paths=["/"]).public_paths) == ("/",)


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
        pytest.param({"zzz": {}}, "zzz = {}: is not a key", id="a key like no other"),
        pytest.param(
            {"tls": {"cert_file": "a", "key_file": "b", "client_ca": "c"}},
            "tls.client_ca = 'c': is not a key; client_ca_file is",
            id="a key of TLS",
        ),
        pytest.param(
            {"dpop": {"max_ages": 7}}, "dpop.max_ages = 7: is not a key; max_age is", id="a key of proofs"
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": LOGIN, "token_type": ["JWT"]}]}},
            "oauth.issuers[0].token_type = ['JWT']: is not a key; token_types is",
            id="a key of an issuer",
        ),
        pytest.param(
            {"oauth": {"issuers": [{**OPAQUE, "introspection": {**CLIENT, "max_ages": 7}}]}},
            "oauth.issuers[0].introspection.max_ages = 7: is not a key; max_age is",
            id="a key of introspection",
        ),
        pytest.param(
            {"routes": {"docs": {"tools": ["a"], "proofs": "dpop"}}},
            "routes.docs.proofs = 'dpop': is not a key; proof is",
            id="a key of a route",
        ),
        pytest.param(
            {"routes": {"docs": {"tools": ["a"], "credentials": {"bearer_env": "A", "exchange": 7}}}},
            "routes.docs.credentials.exchange = 7: is not a key; token_exchange is",
            id="a key of credentials",
        ),
        pytest.param(
            {
                "routes": {
                    "docs": {"tools": ["a"], "credentials": {"token_exchange": {**REQUEST, "scope": []}}}
                }
            },
            "routes.docs.credentials.token_exchange.scope = []: is not a key; scopes is",
            id="a key of an exchange",
        ),
        pytest.param(
            {
                "routes": {
                    "docs": {
                        "tools": ["a"],
                        "credentials": {"client_credentials": {**REQUEST, "audienc": 7}},
                    }
                }
            },
            "routes.docs.credentials.client_credentials.audienc = 7: is not a key; audience is",
            id="a key of client credentials",
        ),
        pytest.param({"self": 1}, "self = 1: is not a key", id="self"),
        pytest.param({"data": 1}, "data = 1: is not a key", id="data"),
        pytest.param({"cls": 1}, "cls = 1: is not a key; tls is", id="cls"),
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
        "  log_level = 'loud': is not 'debug', 'error', 'info' or 'warn'",
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
        oauth={"issuers": [{"issuer": LOGIN, "token_formats": ["opaque"]}, {"issuer": LOGIN}]}, routes=routes
    ) == [
        "routes.docs.tools[0] = '*': is a pattern; list the names one by one",
        "routes.x:1 = 'x:1': names a port; ports are listed beside the hosts",
        "oauth.issuers[0]: makes opaque tokens, and has no introspection to ask about them",
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


def test_variables_say_how_callers_and_the_gate_prove_who_they_are(file: Path) -> None:
    made = Policy.from_file(
        file,
        {
            "TUNNELGATE_TLS__CERT_FILE": "server.pem",
            "TUNNELGATE_TLS__KEY_FILE": "/run/secrets/server.key",
            "TUNNELGATE_DPOP__REQUIRE_NONCE": "true",
            "TUNNELGATE_DPOP__MAX_AGE": "30s",
            "TUNNELGATE_ROUTES__DOCS__PROOF": "dpop",
            "TUNNELGATE_ROUTES__DOCS__REQUIRE_USER": "yes",
            "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__TOKEN_EXCHANGE__ISSUER": LOGIN,
            "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__TOKEN_EXCHANGE__CLIENT_ID": "gate",
            "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__TOKEN_EXCHANGE__CLIENT_SECRET_ENV": "DOCS_SECRET",
            "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__TOKEN_EXCHANGE__SCOPES": '["wiki:read"]',
            "TUNNELGATE_OAUTH__ISSUERS": f'[{{"issuer": "{PARTNER}", "algorithms": ["EdDSA"]}}]',
        },
    )

    route = made.routes["docs"]
    assert made.tls == Tls(cert_file="server.pem", key_file="/run/secrets/server.key")
    assert made.dpop == Dpop(require_nonce=True, max_age=30)
    assert (route.proof, route.require_user, route.tools) == ("dpop", True, ("search_docs",))
    assert route.credentials == Credentials(
        token_exchange=TokenRequest(
            issuer=LOGIN, client_id="gate", client_secret_env="DOCS_SECRET", scopes=["wiki:read"]
        )
    )
    assert [(each.issuer, each.algorithms) for each in made.issuers("docs")] == [(PARTNER, ("EdDSA",))]


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
    assert made.endpoints(name) == tuple(
        resource.replace(f"//{hostnames[0]}", f"//{each}") for each in hostnames
    )


def test_a_name_in_capitals_is_the_name_in_small_letters() -> None:
    made = policy(routes={"Docs": {"tools": ["a"], "path": "/v1"}})

    assert list(made.routes) == ["docs"]
    assert made.resource("docs") == "https://docs.tunnel.example.com/v1"


def test_a_resource_may_be_said() -> None:
    made = routed(resource="https://docs.example.com/mcp/")

    assert made.resource("docs") == "https://docs.example.com/mcp/"
    assert made.endpoints("docs") == ("https://docs.tunnel.example.com/mcp",)


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
    [
        "clients",
        "routes",
        "oauth",
        "limits",
        "audit",
        "tunnel_domain",
        "sealing_keys",
        "tls",
        "dpop",
        "upstream",
        "socket_mode",
        "warnings",
        "new",
    ],
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
        IntrospectionClient(client_id="gate"),
        Issuer(issuer=LOGIN),
        OAuth(issuers=[Issuer(issuer=LOGIN)]),
        Dpop(),
        Tls(cert_file="a.pem", key_file="a.key"),
        TokenRequest(client_id="gate"),
        Credentials(),
        Rule(),
        Route(),
        Audit(),
        Limits(),
        Upstreams(),
        UpstreamTls(),
        RouteUpstream(url="http://wiki.internal:9000"),
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
    algorithms, formats, types, claims = ["ES256"], ["jwt"], ["at+jwt"], ["scp"]
    proxies, allowed, narrower, named = (
        ["127.0.0.1"],
        ["169.254.0.0/16"],
        ["10.1.0.0/16"],
        ["169.254.169.254"],
    )
    translators, of_issuers = ["64:ff9b::/96"], ["10.7.0.1"]
    route = Route(
        tools=tools,
        scopes=scopes,
        public_paths=scopes[:0],
        prompts=prompts,
        resources=resources,
        methods=methods,
        claims={"department": departments},
    )
    request = TokenRequest(client_id="gate", scopes=scopes)
    issuers.append(
        Issuer.model_validate(
            {
                "issuer": PARTNER,
                "algorithms": algorithms,
                "token_formats": formats,
                "token_types": types,
                "scope_claims": claims,
            }
        )
    )
    made = (
        Clients(allowed_ips=networks, address_from="forwarded", trusted_proxies=proxies),
        OAuth(issuers=issuers, allowed_ips=of_issuers),
        Upstreams(allowed_ips=allowed, allow_metadata=named, allow_wrapped=translators),
        RouteUpstream(url="http://wiki.internal:9000", allowed_ips=narrower),
        route,
        Rule(claims={"a": departments}),
        request,
    )
    before = repr(made)

    for changed in (networks, proxies, allowed, narrower, named, translators, of_issuers):
        changed.append("0.0.0.0/0")
    tools.append("delete_docs")
    prompts.append("*")
    resources.append("docs:///{+path}")
    methods.append("acme/y")
    departments.append("everybody")
    scopes.clear()
    algorithms.append("RS256")
    formats.append("opaque")
    types.append("JWT")
    claims.append("roles")
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
