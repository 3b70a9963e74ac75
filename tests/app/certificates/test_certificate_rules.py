import ssl
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA224, SHA384, SHA512
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from tests.app.certificates.crafting import (
    BOTH,
    DAY,
    DOMAIN,
    NOW,
    Extensions,
    authority,
    certify,
    curve_key,
    identifier_of,
    rsa_key,
    server,
    signed_with_sha1,
    usage,
    with_damaged_signature,
)
from tests.support.certificates import Credential, new_key
from tunnelgate_app.certificates.expiry import expiry_warnings
from tunnelgate_app.certificates.faults import Fault, FaultName
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate

NOT_CRITICAL = (x509.BasicConstraints(ca=True, path_length=None), False)
NO_CA = (x509.BasicConstraints(ca=False, path_length=None), True)
KEY = new_key()
CA = authority()
OTHER_CA = authority(subject="another CA")
OF_THE_SAME_NAME = authority()
INTERMEDIATE = authority(subject="an intermediate", issuer=CA)
SERVER = server(CA, key=KEY)


def names_of(faults: Sequence[Fault]) -> list[str]:
    return [fault.name.value for fault in faults]


def faults_of(
    chain: str,
    authorities: Sequence[Credential] = (CA,),
    hostnames: Sequence[str] = (f"docs.{DOMAIN}",),
    now: datetime = NOW,
    key: str | None = None,
) -> list[str]:
    pems = [each.pem.encode() for each in authorities]
    key_pem = None if key is None else key.encode()
    return names_of(faults_of_server_certificate(chain.encode(), pems, hostnames, now, key_pem))


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(CA, id="with a key of P-256"),
        pytest.param(authority(key=rsa_key(2048)), id="with an RSA key of 2048 bits, as OpenSSL makes them"),
        pytest.param(authority(key=curve_key(ec.SECP521R1()), hash_algorithm=SHA512()), id="with P-521"),
        pytest.param(INTERMEDIATE, id="signed by another CA"),
        pytest.param(authority(valid_from=NOW), id="from this second on"),
        pytest.param(authority(valid_to=NOW), id="until this second"),
    ],
)
def test_a_ca_by_the_rules_has_no_fault(credential: Credential) -> None:
    assert faults_of_authority(credential.pem.encode(), NOW) == []


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        pytest.param("", ["certificate-unreadable"], id="nothing"),
        pytest.param("hello", ["certificate-unreadable"], id="some text"),
        pytest.param(CA.key_pem(), ["private-key-included", "certificate-unreadable"], id="the key instead"),
        pytest.param(CA.pem + CA.key_pem(), ["private-key-included"], id="the key behind the certificate"),
        pytest.param(CA.pem + OTHER_CA.pem, ["several-certificates"], id="two CAs"),
        pytest.param("the CA:\n" + CA.pem, ["other-content-included"], id="words before the certificate"),
        pytest.param(CA.pem.ljust(8000), [], id="8000 octets"),
        pytest.param(CA.pem.ljust(8001), ["too-large"], id="8001 octets"),
        pytest.param(CA.pem[:-60] + CA.pem[-30:], ["certificate-unreadable"], id="a part of it is missing"),
        pytest.param(
            authority({x509.BasicConstraints: NOT_CRITICAL}).pem,
            ["basic-constraints-not-critical"],
            id="basic constraints that are not critical",
        ),
        pytest.param(authority({x509.BasicConstraints: NO_CA}).pem, ["not-an-authority"], id="CA:FALSE"),
        pytest.param(
            authority({x509.BasicConstraints: None}).pem, ["not-an-authority"], id="no basic constraints"
        ),
        pytest.param(
            authority({x509.KeyUsage: None}).pem, ["key-usage-without-cert-sign"], id="no key usage"
        ),
        pytest.param(
            authority({x509.KeyUsage: (usage(crl_sign=True), True)}).pem,
            ["key-usage-without-cert-sign"],
            id="a key usage for other things",
        ),
        pytest.param(
            authority({x509.SubjectKeyIdentifier: None}).pem,
            ["subject-key-identifier-missing"],
            id="no subject key identifier",
        ),
        pytest.param(authority(key=rsa_key(1024)).pem, ["key-too-short"], id="an RSA key of 1024 bits"),
        pytest.param(
            authority(key=curve_key(ec.SECP256K1())).pem, ["key-kind-not-allowed"], id="the curve of Bitcoin"
        ),
        pytest.param(
            authority(key=rsa_key(2048), hash_algorithm=SHA224()).pem,
            ["signature-hash-not-allowed"],
            id="a signature with SHA-224",
        ),
        pytest.param(
            signed_with_sha1(authority(key=rsa_key(2048))).pem,
            ["signature-hash-not-allowed"],
            id="a signature with SHA-1, which is not looked at",
        ),
        pytest.param(with_damaged_signature(CA).pem, ["signature-wrong"], id="a damaged signature"),
        pytest.param(authority(valid_from=NOW + DAY).pem, ["not-yet-valid"], id="tomorrow's"),
        pytest.param(authority(valid_to=NOW - DAY / 2).pem, ["expired"], id="yesterday's"),
        pytest.param(
            server(CA, {x509.BasicConstraints: NO_CA}).pem,
            ["not-an-authority", "key-usage-without-cert-sign", "subject-key-identifier-missing"],
            id="the server's certificate instead",
        ),
        pytest.param(
            authority(
                {x509.BasicConstraints: NOT_CRITICAL, x509.KeyUsage: None},
                key=rsa_key(1024),
                valid_to=NOW - DAY / 2,
            ).pem,
            ["basic-constraints-not-critical", "key-usage-without-cert-sign", "key-too-short", "expired"],
            id="several faults at once",
        ),
    ],
)
def test_a_ca_that_breaks_a_rule_has_the_fault_of_this_name(pem: str, expected: list[str]) -> None:
    assert names_of(faults_of_authority(pem.encode(), NOW)) == expected


