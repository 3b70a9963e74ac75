from collections.abc import Callable, Iterator

import pytest

from tests.app.certificates.crafting import BOTH, DAY, DOMAIN, NOW, authority
from tests.app.certificates.folders import NEW, after, is_whole, of, without
from tunnelgate_app.certificates.contents import Change, Files, KeepingError
from tunnelgate_app.certificates.keeping import renew
from tunnelgate_app.certificates.making import SERVER_DURATION
from tunnelgate_app.certificates.reading import read_certificates
from tunnelgate_app.certificates.rotating import begin_rotation, finish_rotation, sign_with_next
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate

WAITING = after(NEW, begin_rotation(NEW, NOW))
SIGNED = after(WAITING, sign_with_next(WAITING, NOW, SERVER_DURATION))


def signed(files: Files) -> Change:
    return sign_with_next(files, NOW, SERVER_DURATION)


def fingerprint(pem: bytes) -> str:
    return read_certificates(pem)[0].fingerprint


def begun(files: Files) -> Change:
    return begin_rotation(files, NOW)


def finished(files: Files) -> Change:
    return finish_rotation(files, NOW)


def test_the_first_step_makes_a_ca_that_signs_nothing_and_is_to_be_uploaded() -> None:
    change = begun(NEW)

    assert list(change.writes) == ["ca-next.key", "ca-next.crt"]
    assert faults_of_authority(change.writes["ca-next.crt"], NOW) == []
    assert change.upload == "ca-next.crt"
    assert fingerprint(change.writes["ca-next.crt"]) != fingerprint(NEW["ca.crt"])


def test_the_first_step_again_says_the_same_and_makes_nothing() -> None:
    change = begun(WAITING)

    assert (change.writes, change.upload) == ({}, "ca-next.crt")


def test_a_first_step_that_left_only_a_key_is_made_again() -> None:
    change = begun(without(WAITING, "ca-next.crt"))

    assert list(change.writes) == ["ca-next.key", "ca-next.crt"]


def test_renewals_meanwhile_are_signed_by_the_old_ca() -> None:
    files = after(WAITING, renew(WAITING, NOW + 80 * DAY, SERVER_DURATION, 30 * DAY))

    assert is_whole(without(files, "ca-next.crt"), NOW + 80 * DAY)


def test_the_second_step_lets_the_next_ca_sign_with_the_same_key_and_keeps_the_old_one() -> None:
    change = signed(WAITING)

    assert list(change.writes) == ["ca-old.key", "ca-old.crt", "tls.crt", "ca.key", "ca.crt"]
    assert change.removes == ("ca-next.crt", "ca-next.key")
    assert change.archive == fingerprint(NEW["ca.crt"])
    assert is_whole(SIGNED)
    assert read_certificates(SIGNED["tls.crt"])[0].names == BOTH
    kept = [SIGNED[name] for name in ("ca.crt", "ca.key", "ca-old.crt", "ca-old.key", "tls.key")]
    assert kept == [WAITING[name] for name in ("ca-next.crt", "ca-next.key", "ca.crt", "ca.key", "tls.key")]


def test_a_ca_whose_key_was_kept_elsewhere_is_replaced_too() -> None:
    change = signed(without(WAITING, "ca.key"))

    assert list(change.writes) == ["ca-old.crt", "tls.crt", "ca.key", "ca.crt"]


def interruptions() -> Iterator[tuple[str, Files]]:
    """Yield the folder after each file that the second step writes."""
    files = WAITING
    for name, content in signed(WAITING).writes.items():
        files = {**files, name: content}
        yield f"after {name} was written", files


INTERRUPTED = dict(interruptions())


@pytest.mark.parametrize("files", INTERRUPTED.values(), ids=INTERRUPTED.keys())
def test_a_second_step_that_was_interrupted_is_one_of_two_cas_at_every_moment(files: Files) -> None:
    known = [NEW["ca.crt"], WAITING["ca-next.crt"]]

    assert faults_of_server_certificate(files["tls.crt"], known, [DOMAIN], NOW, files["tls.key"]) == []


@pytest.mark.parametrize("files", INTERRUPTED.values(), ids=INTERRUPTED.keys())
def test_a_second_step_that_was_interrupted_is_completed_by_the_same_again(files: Files) -> None:
    whole = after(files, signed(files))

    assert is_whole(whole)
    assert without(whole, "tls.crt") == without(SIGNED, "tls.crt")


def test_the_third_step_removes_the_old_ca_and_its_key() -> None:
    files = after(SIGNED, finished(SIGNED))

    assert sorted(files) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    assert is_whole(files)
    assert finished(files).said == ("ca-old.crt is not there, so nothing is to be removed",)


def test_the_third_step_removes_what_an_interrupted_second_one_left() -> None:
    files = {**SIGNED, "ca-next.key": SIGNED["ca.key"]}

    assert sorted(after(files, finished(files))) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]


def test_all_three_steps_can_be_taken_again() -> None:
    files = after(SIGNED, finished(SIGNED))

    assert begun(files).upload == "ca-next.crt"


@pytest.mark.parametrize(
    ("step", "files", "sentence"),
    [
        pytest.param(
            begun,
            {},
            "ca.crt is not there. Make it:",
            id="first, without a CA",
        ),
        pytest.param(
            begun,
            SIGNED,
            "ca-old.crt is there still, and a tunnel knows two CAs at most",
            id="first, before the third of the last time",
        ),
        pytest.param(signed, NEW, "ca-next.crt is not there. Make it:", id="second, before the first"),
        pytest.param(signed, SIGNED, "ca-next.crt is not there. Make it:", id="second, twice"),
        pytest.param(
            signed,
            without(WAITING, "tls.crt"),
            "tls.crt is not there with a name in it",
            id="second, without names",
        ),
        pytest.param(
            signed,
            {**WAITING, **of("ca-next", authority(valid_to=NOW - DAY / 2))},
            "ca-next.crt cannot sign",
            id="second, with a CA that has expired",
        ),
        pytest.param(
            finished,
            WAITING,
            "ca-next.crt has not signed yet",
            id="third, before the second",
        ),
        pytest.param(
            finished,
            {**SIGNED, "tls.crt": NEW["tls.crt"]},
            "tls.crt has a fault, so ca-old.crt stays. It was signed by",
            id="third, while the old CA still signs",
        ),
    ],
)
def test_a_step_out_of_order_changes_nothing_and_says_which_one_is_next(
    step: Callable[[Files], Change], files: Files, sentence: str
) -> None:
    with pytest.raises(KeepingError) as caught:
        step(files)

    assert sentence in str(caught.value)
