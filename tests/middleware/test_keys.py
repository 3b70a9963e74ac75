import asyncio
import itertools
import logging
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tokens import Clock, KeyEndpoint, jwks, key
from tunnelgate import KeysUnavailable, RemoteKeys, StaticKeys
from tunnelgate.keys import ALGORITHMS, VerificationKey, read_keys

URL = "https://login.example.com/jwks"
CRITICAL = logging.CRITICAL
WARNING = logging.WARNING


def public(algorithm: str = "ES256", **members: Any) -> dict[str, Any]:
    """Return a public JWK; a member that is ``None`` is left out."""
    jwk = {**key(algorithm).as_dict(private=False), **members}
    return {name: value for name, value in jwk.items() if value is not None}


def document(*entries: Any) -> bytes:
    return orjson.dumps({"keys": list(entries)})


def rsa(bits: int, exponent: int = 65537, **members: Any) -> dict[str, Any]:
    """Return an RSA JWK whose modulus has exactly so many bits."""
    return {"kty": "RSA", "kid": "r", "n": number((1 << (bits - 1)) + 1), "e": number(exponent), **members}


def number(value: int) -> str:
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        pytest.param(b"<html>", "is not a JWK set: .* at character 0", id="a page"),
        pytest.param(b"", "is not a JWK set", id="nothing"),
        pytest.param(b'{"keys":["\xff"]}', "is not a JWK set: not UTF-8", id="not UTF-8"),
        pytest.param(b'{"keys":[],"keys":[]}', "is not a JWK set: a member twice", id="a member twice"),
        pytest.param(b'{"keys":' + b"[" * 100, "is not a JWK set: nested deeper", id="nested without end"),
        pytest.param(b"[]", 'has no list "keys"', id="a list"),
        pytest.param(b"{}", 'has no list "keys"', id="no keys"),
        pytest.param(b'{"keys":{}}', 'has no list "keys"', id="keys that are no list"),
        pytest.param(b'{"keys":null}', 'has no list "keys"', id="keys that are null"),
        pytest.param(b'{"keys":[]}', "has no key that tokens may be signed with", id="an empty list"),
        pytest.param(
            document(public(kid=None)), "has no key that tokens may be signed with", id="no usable key"
        ),
        pytest.param(
            document(public("ES256", kid="1"), public("RS256", kid="1")),
            "has two keys with the kid '1'",
            id="two keys with one kid",
        ),
    ],
)
def test_a_document_that_is_no_set_of_usable_keys_is_refused_with_a_sentence(
    raw: bytes, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_keys(raw)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        pytest.param("ES256", "it is not an object", id="a text"),
        pytest.param([], "it is not an object", id="a list"),
        pytest.param(public("RS256", kid=None), "it has no kid", id="no kid"),
        pytest.param(public("RS256", kid=""), "it has no kid", id="an empty kid"),
        pytest.param(public("RS256", kid=7), "it has no kid", id="a kid that is a number"),
        pytest.param(
            {"kty": "oct", "kid": "o", "k": "c2VjcmV0", "alg": "HS256"}, "'o' is of kind 'oct'", id="T009 oct"
        ),
        pytest.param(public("RS256", kty=None), "is of kind None", id="no kty"),
        pytest.param(public("RS256", kty=["RSA"]), r"is of kind \['RSA'\]", id="a kty that is a list"),
        pytest.param(public("RS256", kty="rsa"), "is of kind 'rsa'", id="a kty in lower case"),
        pytest.param(public("Ed25519", crv="X25519"), "is of kind 'OKP' X25519", id="a key for agreement"),
        pytest.param(public("Ed25519", crv="Ed448"), "is of kind 'OKP' Ed448", id="another curve"),
        pytest.param(public("RS256", kid="p", kty="EC", crv="P-384"), "'EC' P-384", id="a larger curve"),
        pytest.param(public("RS256", kty="EC", crv=None), "is of kind 'EC'", id="no curve"),
        pytest.param(public("RS256", use="enc"), "is not for signatures alone", id="a key for encryption"),
        pytest.param(public("RS256", use=None, key_ops=["sign"]), "not for signatures", id="key_ops sign"),
        pytest.param(
            public("RS256", key_ops=["verify", "encrypt"]), "not for signatures alone", id="key_ops with more"
        ),
        pytest.param(public("RS256", key_ops="verify"), "not for signatures alone", id="key_ops as a text"),
        pytest.param(public("RS256", alg="RS512"), "for the algorithm 'RS512'", id="a longer hash"),
        pytest.param(public("RS256", alg="HS256"), "for the algorithm 'HS256'", id="a symmetric algorithm"),
        pytest.param(public("RS256", alg="none"), "for the algorithm 'none'", id="no algorithm"),
        pytest.param(public("RS256", alg=7), "for the algorithm 7", id="an algorithm that is a number"),
        pytest.param(public("RS256", alg="ES256"), "for the algorithm 'ES256'", id="one of another kind"),
        pytest.param(rsa(1024), "'r' is a weak RSA key", id="T056 1024 bits"),
        pytest.param(rsa(2047), "'r' is a weak RSA key", id="one bit too few"),
        pytest.param(rsa(2048, 65535), "'r' is a weak RSA key", id="a small exponent"),
        pytest.param(rsa(2048, 1), "not used", id="T056 exponent 1"),
        pytest.param(public("RS256", n=None), "'n' is required", id="no modulus"),
        pytest.param(public("RS256", n=5), "'n' must be a str", id="a modulus that is a number"),
        pytest.param(public("RS256", n=""), "not used", id="an empty modulus"),
        pytest.param(public("RS256", n="*é"), "not used", id="a modulus that is not base64url"),
        pytest.param(public("ES256", kid="e", y=None), "'y' is required", id="half a point"),
        pytest.param(public("ES256", kid="e", x="AA", y="AA"), "not used", id="a point beside the curve"),
        pytest.param(public("Ed25519", x="AA"), "not used", id="a point that is too short"),
    ],
)
def test_a_key_that_is_not_good_enough_is_left_out_and_the_others_are_used(
    entry: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = read_keys(document(entry, public("ES256", kid="good")))

    assert list(keys) == ["good"]
    assert [record.levelno for record in caplog.records] == [WARNING]
    assert caplog.records[0].getMessage().startswith("a key of the JWK set is not used: ")
    assert re.search(sentence, caplog.records[0].getMessage())


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        pytest.param(public("RS256"), {"RS256"}, id="RSA for RS256"),
        pytest.param(public("PS256"), {"PS256"}, id="RSA for PS256"),
        pytest.param(public("RS256", alg=None), {"RS256", "PS256"}, id="RSA for whatever RSA can do"),
        pytest.param(public("ES256", alg=None), {"ES256"}, id="P-256"),
        pytest.param(public("Ed25519", alg=None), {"Ed25519"}, id="Ed25519"),
        pytest.param(public("ES256", use=None), {"ES256"}, id="no use"),
        pytest.param(public("ES256", key_ops=["verify"]), {"ES256"}, id="key_ops verify"),
        pytest.param(public("ES256", x5t="abc", issuer="x"), {"ES256"}, id="members that nobody reads"),
        pytest.param(rsa(2048), {"RS256", "PS256"}, id="the smallest modulus and exponent"),
    ],
)
def test_a_good_key_is_bound_to_the_algorithms_of_its_kind(
    entry: dict[str, Any], algorithms: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    keys = read_keys(document(entry))

    assert {entry["kid"]: algorithms} == {name: found.algorithms for name, found in keys.items()}
    assert algorithms <= ALGORITHMS
    assert caplog.records == []


def test_of_a_published_private_key_the_public_part_is_used_and_the_leak_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    leaked = key("ES256").as_dict(private=True)

    keys = read_keys(document(leaked))

    assert "d" in leaked
    assert not keys["ES256"].key.is_private
    assert "d" not in keys["ES256"].key.as_dict()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (CRITICAL, "the JWK set publishes the private part of the key 'ES256'")
    ]


