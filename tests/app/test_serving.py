import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.tokens import jwks
from tunnelgate import ConfigurationError, Policy
from tunnelgate_app.serving import listener_faults, listener_tls, prepare

NO_SOCKET = "means nothing unless listen_addr is a Unix socket"
NOBODY_ASKS = "needs tls.client_ca_file: otherwise nobody asks clients for their certificates"


def policy(folder: Path, route: Mapping[str, Any], **more: Any) -> Policy:
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {
                "issuers": [{"issuer": "https://login.example.com", "jwks_file": folder / "jwks.json"}]
            },
            "routes": {"docs.example.com": {"mount": "starlette.applications:Starlette", **route}},
            "audit": {"file": str(folder / "audit.jsonl")},
            **more,
        }
    )


def tls_files(folder: Path, *, client_ca: bool) -> dict[str, Any]:
    authority = Authority("gate")
    certificate, key = authority.issue_for_server("docs.example.com").write(folder, "server")
    files: dict[str, Any] = {"cert_file": certificate, "key_file": key}
    return {**files, "client_ca_file": authority.write(folder, "ca")} if client_ca else files


def test_without_tls_the_gateway_listens_in_the_clear(tmp_path: Path) -> None:
    gateway, tls = prepare(policy(tmp_path, {"tools": ["a"]}))

    assert callable(gateway)
    assert tls is None


@pytest.mark.parametrize(
    ("client_ca", "mode"),
    [
        pytest.param(True, ssl.CERT_OPTIONAL, id="who asks clients for certificates"),
        pytest.param(False, ssl.CERT_NONE, id="who asks for none"),
    ],
)
def test_with_tls_the_listener_is(tmp_path: Path, mode: ssl.VerifyMode, *, client_ca: bool) -> None:
    files = tls_files(tmp_path, client_ca=client_ca)

    tls = listener_tls(policy(tmp_path, {"tools": ["a"]}, tls=files))

    assert tls is not None
    assert tls.verify_mode is mode


@pytest.mark.parametrize(
    ("proof", "client_ca", "sentences"),
    [
        pytest.param("mtls", False, [NOBODY_ASKS], id="certificates that nobody asks for"),
        pytest.param("mtls", True, [], id="certificates that are asked for"),
        pytest.param("dpop", False, [], id="proofs in a header"),
        pytest.param("none", False, [], id="no proof"),
    ],
)
def test_a_route_that_needs_more_of_the_listener_than_it_has_is_a_fault(
    tmp_path: Path, proof: str, sentences: list[str], *, client_ca: bool
) -> None:
    made = policy(tmp_path, {"tools": ["a"], "proof": proof}, tls=tls_files(tmp_path, client_ca=client_ca))

    assert [(fault.path, fault.sentence) for fault in listener_faults(made)] == [
        ('routes."docs.example.com".proof', sentence) for sentence in sentences
    ]


@pytest.mark.parametrize(
    ("listen_addr", "trusts", "sentences"),
    [
        pytest.param("127.0.0.1:8080", True, [NO_SOCKET], id="which it does not have"),
        pytest.param("unix:/run/tunnelgate/gate.sock", True, [], id="which it has"),
        pytest.param("127.0.0.1:8080", False, [], id="in which nobody trusts"),
    ],
)
def test_a_unix_socket_in_which_clients_are_trusted_is_one_that_the_gate_listens_on(
    tmp_path: Path, listen_addr: str, sentences: list[str], *, trusts: bool
) -> None:
    clients = {
        "allowed_ips": ["10.0.0.0/8"],
        "address_from": "x-forwarded-for",
        **({"trust_unix_socket": True} if trusts else {"trusted_proxies": ["127.0.0.1"]}),
    }
    made = policy(tmp_path, {"tools": ["a"]}, clients=clients, listen_addr=listen_addr)

    assert [(fault.path, fault.value, fault.sentence) for fault in listener_faults(made)] == [
        ("clients.trust_unix_socket", "True", sentence) for sentence in sentences
    ]


def test_a_gate_that_trusts_in_a_unix_socket_that_it_does_not_have_is_not_served(tmp_path: Path) -> None:
    clients = {
        "allowed_ips": ["10.0.0.0/8"],
        "address_from": "x-forwarded-for",
        "trusted_proxies": ["127.0.0.1"],
        "trust_unix_socket": True,
    }

    with pytest.raises(ConfigurationError) as caught:
        prepare(policy(tmp_path, {"tools": ["a"]}, clients=clients))

    assert [str(fault) for fault in caught.value.faults] == [f"clients.trust_unix_socket = True: {NO_SOCKET}"]


def test_everything_that_is_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    route = {"tools": ["a"], "proof": "mtls", "mount": "nowhere:create_app"}
    clients = {"allowed_ips": ["127.0.0.1"], "address_from": "forwarded", "trust_unix_socket": True}
    files = {"cert_file": tmp_path / "no.pem", "key_file": tmp_path / "no.key"}
    made = policy(tmp_path, route, tls=files, clients=clients)

    with pytest.raises(ConfigurationError) as caught:
        prepare(made)

    assert [fault.path for fault in caught.value.faults] == [
        "clients.trust_unix_socket",
        'routes."docs.example.com".proof',
        "tls.cert_file",
        "tls.key_file",
        'routes."docs.example.com".mount',
    ]
