import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.tokens import ISSUER, jwks
from tunnelgate import Policy
from tunnelgate_app.reloading.changes import (
    Changes,
    compare,
    content_of,
    contents_of,
    effective_rules,
    revision_of,
)
from tunnelgate_app.reloading.fixed import fixed_faults

DOCS, WIKI, SHOP = "docs.example.com", "wiki.example.com", "shop.example.com"
PARTNER = "https://login.partner.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("jwks.json", "partner.json"):
        (tmp_path / name).write_bytes(jwks("ES256"))
    for name in ("ca.pem", "seal.key", "secret", "server.pem", "server.key"):
        (tmp_path / name).write_text(name * 10)
    return tmp_path


def describe(folder: Path, change: "Change | None" = None) -> Policy:
    described: dict[str, Any] = {
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {
            "issuers": [
                {"issuer": ISSUER, "jwks_file": folder / "jwks.json"},
                {"issuer": PARTNER, "jwks_file": folder / "partner.json"},
            ]
        },
        "tls": {"cert_file": folder / "server.pem", "key_file": folder / "server.key"},
        "upstream": {"tls": {"ca_file": folder / "ca.pem"}},
        "sealing_keys": [folder / "seal.key"],
        "routes": {
            DOCS: {"mount": "a:b", "tools": ["search"], "issuers": [ISSUER]},
            WIKI: {"upstream": "https://wiki.internal:9000", "tools": ["search"], "issuers": [PARTNER]},
            SHOP: {
                "mount": "a:b",
                "tools": ["buy"],
                "proof": "mtls",
                "credentials": {"bearer_file": folder / "secret"},
            },
        },
        "audit": {"file": str(folder / "audit.jsonl")},
    }
    if change is not None:
        change(described)
    return Policy.from_mapping(described)


def rules(policy: Policy) -> tuple[dict[str, str], str]:
    contents = contents_of(policy)
    found = effective_rules(policy, contents)
    return found, revision_of(policy, contents, found)


Change = Callable[[dict[str, Any]], None]


def sets_in(*keys: str | int, **more: Any) -> Change:
    """Return a change to a section of a configuration."""

    def change(described: Any) -> None:
        for key in keys:
            described = described[key]
        described.update(more)

    return change


def routes(name: str, **more: Any) -> Change:
    return sets_in("routes", name, **more)


def sets(**more: Any) -> Change:
    return sets_in(**more)


ALL = {DOCS, WIKI, SHOP}
SOCKET: dict[str, Any] = {
    "listen_addr": "unix:/run/tunnelgate/gate.sock",
    "clients": {"allowed_ips": ["10.0.0.0/8"], "address_from": "x-forwarded-for", "trust_unix_socket": True},
}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        pytest.param(routes(DOCS, tools=["search", "read"]), {DOCS}, id="a route"),
        pytest.param(routes(DOCS, options={"limit": 1}), {DOCS}, id="an option"),
        pytest.param(sets(clients={"allowed_ips": ["127.0.0.2"]}), ALL, id="whoever may come"),
        pytest.param(sets(limits={"body_bytes": 4096}), ALL, id="a bound"),
        pytest.param(sets(dpop={"max_age": 30}), ALL, id="how old a proof may be"),
        pytest.param(sets(public_port=8443), ALL, id="how clients reach the gate"),
        pytest.param(sets(sealing_keys=[]), ALL, id="what names are sealed with"),
        pytest.param(
            sets(upstream={"tls": {"include_system_cas": True}}), {WIKI}, id="how servers are reached"
        ),
        pytest.param(
            sets_in("oauth", "issuers", 1, algorithms=["ES256"]),
            {WIKI, SHOP},
            id="an issuer",
        ),
        pytest.param(
            sets_in("oauth", allowed_ips=["10.0.0.0/8"]),
            ALL,
            id="where issuers are asked",
        ),
        pytest.param(
            sets_in("tls", client_ca_file="other.pem"),
            {SHOP},
            id="who vouches for clients",
        ),
        pytest.param(sets(log_level="debug"), set[str](), id="the level of the log"),
        pytest.param(sets(audit={"file": "other.jsonl"}), set[str](), id="where records go"),
        pytest.param(sets(shutdown_timeout=7), set[str](), id="how long the gate takes to stop"),
    ],
)
def test_the_routes_that_a_setting_changes_and_the_revision_always(
    folder: Path, change: Change, changed: set[str]
) -> None:
    before, first = rules(describe(folder))
    after, second = rules(describe(folder, change))

    assert compare(before, after).changed == changed
    assert first != second


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        pytest.param("jwks.json", {DOCS, SHOP}, id="the keys of an issuer"),
        pytest.param("partner.json", {WIKI, SHOP}, id="those of another"),
        pytest.param("ca.pem", {WIKI}, id="the CAs of servers"),
        pytest.param("seal.key", ALL, id="what names are sealed with"),
        pytest.param("secret", {SHOP}, id="a secret"),
        pytest.param("server.pem", set[str](), id="the certificate of the listener"),
    ],
)
def test_the_routes_that_the_content_of_a_file_changes_and_the_revision_always(
    folder: Path, file: str, changed: set[str]
) -> None:
    policy = describe(folder)
    before, first = rules(policy)
    (folder / file).write_bytes(jwks("RS256"))
    after, second = rules(policy)

    assert compare(before, after).changed == changed
    assert first != second


def test_the_same_configuration_has_the_same_revision_which_tells_nothing(folder: Path) -> None:
    revisions = {rules(describe(folder))[1] for _ in range(3)}

    (revision,) = revisions
    assert re.fullmatch(r"[0-9a-f]{12}", revision)


def test_routes_that_come_and_go_are_told_by_their_names() -> None:
    changes = compare({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"})

    assert changes == Changes(added=("d",), removed=("a",), changed=frozenset({"c"}))
    assert str(changes) == "1 route changed, 1 added, 1 removed"
    assert str(compare({}, {})) == "0 routes changed, 0 added, 0 removed"


def test_a_file_that_cannot_be_read_is_another_one_than_any_that_can(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert content_of(str(tmp_path / "missing")) == ""
    assert content_of(str(tmp_path / "empty")) != ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(sets(listen_addr="127.0.0.1:1"), "listen_addr = '127.0.0.1:1'", id="where it listens"),
        pytest.param(sets(**SOCKET, socket_mode="0660"), "socket_mode = 0o660", id="who may connect to it"),
        pytest.param(sets(transport="tunnel"), "transport = 'tunnel'", id="what is spoken there"),
        pytest.param(sets(shutdown_timeout=3), "shutdown_timeout = 3.0", id="how long it takes to stop"),
        pytest.param(sets(tls=None), "tls", id="that it speaks TLS"),
    ],
)
@pytest.mark.promise("changes-whole")
def test_what_cannot_change_while_the_gate_runs_is_a_fault(folder: Path, change: Change, fault: str) -> None:
    after = describe(folder, change)
    before = describe(folder, sets(**SOCKET) if after.listen_addr == SOCKET["listen_addr"] else sets())

    assert [str(each) for each in fixed_faults(before, after)] == [
        f"{fault}: cannot change while the gate runs; restart it"
    ]
    assert fixed_faults(before, before) == []