def test_an_edwards_key_is_a_kind_that_tunnels_do_not_take() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    extensions: Extensions = {
        x509.BasicConstraints: (x509.BasicConstraints(ca=True, path_length=None), True),
        x509.KeyUsage: (usage(key_cert_sign=True), True),
        x509.SubjectKeyIdentifier: (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    }
    pem = ssl.DER_cert_to_PEM_cert(certify("the CA", key, None, extensions)).encode()

    faults = faults_of_authority(pem, NOW)

    assert names_of(faults) == ["key-kind-not-allowed", "signature-hash-not-allowed"]
    assert "uses no hash that is known" in str(faults[1])


@pytest.mark.parametrize(
    ("credential", "hostnames"),
    [
        pytest.param(SERVER, [DOMAIN, f"docs.{DOMAIN}"], id="for the domain and a route"),
        pytest.param(SERVER, [f"DOCS.{DOMAIN}"], id="for a name in capitals"),
        pytest.param(server(CA, names=["a.b.example"]), ["a.b.example"], id="for one exact name"),
        pytest.param(server(CA, {x509.ExtendedKeyUsage: None}), [DOMAIN], id="for every purpose"),
        pytest.param(server(CA, key=rsa_key(2048), hash_algorithm=SHA384()), [DOMAIN], id="with an RSA key"),
        pytest.param(server(CA, intermediates=(CA.der,)), [DOMAIN], id="with the CA behind it"),
        pytest.param(SERVER, [], id="without a hostname to check"),
    ],
)
def test_a_server_certificate_by_the_rules_has_no_fault(
    credential: Credential, hostnames: Sequence[str]
) -> None:
    assert faults_of(credential.chain_pem, hostnames=hostnames, key=credential.key_pem()) == []


@pytest.mark.parametrize("authorities", [[CA, OTHER_CA], [OTHER_CA, CA], [OF_THE_SAME_NAME, CA]])
def test_either_of_two_cas_may_have_signed(authorities: Sequence[Credential]) -> None:
    assert faults_of(SERVER.pem, authorities) == []


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param("", ["certificate-unreadable"], id="nothing"),
        pytest.param(SERVER.key_pem(), ["certificate-unreadable"], id="the key instead"),
        pytest.param(server(OTHER_CA).pem, ["authority-unknown"], id="signed by a CA that nobody knows"),
        pytest.param(
            server(INTERMEDIATE, intermediates=(INTERMEDIATE.der,)).chain_pem,
            ["intermediate-included", "authority-unknown"],
            id="signed by an intermediate",
        ),
        pytest.param(
            server(CA, intermediates=(OTHER_CA.der,)).chain_pem,
            ["intermediate-included"],
            id="with a certificate behind it that has nothing to do with it",
        ),
        pytest.param(
            server(OF_THE_SAME_NAME).pem, ["signature-wrong"], id="signed by another CA of the same name"
        ),
        pytest.param(with_damaged_signature(SERVER).pem, ["signature-wrong"], id="a damaged signature"),
        pytest.param(
            server(CA, {x509.AuthorityKeyIdentifier: None}).pem,
            ["authority-key-identifier-missing"],
            id="no authority key identifier",
        ),
        pytest.param(
            server(
                CA,
                {
                    x509.AuthorityKeyIdentifier: (
                        x509.AuthorityKeyIdentifier(None, [x509.DNSName("a")], 1),
                        False,
                    )
                },
            ).pem,
            ["authority-key-identifier-missing"],
            id="an authority key identifier that names the issuer instead",
        ),
        pytest.param(
            server(CA, {x509.AuthorityKeyIdentifier: (identifier_of(OTHER_CA), False)}).pem,
            ["authority-key-identifier-wrong"],
            id="the key identifier of another CA",
        ),
        pytest.param(
            server(CA, {x509.SubjectAlternativeName: None}).pem, ["names-missing"], id="no names at all"
        ),
        pytest.param(
            server(CA, names=[DOMAIN]).pem, ["name-not-covered"], id="a name that is not the route's"
        ),
        pytest.param(
            server(
                CA, {x509.ExtendedKeyUsage: (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)}
            ).pem,
            ["server-auth-missing"],
            id="for clients alone",
        ),
        pytest.param(server(CA, key=rsa_key(1024)).pem, ["key-too-short"], id="an RSA key of 1024 bits"),
        pytest.param(
            server(CA, key=curve_key(ec.SECP192R1())).pem,
            ["key-kind-not-allowed"],
            id="a curve that is too small",
        ),
        pytest.param(
            server(CA, hash_algorithm=SHA224()).pem,
            ["signature-hash-not-allowed"],
            id="a signature with SHA-224",
        ),
        pytest.param(server(CA, valid_from=NOW + DAY).pem, ["not-yet-valid"], id="tomorrow's"),
        pytest.param(server(CA, valid_to=NOW - DAY / 2).pem, ["expired"], id="yesterday's"),
    ],
)
def test_a_server_certificate_that_breaks_a_rule_has_the_fault_of_this_name(
    chain: str, expected: list[str]
) -> None:
    assert faults_of(chain) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(SERVER.key_pem(), [], id="its own"),
        pytest.param(CA.key_pem(), ["key-of-another-certificate"], id="another one"),
        pytest.param(
            server(CA, key=rsa_key(2048)).key_pem(), ["key-of-another-certificate"], id="another kind"
        ),
        pytest.param(SERVER.key_pem("secret"), ["key-unreadable"], id="one with a password"),
        pytest.param(SERVER.pem, ["key-unreadable"], id="a certificate"),
        pytest.param("", ["key-unreadable"], id="nothing"),
    ],
)
def test_the_key_must_be_the_certificates_own(key: str, expected: list[str]) -> None:
    assert faults_of(SERVER.pem, key=key) == expected