@given(raw=st.binary(max_size=200))
def test_no_octets_make_the_reader_raise_anything_but_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        read_keys(raw)


TEXTS = st.text("AQab09-_=+/ *\n\0é\U0001f511", max_size=50)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 2**53 - 1),
    TEXTS,
    st.lists(TEXTS, max_size=2),
    st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "P-384", "Ed25519", "X25519", "sig", "enc"]),
    st.sampled_from([*ALGORITHMS, "HS256", "none", "AQAB", "Aw", number(2**2047 + 1), "A" * 43, "_" * 43]),
)
MEMBERS = ("kty", "kid", "crv", "x", "y", "n", "e", "d", "p", "alg", "use", "key_ops", "x5c")


@given(
    base=st.sampled_from(["RS256", "PS256", "ES256", "Ed25519"]),
    changes=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=4),
)
@settings(max_examples=200)
def test_no_lying_key_makes_the_reader_raise_or_become_more_than_it_is(
    base: str, changes: dict[str, Any]
) -> None:
    good = public("ES256", kid="good")
    if changes.get("kid") == "good":
        del changes["kid"]

    keys = read_keys(document(good, {**public(base), **changes}))

    assert "good" in keys
    for found in keys.values():
        assert found.algorithms <= ALGORITHMS
        assert found.key.key_type in {"RSA", "EC", "OKP"}
        assert not found.key.is_private


