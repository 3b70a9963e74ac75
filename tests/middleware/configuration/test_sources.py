import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnelgate import ConfigurationError, Policy
from tunnelgate.configuration.sources import (
    RESERVED,
    beside,
    files_of,
    in_full,
    read_environment,
    read_yaml,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gate.yaml"


def fault_in(file: Path, content: str | bytes) -> str:
    """Return the one fault that reading ``content`` tells of."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(file)
    (fault,) = caught.value.faults
    assert (caught.value.source, fault.path, fault.value) == (str(file), str(file), "")
    return fault.sentence


def test_a_file_is_read_as_the_mapping_that_it_is(file: Path) -> None:
    file.write_text(
        """
        # a comment
        listen_addr: ":8080"
        routes: {docs: {tools: [search, "on"], options: {roots: [a, b], ratio: 0.5, since: 2026-01-31}}}
        """,
        "utf-8",
    )

    read = read_yaml(file)

    assert read["listen_addr"] == ":8080"
    assert read["routes"]["docs"]["tools"] == ["search", "on"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("", "is not a mapping of settings", id="nothing"),
        pytest.param("# only a comment\n", "is not a mapping of settings", id="a comment"),
        pytest.param("- a\n- b\n", "is not a mapping of settings", id="a list"),
        pytest.param("text", "is not a mapping of settings", id="a text"),
        pytest.param("a: 1\na: 2\n", "is not YAML in line 2: the key 'a' stands twice", id="a key twice"),
        pytest.param(
            "a:\n  b: 1\n  c: 2\n  b: 3\n",
            "is not YAML in line 4: the key 'b' stands twice",
            id="a key twice below another",
        ),
        pytest.param(
            "a:\n  - {b: 1, 'b': 2}\n",
            "is not YAML in line 2: the key 'b' stands twice",
            id="twice in a list",
        ),
        pytest.param(
            'a: 1\n"\\x61": 2\n', "is not YAML in line 2: the key 'a' stands twice", id="twice, once escaped"
        ),
        pytest.param("on: 1\n", "is not YAML in line 1: the key True is not a text", id="a key that is true"),
        pytest.param(
            "8080: 1\n", "is not YAML in line 1: the key 8080 is not a text", id="a key with digits"
        ),
        pytest.param(
            "? [a]\n: 1\n", "is not YAML in line 1: the key ['a'] is not a text", id="a key that is a list"
        ),
        pytest.param("a: [1\nb: 2", "is not YAML in line 2: ", id="a list without an end"),
        pytest.param("a: 1\n\tb: 2", "is not YAML in line 2: ", id="a tab"),
        pytest.param("a: *x", "is not YAML in line 1: found undefined alias", id="an alias of nothing"),
        pytest.param(
            "a: 1\n---\nb: 2\n", "is not YAML in line 2: but found another document", id="two of them"
        ),
        pytest.param(
            "a: !!python/object/apply:os.system [id]",
            "is not YAML in line 1: could not determine a constructor",
            id="a call",
        ),
        pytest.param("a: !secret x", "is not YAML in line 1: could not determine a", id="an unknown tag"),
        pytest.param(
            "a: &a {b: 1}\nc: {<<: *a}\n", "is not YAML in line 2: could not determine a", id="a merge"
        ),
        pytest.param("a: \0", "is not YAML: unacceptable character #x0000", id="a zero octet"),
        pytest.param(b"a: \xff\xfe", "cannot be read: it is not UTF-8", id="not UTF-8"),
        pytest.param("a: ü".encode("utf-16"), "cannot be read: it is not UTF-8", id="UTF-16"),
        pytest.param("a: 2026-13-01", "is not YAML", id="a date that is none"),
        pytest.param("a: 0x_", "is not YAML", id="a number that is none"),
        pytest.param("a: " + "9" * 5000, "is not YAML", id="a number with more digits than are read"),
        pytest.param("a: !!int ''", "is not YAML", id="an empty number"),
        pytest.param("a: !!bool x", "is not YAML", id="a truth that is none"),
        pytest.param("a: !!timestamp x", "is not YAML", id="a tag that does not fit"),
        pytest.param("a: !!map [x]", "is not YAML", id="a list that calls itself a mapping"),
        pytest.param("a: " + "[" * 2000, "is not YAML", id="lists without end"),
        pytest.param(
            "a: &x [*x]",
            "is not YAML: an alias stands within what it is an alias of",
            id="a list that has itself in it",
        ),
        pytest.param(
            "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
            + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefg")),
            "is not YAML: it has more than 100000 values where its aliases are written out",
            id="aliases that multiply",
        ),
        pytest.param("a: " + "x" * 1024 * 1024, "is larger than 1048576 octets", id="more than is read"),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_what_is_not_one_mapping_is_refused_with_a_sentence(
    file: Path, content: str | bytes, sentence: str
) -> None:
    assert fault_in(file, content).startswith(sentence)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"

    with pytest.raises(ConfigurationError, match=r"missing\.yaml: cannot be read: No such file or directory"):
        read_yaml(missing)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)


@given(content=st.text("ab019:-[]{},#&*!?|>'\"%@` \t\n<=._~xéü\U0001f511\0", max_size=60))
@settings(max_examples=300)
def test_no_text_makes_the_reader_raise_anything_else(
    content: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_text(content, "utf-8", newline="")

    try:
        read = read_yaml(file)
    except ConfigurationError as error:
        assert len(error.faults) == 1  # noqa: PT017 - most texts are refused, and some are not
    else:
        assert all(isinstance(key, str) for key in read)


BELOW = Path("/etc/gate")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param({"audit": {"file": "a.jsonl"}}, {"audit": {"file": "/etc/gate/a.jsonl"}}, id="a name"),
        pytest.param({"audit": {"file": "/var/a"}}, {"audit": {"file": "/var/a"}}, id="a full path"),
        pytest.param({"audit": {"file": "-"}}, {"audit": {"file": "-"}}, id="standard output"),
        pytest.param(
            {"oauth": {"issuers": [{"jwks_file": "a"}, {"jwks_uri": "b"}, {"jwks_file": "../c"}]}},
            {
                "oauth": {
                    "issuers": [
                        {"jwks_file": "/etc/gate/a"},
                        {"jwks_uri": "b"},
                        {"jwks_file": "/etc/gate/../c"},
                    ]
                }
            },
            id="each issuer",
        ),
        pytest.param(
            {"sealing_keys": ["new.key", "/run/secrets/old.key", "../older.key"]},
            {"sealing_keys": ["/etc/gate/new.key", "/run/secrets/old.key", "/etc/gate/../older.key"]},
            id="each sealing key",
        ),
        pytest.param(
            {"tls": {"cert_file": "a.pem", "key_file": "a.key", "client_ca_file": "../ca.pem"}},
            {
                "tls": {
                    "cert_file": "/etc/gate/a.pem",
                    "key_file": "/etc/gate/a.key",
                    "client_ca_file": "/etc/gate/../ca.pem",
                }
            },
            id="certificates",
        ),
        pytest.param(
            {
                "oauth": {
                    "issuers": [
                        {"introspection": {"client_secret_file": "a", "client_id": "b"}},
                        {"introspection": {"client_secret_env": "A"}},
                    ]
                }
            },
            {
                "oauth": {
                    "issuers": [
                        {"introspection": {"client_secret_file": "/etc/gate/a", "client_id": "b"}},
                        {"introspection": {"client_secret_env": "A"}},
                    ]
                }
            },
            id="secrets for introspection",
        ),
        pytest.param(
            {
                "routes": {
                    "docs": {"credentials": {"bearer_file": "a"}},
                    "wiki": {"credentials": {"client_credentials": {"client_secret_file": "b"}}},
                    "mail": {"credentials": {"token_exchange": {"client_secret_file": "/run/c"}}},
                    "jobs": {"credentials": {"bearer_env": "D"}},
                }
            },
            {
                "routes": {
                    "docs": {"credentials": {"bearer_file": "/etc/gate/a"}},
                    "wiki": {"credentials": {"client_credentials": {"client_secret_file": "/etc/gate/b"}}},
                    "mail": {"credentials": {"token_exchange": {"client_secret_file": "/run/c"}}},
                    "jobs": {"credentials": {"bearer_env": "D"}},
                }
            },
            id="credentials of each route",
        ),
        pytest.param(
            {
                "upstream": {
                    "tls": {"ca_file": "ca.pem", "cert_file": "../gate.pem", "key_file": "/run/gate.key"}
                }
            },
            {
                "upstream": {
                    "tls": {
                        "ca_file": "/etc/gate/ca.pem",
                        "cert_file": "/etc/gate/../gate.pem",
                        "key_file": "/run/gate.key",
                    }
                }
            },
            id="certificates of upstreams",
        ),
        pytest.param(
            {
                "routes": {
                    "docs": {"upstream": {"url": "a", "tls": {"ca_file": "ca.pem"}}},
                    "wiki": {"upstream": {"tls": {"cert_file": "a.pem", "key_file": "/run/a.key"}}},
                    "mail": {"upstream": "http://mail.internal:9000"},
                }
            },
            {
                "routes": {
                    "docs": {"upstream": {"url": "a", "tls": {"ca_file": "/etc/gate/ca.pem"}}},
                    "wiki": {"upstream": {"tls": {"cert_file": "/etc/gate/a.pem", "key_file": "/run/a.key"}}},
                    "mail": {"upstream": "http://mail.internal:9000"},
                }
            },
            id="certificates of the upstream of each route",
        ),
        pytest.param(
            {"upstream": {"tls": ["ca_file"]}, "routes": {"a": {"upstream": {"tls": "ca_file"}}}},
            None,
            id="certificates of upstreams in a list and in a text",
        ),
        pytest.param({"routes": {"docs": {"credentials": "a"}}}, None, id="credentials that are a text"),
        pytest.param({"routes": ["docs"], "tls": ["cert_file"]}, None, id="routes in a list"),
        pytest.param(
            {"routes": {"docs": {"credentials": {"bearer_file": ["a"]}}}}, None, id="a list for a file"
        ),
        pytest.param({"sealing_keys": "new.key"}, None, id="a sealing key that is in no list"),
        pytest.param({"sealing_keys": [7, None]}, None, id="sealing keys that are no texts"),
        pytest.param({"sealing_keys": None}, None, id="sealing keys that are null"),
        pytest.param({"routes": {"a": {"options": {"file": "x"}}}}, None, id="options"),
        pytest.param({"audit": {"file": 7}}, None, id="a file that is a number"),
        pytest.param({"audit": "a.jsonl"}, None, id="a section that is a text"),
        pytest.param({"audit": None, "oauth": {"issuers": None}}, None, id="sections that are null"),
        pytest.param({"oauth": {"issuers": {"jwks_file": "a"}}}, None, id="issuers that are no list"),
        pytest.param({"oauth": ["issuers"], "audit": ["file"]}, None, id="sections that are lists"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_files_are_looked_for_beside_the_file_that_names_them(
    data: dict[str, Any], found: dict[str, Any] | None
) -> None:
    before = repr(data)

    assert beside(BELOW, data) == (data if found is None else found)
    assert repr(data) == before


WIKI = "http://wiki.internal:9000"


@pytest.mark.parametrize(
    ("data", "written"),
    [
        pytest.param(
            {"routes": {"wiki": {"upstream": WIKI, "tools": ["a"]}, "docs": {"mount": "a:b"}}},
            {"routes": {"wiki": {"upstream": {"url": WIKI}, "tools": ["a"]}, "docs": {"mount": "a:b"}}},
            id="a URL alone",
        ),
        pytest.param({"routes": {"wiki": {"upstream": {"url": WIKI}}}}, None, id="a mapping"),
        pytest.param({"routes": {"wiki": {"upstream": None}}}, None, id="null"),
        pytest.param({"routes": {"wiki": {"upstream": 7}}}, None, id="a number"),
        pytest.param(
            {"routes": {"wiki": WIKI, "docs": None, "mail": 7}},
            {"routes": {"wiki": {"upstream": {"url": WIKI}}, "docs": None, "mail": 7}},
            id="a URL for a route",
        ),
        pytest.param({"routes": ["wiki"]}, None, id="routes in a list"),
        pytest.param({"upstream": WIKI}, None, id="the upstream of no route"),
        pytest.param({}, None, id="no routes"),
    ],
)
def test_an_upstream_that_is_a_url_alone_is_written_in_full(
    data: dict[str, Any], written: dict[str, Any] | None
) -> None:
    before = repr(data)

    assert in_full(data) == (data if written is None else written)
    assert repr(data) == before


def over(environment: Mapping[str, str], **data: Any) -> dict[str, Any]:
    return read_environment(Policy, data, environment)


@pytest.mark.parametrize(
    ("environment", "data", "read"),
    [
        pytest.param({}, {"a": 1}, {"a": 1}, id="no variable"),
        pytest.param({"PATH": "x", "TUNNELGATE": "x"}, {}, {}, id="variables of others"),
        pytest.param({"tunnelgate_log_level": "debug"}, {}, {}, id="a variable in lower case"),
        pytest.param(
            {"TUNNELGATE_LOG_LEVEL": "debug"},
            {"log_level": "info"},
            {"log_level": "debug"},
            id="over the file",
        ),
        pytest.param(
            {"TUNNELGATE_LISTEN_ADDR": "127.0.0.1:9000"},
            {"log_level": "info"},
            {"log_level": "info", "listen_addr": "127.0.0.1:9000"},
            id="besides the file",
        ),
        pytest.param(
            {"TUNNELGATE_TUNNEL_DOMAIN": ""},
            {"tunnel_domain": "a"},
            {"tunnel_domain": ""},
            id="an empty value",
        ),
        pytest.param({"TUNNELGATE_PUBLIC_PORT": "443"}, {}, {"public_port": "443"}, id="a number"),
        pytest.param(
            {"TUNNELGATE_HOST_PORTS": "[80, 81]"}, {}, {"host_ports": [80, 81]}, id="a list in JSON"
        ),
        pytest.param(
            {"TUNNELGATE_CLIENTS__ALLOWED_IPS": '["10.0.0.0/8"]'},
            {"clients": {"allowed_ips": ["::1"], "address_from": "peer"}},
            {"clients": {"allowed_ips": ["10.0.0.0/8"], "address_from": "peer"}},
            id="one value of a section",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__SCOPES": '["a"]', "TUNNELGATE_ROUTES__DOCS__PATH": "/x"},
            {"routes": {"docs": {"path": "/mcp", "tools": ["b"]}, "wiki": {}}},
            {"routes": {"docs": {"path": "/x", "tools": ["b"], "scopes": ["a"]}, "wiki": {}}},
            id="two values of one route",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__TOOLS__READ__SCOPES": '["a"]'},
            {},
            {"routes": {"docs": {"tools": {"read": {"scopes": ["a"]}}}}},
            id="a value five levels down",
        ),
        pytest.param(
            {"TUNNELGATE_SEALING_KEYS": '["/run/a.key", "b.key"]'},
            {"sealing_keys": ["/etc/gate/c.key"]},
            {"sealing_keys": ["/run/a.key", "b.key"]},
            id="sealing keys",
        ),
        pytest.param(
            {
                "TUNNELGATE_ROUTES__DOCS__CLAIMS__DEPARTMENT": "support",
                "TUNNELGATE_ROUTES__DOCS__CLAIMS__LEVEL": "[2, 3]",
                "TUNNELGATE_ROUTES__DOCS__CLIENT_LOG_LEVEL": "warning",
                "TUNNELGATE_ROUTES__DOCS__METHODS": '["acme/search"]',
                "TUNNELGATE_ROUTES__DOCS__PROMPTS": '{"greet": {"claims": {"verified": true}}}',
                "TUNNELGATE_ROUTES__DOCS__RESOURCES": '["docs:///{+path}"]',
            },
            {"routes": {"docs": {"claims": {"tenant": "acme"}}}},
            {
                "routes": {
                    "docs": {
                        "claims": {"tenant": "acme", "department": "support", "level": [2, 3]},
                        "client_log_level": "warning",
                        "methods": ["acme/search"],
                        "prompts": {"greet": {"claims": {"verified": True}}},
                        "resources": ["docs:///{+path}"],
                    }
                }
            },
            id="what else a route has",
        ),
        pytest.param(
            {
                "TUNNELGATE_TLS__CERT_FILE": "new.pem",
                "TUNNELGATE_DPOP__MAX_AGE": "30s",
                "TUNNELGATE_ROUTES__DOCS__PROOF": "dpop",
                "TUNNELGATE_ROUTES__DOCS__REQUIRE_USER": "true",
                "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__BEARER_ENV": "DOCS_TOKEN",
                "TUNNELGATE_ROUTES__DOCS__CREDENTIALS__TOKEN_EXCHANGE__SCOPES": '["a"]',
            },
            {"tls": {"cert_file": "/etc/gate/old.pem", "key_file": "/etc/gate/a.key"}},
            {
                "tls": {"cert_file": "new.pem", "key_file": "/etc/gate/a.key"},
                "dpop": {"max_age": "30s"},
                "routes": {
                    "docs": {
                        "proof": "dpop",
                        "require_user": "true",
                        "credentials": {"bearer_env": "DOCS_TOKEN", "token_exchange": {"scopes": ["a"]}},
                    }
                },
            },
            id="proofs, certificates and credentials",
        ),
        pytest.param(
            {
                "TUNNELGATE_UPSTREAM__ALLOWED_IPS": '["192.0.2.0/24"]',
                "TUNNELGATE_UPSTREAM__TLS__CA_FILE": "ca.pem",
                "TUNNELGATE_CLIENTS__ADDRESS_FROM": "forwarded",
                "TUNNELGATE_CLIENTS__TRUSTED_PROXIES": '["127.0.0.1"]',
                "TUNNELGATE_SOCKET_MODE": "0660",
                "TUNNELGATE_OAUTH__ALLOWED_IPS": '["10.0.0.0/8"]',
            },
            {"upstream": {"allowed_ips": ["10.0.0.0/8"], "tls": {"include_system_cas": True}}},
            {
                "upstream": {
                    "allowed_ips": ["192.0.2.0/24"],
                    "tls": {"include_system_cas": True, "ca_file": "ca.pem"},
                },
                "clients": {"address_from": "forwarded", "trusted_proxies": ["127.0.0.1"]},
                "socket_mode": "0660",
                "oauth": {"allowed_ips": ["10.0.0.0/8"]},
            },
            id="addresses on both sides",
        ),
        pytest.param(
            {
                "TUNNELGATE_ROUTES__WIKI__UPSTREAM__URL": "http://other.internal:9000",
                "TUNNELGATE_ROUTES__WIKI__UPSTREAM__MAX_CALLS": "5",
                "TUNNELGATE_ROUTES__WIKI__UPSTREAM__TLS__CERT_FILE": "a.pem",
            },
            {"routes": {"wiki": {"upstream": {"url": WIKI, "allowed_ips": ["10.1.0.0/16"]}}}},
            {
                "routes": {
                    "wiki": {
                        "upstream": {
                            "url": "http://other.internal:9000",
                            "allowed_ips": ["10.1.0.0/16"],
                            "max_calls": "5",
                            "tls": {"cert_file": "a.pem"},
                        }
                    }
                }
            },
            id="values of an upstream",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__WIKI__UPSTREAM": "http://other.internal:9000"},
            {"routes": {"wiki": {"upstream": {"url": WIKI, "allowed_ips": ["10.1.0.0/16"]}}}},
            {
                "routes": {
                    "wiki": {
                        "upstream": {"url": "http://other.internal:9000", "allowed_ips": ["10.1.0.0/16"]}
                    }
                }
            },
            id="another URL of an upstream, which takes nothing else away",
        ),
        pytest.param(
            {
                "TUNNELGATE_ROUTES__WIKI__UPSTREAM": WIKI,
                "TUNNELGATE_ROUTES__WIKI__UPSTREAM__MAX_CALLS": "5",
            },
            {},
            {"routes": {"wiki": {"upstream": {"url": WIKI, "max_calls": "5"}}}},
            id="an upstream, and more of it",
        ),
        pytest.param(
            {"TUNNELGATE_CLIENTS": '{"allowed_ips": ["::1"]}'},
            {"clients": {"address_from": "peer"}},
            {"clients": {"allowed_ips": ["::1"], "address_from": "peer"}},
            id="a section in JSON",
        ),
        pytest.param(
            {"TUNNELGATE_LIMITS": '{"body_bytes": 2048}', "TUNNELGATE_LIMITS__HEADER_BYTES": "4096"},
            {},
            {"limits": {"body_bytes": 2048, "header_bytes": "4096"}},
            id="a section in JSON and one value of it",
        ),
        pytest.param(
            {"TUNNELGATE_OAUTH__ISSUERS": '[{"issuer": "https://a.example"}]'},
            {"oauth": {"issuers": [{"issuer": "https://b.example"}, {"issuer": "https://c.example"}]}},
            {"oauth": {"issuers": [{"issuer": "https://a.example"}]}},
            id="a list in place of another",
        ),
        pytest.param(
            {"TUNNELGATE_CLIENTS__ALLOWED_IPS": '["::1"]'},
            {"clients": ["not", "a", "mapping"]},
            {"clients": {"allowed_ips": ["::1"]}},
            id="a section over what is none",
        ),
        pytest.param(
            {"TUNNELGATE_AUDIT__FILE": "[today].jsonl"},
            {},
            {"audit": {"file": "[today].jsonl"}},
            id="a bracket",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES__DOCS__OPTIONS": '{"greeting": "[hi]", "shape": "[1, 2]"}'},
            {},
            {"routes": {"docs": {"options": {"greeting": "[hi]", "shape": "[1, 2]"}}}},
            id="a text within JSON",
        ),
        pytest.param(
            {"TUNNELGATE_ROUTES": '{"docs": {"options": {"shape": "[1, 2]"}}}'},
            {},
            {"routes": {"docs": {"options": {"shape": "[1, 2]"}}}},
            id="a text within JSON further up",
        ),
        pytest.param(dict.fromkeys(RESERVED, "x"), {}, {}, id="the variables of the commands"),
    ],
)
def test_variables_lie_over_the_file(
    environment: dict[str, str], data: dict[str, Any], read: dict[str, Any]
) -> None:
    before = repr(data)

    assert over(environment, **data) == read
    assert repr(data) == before


def test_without_another_environment_it_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TUNNELGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TUNNELGATE_LOG_LEVEL", "warn")

    assert read_environment(Policy, {"log_level": "info"}, None) == {"log_level": "warn"}


@pytest.mark.parametrize(
    ("environment", "faults"),
    [
        pytest.param(
            {"TUNNELGATE_LOGLEVEL": "debug"}, ["TUNNELGATE_LOGLEVEL: is not a setting"], id="a typo"
        ),
        pytest.param(
            {"TUNNELGATE_B": "1", "TUNNELGATE_A__B": "1", "TUNNELGATE_LOG_LEVEL": "info"},
            ["TUNNELGATE_A__B: is not a setting", "TUNNELGATE_B: is not a setting"],
            id="two that are no settings",
        ),
        pytest.param({"TUNNELGATE_": "x"}, ["TUNNELGATE_: is not a setting"], id="the prefix alone"),
        pytest.param(
            {"TUNNELGATE_WIKI_SECRET": "s3cr3t"},
            ["TUNNELGATE_WIKI_SECRET: is not a setting"],
            id="a secret under our prefix, which is not shown",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_a_variable_that_is_no_setting_is_named(environment: dict[str, str], faults: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"^environment: ") as caught:
        over(environment)

    assert [str(fault) for fault in caught.value.faults] == faults


# The files that a configuration names


def test_every_file_that_is_read_is_named_once_and_the_one_for_records_is_not(tmp_path: Path) -> None:
    secret = {"client_id": "gate", "client_secret_file": "secret"}
    data: dict[str, Any] = {
        "audit": {"file": "audit.jsonl"},
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "tls": {"cert_file": "server.pem", "key_file": Path("server.key"), "client_ca_file": "ca.pem"},
        "upstream": {"tls": {"ca_file": "ca.pem"}},
        "sealing_keys": ["a.key", "b.key"],
        "oauth": {"issuers": [{"issuer": "https://login.example.com", "jwks_file": "jwks.json"}]},
        "routes": {
            "docs.example.com": {"mount": "a:b", "tools": ["a"], "credentials": {"bearer_file": "token"}},
            "wiki.example.com": {
                "upstream": {"url": "https://wiki.internal:9000", "tls": {"ca_file": "wiki.pem"}},
                "tools": ["a"],
                "credentials": {
                    "client_credentials": {**secret, "token_endpoint": "https://login.example.com/token"}
                },
            },
        },
    }
    expected = {
        *("jwks.json", "token", "secret", "wiki.pem", "ca.pem", "a.key", "b.key", "server.pem", "server.key"),
    }

    named = files_of(data)

    assert set(named) == expected
    assert len(named) == len(expected)
    assert set(files_of(Policy.from_mapping(data))) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"tls": None, "oauth": [], "routes": "text", "sealing_keys": 3}, id="the wrong shapes"),
        pytest.param({"routes": {"a": "http://10.0.0.1:80", "b": None}}, id="a route in short"),
        pytest.param({"sealing_keys": [1, None], "oauth": {"issuers": "text"}}, id="the wrong values"),
        pytest.param(None, id="no mapping"),
    ],
)
def test_what_names_no_file_names_none(data: object) -> None:
    assert files_of(data) == ()
