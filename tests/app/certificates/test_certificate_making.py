import ssl
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from tests.app.certificates.crafting import BOTH, DAY, DOMAIN, NOW, authority, rsa_key
from tests.app.certificates.handshaking import handshake, server_of, strict_client
from tests.support.certificates import new_key as any_key
from tunnelgate_app.certificates.making import (
    Issued,
    KeyKind,
    key_like,
    make_authority,
    make_server_certificate,
    new_key,
)
from tunnelgate_app.certificates.reading import read_certificates
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate

HOSTNAMES = [DOMAIN, f"docs.{DOMAIN}"]
LONG = f"{'a' * 60}.{'b' * 60}.example.com"


@pytest.fixture(scope="module")
def ca() -> Issued:
    return make_authority(NOW)


@pytest.fixture(scope="module", params=KeyKind, ids=str)
def made(ca: Issued, request: pytest.FixtureRequest) -> Issued:
    return make_server_certificate(ca, BOTH, new_key(request.param), NOW)


def written(issued: Issued, folder: Path) -> ssl.SSLContext:
    (folder / "tls.crt").write_bytes(issued.certificate_pem)
    (folder / "tls.key").write_bytes(issued.key_pem)
    return server_of(folder / "tls.crt", folder / "tls.key")


def verify(issued: Issued, ca: Issued, hostname: str, now: datetime) -> int:
    """Ask cryptography, by the rules of the Web's CAs; return how long the chain is."""
    builder = PolicyBuilder().store(Store([ca.certificate])).time(now)
    verifier = builder.build_server_verifier(x509.DNSName(hostname))
    return len(verifier.verify(issued.certificate, []))


def test_a_ca_that_is_made_breaks_no_rule_from_its_first_second_to_its_last(ca: Issued) -> None:
    (facts,) = read_certificates(ca.certificate_pem)

    assert [faults_of_authority(ca.certificate_pem, at) for at in (NOW, facts.valid_until)] == [[], []]
    assert facts.valid_until - NOW == 5 * 365 * DAY
    assert facts.key_kind == "ECDSA P-256"


def test_a_ca_signs_nothing_but_server_certificates_directly(ca: Issued) -> None:
    constraints = ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    key_usage = ca.certificate.extensions.get_extension_for_class(x509.KeyUsage)

    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert key_usage.critical
    assert (key_usage.value.key_cert_sign, key_usage.value.crl_sign) == (True, True)
    assert not key_usage.value.digital_signature


def test_two_cas_never_have_the_same_name() -> None:
    subjects = {make_authority(NOW).certificate.subject for _ in range(3)}

    assert len(subjects) == 3


def test_a_server_certificate_that_is_made_breaks_no_rule(made: Issued, ca: Issued) -> None:
    for at in (NOW, NOW + 90 * DAY):
        faults = faults_of_server_certificate(
            made.certificate_pem, [ca.certificate_pem], HOSTNAMES, at, made.key_pem
        )
        assert faults == []


@pytest.mark.parametrize("hostname", HOSTNAMES)
def test_the_rules_of_the_web_take_it_too(made: Issued, ca: Issued, hostname: str) -> None:
    assert verify(made, ca, hostname, NOW) == 2


@pytest.mark.parametrize(
    ("hostname", "days"),
    [
        pytest.param(f"a.docs.{DOMAIN}", 0, id="another hostname"),
        pytest.param(DOMAIN, 91, id="another time"),
    ],
)
def test_the_rules_of_the_web_do_not_take_it_for(hostname: str, days: int, made: Issued, ca: Issued) -> None:
    with pytest.raises(VerificationError):
        verify(made, ca, hostname, NOW + days * DAY)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
