from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.app.certificates.crafting import (
    BOTH,
    DAY,
    NOW,
    authority,
    certify,
    curve_key,
    rsa_key,
    server,
)
from tests.support.certificates import Credential, PrivateKey, new_key
from tunnelgate_app.certificates.reading import UnreadableError, is_key_of, read_certificates, read_key

CA = authority()
SERVER = server(CA)


def test_what_a_server_certificate_says_is_read() -> None:
    (facts,) = read_certificates(SERVER.pem.encode())

    assert (facts.subject, facts.issuer) == ("CN=the gate", "CN=the CA")
    assert facts.fingerprint == sha256(SERVER.der).hexdigest()
    assert (facts.valid_from, facts.valid_until) == (NOW - DAY, NOW + 90 * DAY)
    assert facts.names == BOTH
    assert facts.signature_hash == "sha256"
    assert (facts.is_authority, facts.is_authority_critical, facts.key_usage) == (False, False, None)
    assert (facts.is_for_servers, facts.key_identifier) == (True, None)
    assert facts.authority_key_identifier == read_certificates(CA.pem.encode())[0].key_identifier


def test_what_a_ca_says_is_read() -> None:
    (facts,) = read_certificates(CA.pem.encode())

    assert (facts.is_authority, facts.is_authority_critical) == (True, True)
    assert facts.key_usage is not None
    assert facts.key_usage.key_cert_sign
    assert (facts.names, facts.is_for_servers, facts.authority_key_identifier) == ((), None, None)


def test_several_certificates_are_read_in_their_order() -> None:
    found = read_certificates((SERVER.pem + CA.pem).encode())

    assert [each.subject for each in found] == ["CN=the gate", "CN=the CA"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (new_key(), "ECDSA P-256"),
        (curve_key(ec.SECP384R1()), "ECDSA P-384"),
        (curve_key(ec.SECP521R1()), "ECDSA P-521"),
        (rsa_key(2048), "RSA 2048"),
        (curve_key(ec.SECP256K1()), "of another kind"),
    ],
)
def test_the_kind_of_a_key_is_said_as_people_say_it(key: PrivateKey, expected: str) -> None:
    assert read_certificates(server(CA, key=key).pem.encode())[0].key_kind == expected


def with_a_broken_extension() -> Credential:
    """Return a certificate whose names are not in DER."""
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x05ab")
    return Credential(
        certify("the gate", new_key(), CA, {x509.UnrecognizedExtension: (broken, False)}), new_key()
    )


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param("", id="nothing"),
        pytest.param("hello", id="some text"),
        pytest.param("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", id="a part of one"),
        pytest.param(CA.key_pem(), id="a key"),
        pytest.param(with_a_broken_extension().pem, id="an extension that is not in DER"),
        pytest.param(CA.pem + with_a_broken_extension().pem, id="one that can be read and one that cannot"),
    ],
)
def test_what_cannot_be_read_is_one_error(pem: str) -> None:
    with pytest.raises(UnreadableError, match="has no certificate in PEM, or one that cannot be read"):
        read_certificates(pem.encode())


@pytest.mark.parametrize("key", [new_key(), rsa_key(2048)], ids=["ECDSA", "RSA"])
def test_a_key_is_that_of_its_certificate_and_of_no_other(key: PrivateKey) -> None:
    own = server(CA, key=key)

    read = read_key(own.key_pem().encode())

    assert is_key_of(read, read_certificates(own.pem.encode())[0])
    assert not is_key_of(read, read_certificates(SERVER.pem.encode())[0])


def test_a_certificate_of_a_key_that_is_not_known_has_none() -> None:
    own = server(CA, key=curve_key(ec.SECP256K1()))

    assert not is_key_of(new_key(), read_certificates(own.pem.encode())[0])


def of_another_kind() -> str:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("pem", "sentence"),
    [
        pytest.param("", "has no private key in PEM, or one that cannot be read", id="nothing"),
        pytest.param(CA.pem, "has no private key in PEM, or one that cannot be read", id="a certificate"),
        pytest.param(CA.key_pem("secret"), "has a password; a gate that starts by itself", id="a password"),
        pytest.param(of_another_kind(), "has a key that is neither RSA nor ECDSA", id="an Edwards key"),
    ],
)
def test_a_key_that_cannot_be_used_is_one_error(pem: str, sentence: str) -> None:
    with pytest.raises(UnreadableError, match=sentence):
        read_key(pem.encode())


def test_times_are_in_utc() -> None:
    (facts,) = read_certificates(SERVER.pem.encode())

    assert facts.valid_until.utcoffset() == timedelta(0)
