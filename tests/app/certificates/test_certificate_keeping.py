from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from tests.app.certificates.crafting import BOTH, DAY, DOMAIN, NOW, authority, rsa_key, server
from tests.app.certificates.folders import NEW, after, is_whole, of, without
from tunnelgate_app.certificates.contents import Change, Files, KeepingError
from tunnelgate_app.certificates.keeping import complete, renew
from tunnelgate_app.certificates.making import SERVER_DURATION, KeyKind
from tunnelgate_app.certificates.reading import CertificateFacts, read_certificates, read_key

MONTH = 30 * DAY
CA = authority()
OTHER_CA = authority(subject="another CA")


def completed(
    files: Files, names: tuple[str, ...] = BOTH, now: datetime = NOW, kind: KeyKind = KeyKind.ECDSA_P256
) -> Change:
    return complete(files, names, now, SERVER_DURATION, kind)


def renewed(
    files: Files,
    now: datetime = NOW,
    before: timedelta = MONTH,
    duration: timedelta = SERVER_DURATION,
    *,
    new_key: bool = False,
) -> Change:
    return renew(files, now, duration, before, with_new_key=new_key)


def served(files: Files) -> CertificateFacts:
    return read_certificates(files["tls.crt"])[0]


BROUGHT = {**of("ca", CA), **of("tls", server(CA))}


def test_a_new_folder_gets_a_ca_and_a_server_certificate_that_it_signed() -> None:
    change = completed({})

    assert list(change.writes) == ["ca.key", "ca.crt", "tls.key", "tls.crt"]
    assert is_whole(change.writes)
    assert (change.upload, change.warned, change.archive) == ("ca.crt", (), None)
    assert change.said == (
        "ca.crt is new, until 2031-11-22 12:00 UTC",
        f"tls.crt is new, until 2027-02-21 12:00 UTC, for {DOMAIN}, *.{DOMAIN}",
    )


@pytest.mark.parametrize("kind", [KeyKind.ECDSA_P384, KeyKind.RSA_2048], ids=str)
def test_the_servers_key_is_of_the_kind_that_was_asked_for(kind: KeyKind) -> None:
    files = completed({}, kind=kind).writes

    assert served(files).key_kind.lower().replace(" ", "-").replace("p-", "p") == kind.value


@pytest.mark.parametrize("files", [NEW, BROUGHT], ids=["ours", "somebody else's"])
def test_what_is_complete_stays_as_it_is(files: Files) -> None:
    change = completed(files)

    assert (change.writes, change.removes, change.upload) == ({}, (), None)
    assert change.said == ("ca.crt and tls.crt stay as they are",)


def test_a_complete_folder_needs_no_key_of_the_ca() -> None:
    assert completed(without(NEW, "ca.key")).writes == {}


@pytest.mark.parametrize(
    ("changed", "made"),
    [
        pytest.param({"tls.crt": None}, ["tls.crt"], id="no certificate"),
        pytest.param({"tls.key": None}, ["tls.key", "tls.crt"], id="no key"),
        pytest.param({"tls.crt": None, "tls.key": None}, ["tls.key", "tls.crt"], id="neither"),
        pytest.param({"tls.crt": b"hello"}, ["tls.crt"], id="a certificate that cannot be read"),
        pytest.param({"tls.key": b"hello"}, ["tls.key", "tls.crt"], id="a key that cannot be read"),
        pytest.param({"tls.key": BROUGHT["tls.key"]}, ["tls.crt"], id="the key of another certificate"),
        pytest.param({"tls.crt": BROUGHT["tls.crt"]}, ["tls.crt"], id="a certificate by another CA"),
        pytest.param(
            of("tls", server(CA, key=rsa_key(1024))), ["tls.key", "tls.crt"], id="a key that is too short"
        ),
    ],
)
def test_what_is_missing_or_wrong_is_made_and_the_ca_stays(
    changed: Mapping[str, bytes | None], made: list[str]
) -> None:
    files = {name: content for name, content in {**NEW, **changed}.items() if content is not None}

    change = completed(files)

    assert list(change.writes) == made
    assert is_whole(after(files, change))
    assert (change.said[0], change.upload) == ("ca.crt stays as it is", None)


def test_a_name_that_is_missing_is_added_to_those_that_are_there() -> None:
    change = completed(NEW, (f"a.b.{DOMAIN}", DOMAIN))

    assert list(change.writes) == ["tls.crt"]
    assert served(change.writes).names == (*BOTH, f"a.b.{DOMAIN}")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({"ca.crt": NEW["ca.crt"]}, "ca.key is not there, and signing needs it", id="no key"),
        pytest.param({"ca.key": NEW["ca.key"]}, "ca.crt is not there, and signing needs it", id="only a key"),
        pytest.param(
            {**of("ca", CA), "ca.key": NEW["ca.key"]}, "ca.key is not the key of ca.crt", id="another's key"
        ),
        pytest.param({**of("ca", CA), "ca.key": b""}, "ca.key has no private key in PEM", id="an empty key"),
        pytest.param(
            {**of("ca", CA), "ca.key": CA.key_pem("x").encode()}, "ca.key has a password", id="a password"
        ),
        pytest.param(
            of("ca", authority(valid_to=NOW - DAY / 2)),
            "ca.crt cannot sign what a tunnel would believe. It expired at 2026-11-23 00:00 UTC",
            id="an expired CA",
        ),
        pytest.param(
            of("ca", authority(key=rsa_key(1024))), "Its RSA key has 1024 bits", id="a CA that tunnels refuse"
        ),
    ],
)
def test_a_ca_that_cannot_sign_is_said_and_never_replaced(files: Files, sentence: str) -> None:
    with pytest.raises(KeepingError) as caught:
        completed(files)

    assert sentence in str(caught.value)