@pytest.mark.parametrize("kind", KeyKind)
def test_a_strict_client_believes_it_today(kind: KeyKind, version: ssl.TLSVersion, tmp_path: Path) -> None:
    now = datetime.now(NOW.tzinfo)
    ca = make_authority(now)
    key = rsa_key(int(kind[4:])) if kind.startswith("rsa") else new_key(kind)
    server = written(make_server_certificate(ca, BOTH, key, now), tmp_path)
    client = strict_client(ca.certificate_pem.decode())
    client.minimum_version = client.maximum_version = version

    assert {handshake(server, client, hostname) for hostname in HOSTNAMES} == {version.name.replace("_", ".")}
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(server, client, f"a.docs.{DOMAIN}")


def test_a_strict_client_that_knows_another_ca_does_not_believe_it(tmp_path: Path) -> None:
    now = datetime.now(NOW.tzinfo)
    server = written(make_server_certificate(make_authority(now), BOTH, new_key(), now), tmp_path)

    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        handshake(server, strict_client(make_authority(now).certificate_pem.decode()), DOMAIN)


def test_a_domain_that_is_too_long_for_a_subject_is_in_the_names_alone(ca: Issued) -> None:
    made = make_server_certificate(ca, [LONG, f"*.{LONG}"], new_key(), NOW)

    (facts,) = read_certificates(made.certificate_pem)
    assert (facts.subject, facts.names) == ("CN=tunnelgate", (LONG, f"*.{LONG}"))
    assert verify(made, ca, f"docs.{LONG}", NOW) == 2


def test_a_name_of_64_octets_is_the_subject_itself(ca: Issued) -> None:
    name = "a" * 56 + ".example"
    made = make_server_certificate(ca, [name], new_key(), NOW)

    assert read_certificates(made.certificate_pem)[0].subject == f"CN={name}"


def test_a_certificate_is_valid_an_hour_ago_for_clocks_that_are_slow(ca: Issued) -> None:
    later = NOW + DAY
    made = make_server_certificate(ca, BOTH, new_key(), later, duration=timedelta(hours=5))

    (facts,) = read_certificates(made.certificate_pem)
    assert (facts.valid_from, facts.valid_until) == (later - timedelta(hours=1), later + timedelta(hours=5))


def test_a_certificate_is_never_valid_where_its_ca_is_not() -> None:
    brief = authority(valid_from=NOW - timedelta(minutes=5), valid_to=NOW + 3 * DAY)
    made = make_server_certificate(Issued(brief.certificate, brief.key), BOTH, new_key(), NOW)

    (facts,) = read_certificates(made.certificate_pem)
    assert (facts.valid_from, facts.valid_until) == (NOW - timedelta(minutes=5), NOW + 3 * DAY)


@pytest.mark.parametrize("days", [-2, 300])
def test_a_ca_that_is_not_valid_signs_nothing(days: int) -> None:
    ca = authority()

    with pytest.raises(ValueError, match="the CA is not valid at this time"):
        make_server_certificate(Issued(ca.certificate, ca.key), BOTH, new_key(), NOW + days * DAY)


def test_a_ca_without_a_key_identifier_signs_nothing() -> None:
    ca = authority({x509.SubjectKeyIdentifier: None})

    with pytest.raises(ValueError, match="the CA has no SubjectKeyIdentifier"):
        make_server_certificate(Issued(ca.certificate, ca.key), BOTH, new_key(), NOW)


def test_serial_numbers_come_from_where_they_are_said_to() -> None:
    serials = iter([7, 8])
    ca = make_authority(NOW, serial=serials.__next__)
    made = make_server_certificate(ca, BOTH, any_key(), NOW, serial=serials.__next__)

    assert (ca.certificate.serial_number, made.certificate.serial_number) == (7, 8)


def test_a_key_like_another_has_its_kind_and_its_size_and_is_not_it() -> None:
    curve, bits = any_key(), rsa_key(2048)

    like_curve, like_bits = key_like(curve), key_like(bits)

    assert isinstance(like_curve, ec.EllipticCurvePrivateKey)
    assert like_curve.curve.name == curve.curve.name
    assert isinstance(like_bits, rsa.RSAPrivateKey)
    assert like_bits.key_size == 2048
    assert like_curve.public_key() != curve.public_key()
    assert like_bits.public_key() != bits.public_key()
