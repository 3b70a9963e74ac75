from datetime import timedelta

import pytest

from tests.app.certificates.crafting import DAY, NOW, authority, server
from tunnelgate_app.certificates.expiry import expiry_warnings, span, warning_time
from tunnelgate_app.certificates.reading import read_certificates

HOUR = timedelta(hours=1)
CA = authority(valid_from=NOW - 200 * DAY)
END = NOW + 90 * DAY
SERVER = server(CA, valid_from=NOW, valid_to=END)
RENEW = "tunnelgate certs renew"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(30 * DAY, None, id="30 days"),
        pytest.param(30 * DAY - HOUR, "expires in 29 days, at {end}. Renew it", id="less than 30 days"),
        pytest.param(14 * DAY + HOUR, "expires in 14 days, at {end}. Renew it", id="more than 14 days"),
        pytest.param(14 * DAY, "expires in 14 days, at {end}. Renew it soon", id="14 days"),
        pytest.param(7 * DAY, "expires in 7 days, at {end}. Renew it within days", id="7 days"),
        pytest.param(2 * DAY, "expires in 2 days, at {end}. Renew it within days", id="2 days"),
        pytest.param(DAY + HOUR, "expires in 25 hours, at {end}. Renew it within days", id="25 hours"),
        pytest.param(DAY, "expires in 24 hours, at {end}. Renew it now", id="a day"),
        pytest.param(HOUR, "expires in less than 2 hours, at {end}. Renew it now", id="an hour"),
        pytest.param(0 * HOUR, "expires in less than 2 hours, at {end}. Renew it now", id="no second"),
        pytest.param(-HOUR, "expired less than 2 hours ago, at {end}. Renew it now", id="an hour ago"),
        pytest.param(-9 * DAY, "expired 9 days ago, at {end}. Renew it now", id="9 days ago"),
    ],
)
def test_the_warning_grows_more_urgent_towards_the_end(left: timedelta, expected: str | None) -> None:
    said = expiry_warnings(SERVER.pem.encode(), "tls.crt", END - left)

    end = f"{END:%Y-%m-%d %H:%M} UTC"
    assert said == (() if expected is None else (f"tls.crt {expected.format(end=end)}: {RENEW}",))


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        pytest.param(365 * DAY, 30 * DAY, id="30 days of a year"),
        pytest.param(90 * DAY, 30 * DAY, id="30 days of 90"),
        pytest.param(9 * DAY, 3 * DAY, id="3 days of 9"),
        pytest.param(DAY, 8 * HOUR, id="8 hours of a day"),
    ],
)
def test_what_lives_briefly_is_warned_about_in_its_last_third(
    lifetime: timedelta, expected: timedelta
) -> None:
    pem = server(CA, valid_from=NOW, valid_to=NOW + lifetime).pem.encode()
    begins = NOW + lifetime - expected

    assert warning_time(read_certificates(pem)[0]) == expected
    assert expiry_warnings(pem, "tls.crt", begins) == ()
    assert len(expiry_warnings(pem, "tls.crt", begins + timedelta(seconds=1))) == 1


def test_a_ca_is_replaced_and_not_renewed() -> None:
    (said,) = expiry_warnings(CA.pem.encode(), "ca.crt", NOW + 299 * DAY)

    assert said.endswith("Replace the CA now: tunnelgate certs rotate-ca")


def test_what_is_not_valid_yet_points_to_the_clock() -> None:
    (said,) = expiry_warnings(SERVER.pem.encode(), "tls.crt", NOW - HOUR)

    assert said == f"tls.crt is valid only from {NOW:%Y-%m-%d %H:%M} UTC. Check the clock of this machine."


def test_each_certificate_of_a_file_has_its_own_sentence() -> None:
    pem = (SERVER.pem + CA.pem + SERVER.pem).encode()

    assert [said[:15] for said in expiry_warnings(pem, "tls.crt", END)] == ["tls.crt expires"] * 2


@pytest.mark.parametrize("pem", [b"", b"hello", SERVER.key_pem().encode()])
def test_what_cannot_be_read_is_said_too(pem: bytes) -> None:
    assert expiry_warnings(pem, "tls.crt", NOW) == (
        "tls.crt has no certificate in PEM, or one that cannot be read",
    )


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (3 * DAY - HOUR, "2 days"),
        (2 * DAY - HOUR, "47 hours"),
        (2 * HOUR, "2 hours"),
        (0 * DAY, "less than 2 hours"),
    ],
)
def test_a_length_of_time_is_said_in_days_or_hours(length: timedelta, expected: str) -> None:
    assert span(length) == expected