def test_a_certificate_that_lives_long_enough_is_not_renewed() -> None:
    change = renewed(NEW, NOW + 59 * DAY)

    assert change.writes == {}
    assert change.said == (
        "tls.crt is valid for another 31 days, until 2027-02-21 12:00 UTC, and due in its last 30 days",
    )


@pytest.mark.parametrize(
    ("days", "before"),
    [
        pytest.param(60, MONTH, id="at 30 days"),
        pytest.param(89, MONTH, id="on its last day"),
        pytest.param(100, MONTH, id="after its end"),
        pytest.param(0, timedelta(0), id="always"),
        pytest.param(20, 80 * DAY, id="earlier by choice"),
    ],
)
def test_a_certificate_that_is_due_is_signed_by_the_same_ca_with_the_same_key(
    days: int, before: timedelta
) -> None:
    later = NOW + days * DAY
    change = renewed(NEW, later, before)

    assert list(change.writes) == ["tls.crt"]
    assert served(change.writes).valid_until == later + SERVER_DURATION
    assert served(change.writes).names == BOTH
    assert is_whole(after(NEW, change), later)
    assert change.said[0].endswith(f"for {DOMAIN}, *.{DOMAIN}, with the same key")


def test_a_new_key_is_made_when_it_is_asked_for_also_before_it_is_due() -> None:
    files = completed({}, kind=KeyKind.RSA_2048).writes

    change = renewed(files, new_key=True)

    assert list(change.writes) == ["tls.key", "tls.crt"]
    assert is_whole(after(files, change))
    assert served(change.writes).key_kind == "RSA 2048"
    assert change.said[0].endswith("with a new key")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param(
            {"tls.key": BROUGHT["tls.key"]}, "The key is that of another certificate", id="the key of another"
        ),
        pytest.param({"tls.key": b""}, "The file of its key has no private key", id="no key"),
        pytest.param(
            {"tls.crt": server(OTHER_CA).pem.encode()}, "It was signed by CN=another CA", id="another CA's"
        ),
    ],
)
def test_a_certificate_with_a_fault_is_renewed_at_once_and_the_fault_is_said(
    changed: Files, reason: str
) -> None:
    files = {**NEW, **changed}

    change = renewed(files)

    assert is_whole(after(files, change))
    assert change.said[1].startswith(f"the old one had a fault: {reason}")


def test_a_key_that_may_not_go_on_is_replaced() -> None:
    files = {**NEW, **of("tls", server(CA, key=rsa_key(1024)))}

    change = renewed(files)

    assert list(change.writes) == ["tls.key", "tls.crt"]
    assert is_whole(after(files, change))
    assert read_key(change.writes["tls.key"]).key_size == 256


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(without(NEW, "tls.crt"), id="no certificate"),
        pytest.param({**NEW, "tls.crt": CA.pem.encode()}, id="a certificate without a name"),
    ],
)
def test_what_has_no_name_is_not_renewed(files: Files) -> None:
    with pytest.raises(KeepingError, match="Make it: tunnelgate certs init --domain DOMAIN"):
        renewed(files)


def test_a_certificate_that_ends_with_its_ca_asks_for_another_ca() -> None:
    brief = authority(valid_to=NOW + 20 * DAY)
    files = after(of("ca", brief), completed(of("ca", brief)))

    assert served(files).valid_until == NOW + 20 * DAY
    with pytest.raises(KeepingError, match=r"tls\.crt ends with its CA.*tunnelgate certs rotate-ca"):
        renewed(files)


def test_a_new_key_can_still_be_had_of_a_ca_that_ends_soon() -> None:
    brief = authority(valid_from=NOW - 100 * DAY, valid_to=NOW + 20 * DAY)
    files = after(of("ca", brief), completed(of("ca", brief)))

    change = renewed(files, new_key=True)

    assert is_whole(after(files, change))
    assert change.warned == (
        "ca.crt expires in 20 days, at 2026-12-13 12:00 UTC. Replace the CA: tunnelgate certs rotate-ca",
    )


def test_a_ca_that_waits_is_remembered_at_each_renewal() -> None:
    (said,) = renewed({**NEW, **of("ca-next", OTHER_CA)}).warned

    assert said.endswith("When the tunnel knows it: tunnelgate certs rotate-ca --sign")