@pytest.mark.anyio
async def test_the_keys_of_a_file_are_found_by_kid(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks("ES256", "RS256"))

    keys = StaticKeys.from_file(path)

    assert {"RS256"} == algorithms_of(await keys.find("RS256"))
    assert await keys.find("PS256") is None


def test_a_file_of_keys_that_is_not_there_is_the_callers_to_handle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StaticKeys.from_file(tmp_path / "jwks.json")


def test_static_keys_need_a_usable_key() -> None:
    with pytest.raises(ValueError, match="has no key that tokens may be signed with"):
        StaticKeys(b'{"keys":[]}')


def algorithms_of(found: VerificationKey | None) -> frozenset[str]:
    return frozenset() if found is None else found.algorithms


class Issuer:
    """Keys at a URL, the endpoint behind it, and the time."""

    def __init__(self, answer: bytes | Exception, **bounds: float) -> None:
        self.endpoint = KeyEndpoint(answer)
        self.clock = Clock(0)
        self.keys = RemoteKeys(URL, self.endpoint.fetch, clock=self.clock, **bounds)

    @property
    def fetches(self) -> int:
        return len(self.endpoint.asked)

    async def has(self, key_id: str) -> bool:
        return await self.keys.find(key_id) is not None


@pytest.mark.anyio
async def test_keys_are_fetched_from_their_url_when_first_needed_and_then_remembered() -> None:
    issuer = Issuer(jwks("ES256"))

    assert issuer.endpoint.asked == []
    assert {"ES256"} == algorithms_of(await issuer.keys.find("ES256"))
    assert await issuer.has("ES256")
    assert issuer.endpoint.asked == [URL]


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_cold_start_share_one_fetch_and_all_get_the_key() -> None:
    issuer = Issuer(jwks("ES256"))
    issuer.endpoint.answers.clear()

    *found, _ = await asyncio.gather(*(issuer.has("ES256") for _ in range(100)), open_up(issuer))

    assert found == [True] * 100
    assert issuer.fetches == 1


@pytest.mark.anyio
async def test_a_rotation_refuses_no_request_with_the_new_key_and_delays_none_with_the_old() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.clock.now = 31
    issuer.endpoint.answer = jwks("ES256", "RS256")
    issuer.endpoint.answers.clear()

    with_new_key = asyncio.gather(*(issuer.has("RS256") for _ in range(100)))
    with_old_key = await asyncio.gather(*(issuer.has("ES256") for _ in range(100)))
    issuer.endpoint.answers.set()

    assert with_old_key == [True] * 100
    assert await with_new_key == [True] * 100
    assert issuer.fetches == 2


@pytest.mark.anyio
async def test_while_old_keys_are_fetched_again_requests_with_them_do_not_wait() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.clock.now = 601
    issuer.endpoint.was_asked.clear()
    issuer.endpoint.answers.clear()

    leader = asyncio.create_task(issuer.has("ES256"))
    await issuer.endpoint.was_asked.wait()
    async with asyncio.timeout(10):
        found = await asyncio.gather(*(issuer.has("ES256") for _ in range(100)))
    issuer.endpoint.answers.set()

    assert found == [True] * 100
    assert await leader
    assert issuer.fetches == 2


async def open_up(issuer: Issuer) -> None:
    """Let the endpoint answer; in a gather this comes after all that stand before it have begun."""
    issuer.endpoint.answers.set()


@pytest.mark.anyio
async def test_unknown_kids_cause_one_fetch_in_a_cooldown() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")

    for moment in (0, 1, 30):
        issuer.clock.now = moment
        assert not await issuer.has(f"made up at {moment}")
    fetches_within = issuer.fetches
    issuer.clock.now = 30.5
    assert not await issuer.has("made up")

    assert (fetches_within, issuer.fetches) == (1, 2)