def test_a_ca_that_cannot_be_read_is_a_fault_of_its_own() -> None:
    faults = faults_of_server_certificate(SERVER.pem.encode(), [b"", CA.pem.encode()], [DOMAIN], NOW)

    assert names_of(faults) == ["authority-unreadable"]


def test_without_a_ca_nothing_is_known_to_have_signed() -> None:
    assert faults_of(SERVER.pem, []) == ["authority-unknown"]


def test_a_key_identifier_is_missed_in_the_ca_too() -> None:
    without = authority({x509.SubjectKeyIdentifier: None})

    assert faults_of(server(without).pem, [without]) == ["authority-key-identifier-wrong"]


def test_of_two_certificates_of_one_ca_the_key_identifier_is_that_of_either() -> None:
    without = authority({x509.SubjectKeyIdentifier: None}, key=CA.key)

    assert faults_of(SERVER.pem, [without, CA]) == []


def test_each_hostname_that_is_not_covered_is_named_with_those_that_are() -> None:
    hostnames = [DOMAIN, f"a.b.{DOMAIN}", "docs.example.com"]

    faults = faults_of_server_certificate(SERVER.pem.encode(), [CA.pem.encode()], hostnames, NOW)

    assert [str(fault).partition(", where")[0] for fault in faults] == [
        f"It is not for a.b.{DOMAIN}, only for {', '.join(BOTH)}",
        f"It is not for docs.example.com, only for {', '.join(BOTH)}",
    ]


def judge(pem: bytes, key: bytes) -> list[Fault]:
    """Ask all that there is to ask about something."""
    expiry_warnings(pem, "a file", NOW)
    known = [CA.pem.encode()]
    return [
        *faults_of_authority(pem, NOW),
        *faults_of_server_certificate(pem, known, [DOMAIN], NOW, key),
        *faults_of_server_certificate(SERVER.pem.encode(), [pem, *known], [DOMAIN], NOW, key),
    ]


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_octets_are_judged(pem: bytes, key: bytes) -> None:
    assert {fault.name for fault in judge(pem, key)} >= {
        FaultName.CERTIFICATE_UNREADABLE,
        FaultName.AUTHORITY_UNREADABLE,
        FaultName.KEY_UNREADABLE,
    }


def changed(octets: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    mutable = bytearray(octets)
    for place, value in changes:
        mutable[place % len(mutable)] = value
    return bytes(mutable)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4)


@given(st.sampled_from([CA.der, SERVER.der]), CHANGES)
def test_any_certificate_is_judged_and_no_change_makes_it_better(
    der: bytes, changes: Sequence[tuple[int, int]]
) -> None:
    mutated = changed(der, changes)
    faults = judge(ssl.DER_cert_to_PEM_cert(mutated).encode(), SERVER.key_pem().encode())

    assert all(fault.sentence.endswith((".", "init", "renew", "--new-key", DOMAIN)) for fault in faults)
    if mutated != der:
        assert faults


@pytest.mark.parametrize("read", [faults_of_authority, expiry_warnings])
def test_a_serial_number_that_no_ca_should_give_is_no_exception(read: Callable[..., object]) -> None:
    serial = 0x1122334455667788
    der = certify("the CA", new_key(), None, {}, serial=serial)
    negative = der.replace(serial.to_bytes(8), (serial | 1 << 63).to_bytes(8))
    pem = ssl.DER_cert_to_PEM_cert(negative).encode()

    assert negative != der
    assert read(pem, *(("a file", NOW) if read is expiry_warnings else (NOW,))) != []
