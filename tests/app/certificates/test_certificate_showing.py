import orjson
import pytest

from tests.app.certificates.crafting import DAY, DOMAIN, NOW, authority, server
from tests.app.certificates.folders import NEW, of, without
from tunnelgate_app.certificates.contents import Files
from tunnelgate_app.certificates.reading import read_certificates
from tunnelgate_app.certificates.showing import Shown, as_json, as_text, examine

NEXT = authority(subject="the next CA")


def examined(files: Files, *hostnames: str, days: int = 0) -> tuple[Shown, ...]:
    return examine(files, hostnames, NOW + days * DAY, {})


def faults(shown: tuple[Shown, ...]) -> list[tuple[str, str]]:
    return [(each.file, fault.name.value) for each in shown for fault in each.faults]


def test_a_whole_folder_is_shown_as_a_table_with_nothing_wrong() -> None:
    shown = examined(NEW, DOMAIN, f"docs.{DOMAIN}")
    ca, tls = (read_certificates(NEW[name])[0] for name in ("ca.crt", "tls.crt"))

    assert not any(each.is_wrong for each in shown)
    assert (
        as_text(shown)
        == f"""\
ca.crt
  subject  {ca.subject}
  issuer   {ca.subject}
  key      ECDSA P-256
  from     2026-11-23 11:00 UTC
  until    2031-11-22 12:00 UTC, 1825 days left
  sha-256  {ca.fingerprint}

tls.crt
  subject  CN={DOMAIN}
  names    {DOMAIN}, *.{DOMAIN}
  issuer   {ca.subject}
  key      ECDSA P-256
  from     2026-11-23 11:00 UTC
  until    2027-02-21 12:00 UTC, 90 days left
  sha-256  {tls.fingerprint}"""
    )


def test_machines_get_the_same() -> None:
    document = orjson.loads(orjson.dumps(as_json(examined(NEW))))
    (tls,) = (each for each in document["certificates"] if each["file"] == "tls.crt")

    assert document["ok"] is True
    assert tls == {
        "file": "tls.crt",
        "subject": f"CN={DOMAIN}",
        "issuer": read_certificates(NEW["ca.crt"])[0].subject,
        "names": [DOMAIN, f"*.{DOMAIN}"],
        "key": "ECDSA P-256",
        "valid_from": "2026-11-23T11:00:00+00:00",
        "valid_until": "2027-02-21T12:00:00+00:00",
        "days_left": 90,
        "fingerprint": read_certificates(NEW["tls.crt"])[0].fingerprint,
        "faults": [],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, [("tls.crt", "certificate-unreadable")], id="an empty folder"),
        pytest.param(without(NEW, "ca.crt"), [("tls.crt", "authority-unknown")], id="no CA"),
        pytest.param(without(NEW, "tls.crt"), [("tls.crt", "certificate-unreadable")], id="no certificate"),
        pytest.param(without(NEW, "tls.key"), [("tls.crt", "key-unreadable")], id="no key"),
        pytest.param(
            {**NEW, "ca.crt": b"hello"},
            [
                ("ca.crt", "certificate-unreadable"),
                ("tls.crt", "authority-unreadable"),
                ("tls.crt", "authority-unknown"),
            ],
            id="a CA that cannot be read",
        ),
        pytest.param({**NEW, **of("ca-next", NEXT)}, [], id="a CA that waits"),
        pytest.param(
            {**NEW, **of("ca-next", NEXT), **of("tls", server(NEXT))},
            [],
            id="a certificate by the CA that waits",
        ),
        pytest.param(
            {**NEW, **of("ca-old", authority(valid_to=NOW - DAY / 2))},
            [("ca-old.crt", "expired")],
            id="an old CA that has expired",
        ),
    ],
)
def test_each_fault_is_shown_at_its_file(files: Files, expected: list[tuple[str, str]]) -> None:
    shown = examined(files)

    assert faults(shown) == expected
    assert as_json(shown)["ok"] is (expected == [])


def test_a_fault_is_named_and_said() -> None:
    lines = as_text(examined(NEW, f"a.b.{DOMAIN}")).splitlines()

    assert lines[-1].startswith(
        f"  wrong    name-not-covered: It is not for a.b.{DOMAIN}, only for {DOMAIN},"
    )


def test_what_cannot_be_read_is_a_fault_without_facts() -> None:
    shown = examined({"tls.crt": b"hello"})

    assert as_text(shown).startswith(
        "tls.crt\n  wrong    certificate-unreadable: It has no certificate in PEM"
    )
    assert set(as_json(shown)["certificates"][0]) == {"file", "faults", "warnings"}


def test_what_ends_soon_is_wrong_without_a_fault() -> None:
    shown = examined(NEW, days=61)

    assert faults(shown) == []
    assert [each.is_wrong for each in shown] == [False, True]
    assert as_text(shown).endswith("Renew it: tunnelgate certs renew")
    assert shown[1].days_left == 29


def test_what_has_ended_has_less_than_no_days_left() -> None:
    shown = examined(NEW, days=92)

    assert (shown[1].days_left, faults(shown)) == (-2, [("tls.crt", "expired")])


@pytest.mark.parametrize(
    "files", [NEW, {**NEW, "tls.crt": b""}], ids=["that can be read", "that cannot be read"]
)
def test_a_complaint_about_a_file_is_a_warning(files: Files) -> None:
    shown = examine(files, (), NOW, {"tls.crt": "everybody can read it"})

    assert shown[1].warnings == ("everybody can read it",)


def test_a_name_that_is_not_there_is_shown_as_none() -> None:
    nameless = authority(subject="")

    assert "  subject  none\n  issuer   none\n" in as_text(examined(of("ca", nameless)))


def test_nothing_of_a_name_moves_the_cursor() -> None:
    ca = authority(subject="a\x1b[2J\x07\u202eb")

    shown = as_text(examined({"ca.crt": ca.pem.encode()}))

    assert "  subject  CN=a [2J  b\n" in shown