@pytest.mark.anyio
async def test_keys_are_fetched_again_when_they_are_older_than_their_longest_age() -> None:
    issuer = Issuer(jwks("ES256", "RS256"))
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = jwks("RS256")

    issuer.clock.now = 600
    at_the_age = (await issuer.has("ES256"), issuer.fetches)
    issuer.clock.now = 600.5
    past_it = (await issuer.has("ES256"), await issuer.has("RS256"), issuer.fetches)

    assert at_the_age == (True, 1)
    assert past_it == (False, True, 2)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OSError("connection refused"), id="is down"),
        pytest.param(TimeoutError(), id="does not answer in time"),
        pytest.param(b"<html>Bad Gateway</html>", id="answers with a page"),
        pytest.param(b'{"keys":[]}', id="has no keys"),
        pytest.param(b'{"error":"rate limited"}', id="answers with something else"),
        pytest.param(b'{"keys":' + b"[" * 100_000, id="answers with depth"),
        pytest.param(jwks("ES256").replace(b'"kid":"ES256"', b'"kid":""'), id="names no key"),
        pytest.param(document(public("RS256", kid="1"), public("ES256", kid="1")), id="contradicts itself"),
    ],
)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_without_any_keys_nobody_can_tell_while_the_endpoint(
    answer: bytes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(answer)

    with pytest.raises(KeysUnavailable, match=URL):
        await issuer.keys.find("ES256")

    assert logging.ERROR in [record.levelno for record in caplog.records]
    issuer.clock.now = 30.5
    issuer.endpoint.answer = jwks("ES256")
    assert await issuer.has("ES256")


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_failing_cold_start_share_one_fetch() -> None:
    issuer = Issuer(OSError("connection refused"))
    issuer.endpoint.answers.clear()

    *found, _ = await asyncio.gather(
        *(issuer.keys.find("ES256") for _ in range(100)), open_up(issuer), return_exceptions=True
    )

    assert [type(each) for each in found] == [KeysUnavailable] * 100
    assert issuer.fetches == 1


@pytest.mark.anyio
async def test_a_failing_endpoint_is_asked_once_in_a_cooldown_that_begins_when_it_has_failed() -> None:
    asked: list[float] = []
    clock = Clock(0)

    async def fail_slowly(url: str) -> bytes:
        asked.append(clock.now)
        clock.now += 40
        raise TimeoutError

    keys = RemoteKeys(URL, fail_slowly, clock=clock)
    for moment in (0, 41, 70, 70.5):
        clock.now = max(clock.now, moment)
        with pytest.raises(KeysUnavailable):
            await keys.find("ES256")

    assert asked == [0, 70.5]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OSError("connection refused"), id="is down"),
        pytest.param(b"<html>Bad Gateway</html>", id="answers with a page"),
        pytest.param(b'{"keys":[]}', id="has no keys any more"),
    ],
)
@pytest.mark.anyio
async def test_known_keys_are_used_up_to_their_bound_while_the_endpoint(answer: bytes | Exception) -> None:
    issuer = Issuer(jwks("ES256"), max_stale=3600)
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = answer

    for moment in (601, 3600):
        issuer.clock.now = moment
        assert await issuer.has("ES256")
    issuer.clock.now = 3600.5
    with pytest.raises(KeysUnavailable, match=URL):
        await issuer.keys.find("ES256")

    issuer.clock.now = 3700
    issuer.endpoint.answer = jwks("ES256")
    assert await issuer.has("ES256")


@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_whether_an_unknown_kid_is_a_new_key_nobody_can_tell_while_the_endpoint_is_down() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = OSError("connection refused")
    issuer.clock.now = 31

    with pytest.raises(KeysUnavailable, match=URL):
        await issuer.keys.find("RS256")

    assert await issuer.has("ES256")


@pytest.mark.anyio
async def test_an_unknown_kid_is_unknown_at_an_endpoint_that_answers_however_the_clock_ticks() -> None:
    ticks = itertools.count()
    keys = RemoteKeys(URL, KeyEndpoint(jwks("ES256")).fetch, clock=lambda: next(ticks) / 1000)

    assert await keys.find("ES256") is not None
    assert await keys.find("RS256") is None


@pytest.mark.anyio
async def test_a_request_that_goes_away_while_it_fetches_changes_nothing_for_the_others() -> None:
    issuer = Issuer(jwks("ES256"))
    issuer.endpoint.answers.clear()
    leader = asyncio.create_task(issuer.has("ES256"))
    followers = asyncio.gather(*(issuer.has("ES256") for _ in range(10)))
    await issuer.endpoint.was_asked.wait()

    leader.cancel()
    issuer.endpoint.answers.set()

    assert await followers == [True] * 10
    assert await issuer.has("ES256")
    assert leader.cancelled()
    assert issuer.fetches == 1


@pytest.mark.anyio
async def test_requests_that_go_away_do_not_make_the_gate_fetch_again_and_again() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.clock.now = 31
    issuer.endpoint.answers.clear()

    for each in range(10):
        request = asyncio.create_task(issuer.has(f"made up {each}"))
        await checkpoint()  # the request begins
        await checkpoint()  # and so does what it began
        request.cancel()
        await asyncio.wait([request])
    issuer.endpoint.answers.set()

    assert not await issuer.has("made up")
    assert issuer.fetches == 2


def test_keys_that_may_not_be_used_until_they_are_fetched_again_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_stale"):
        RemoteKeys(URL, KeyEndpoint(b"").fetch, max_age=3601, max_stale=3600)


@pytest.mark.anyio
async def test_the_longest_age_may_be_the_bound_itself() -> None:
    issuer = Issuer(jwks("ES256"), max_age=3600, max_stale=3600)
    await issuer.keys.find("ES256")

    issuer.clock.now = 3600.5

    assert await issuer.has("ES256")
    assert issuer.fetches == 2
