import asyncio
import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint

from tests.support.tokens import ISSUER, Clock, KeyEndpoint, jwks
from tunnelgate import Discovery, KeysUnavailable, RemoteKeys, StaticKeys
from tunnelgate.fetching import Fetched
from tunnelgate.jwks import VerificationKey

URL = "https://login.example.com/jwks"
METADATA_URL = "https://login.example.com/.well-known/oauth-authorization-server"


def algorithms_of(found: VerificationKey | None) -> frozenset[str]:
    return frozenset() if found is None else found.algorithms


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


class Issuer:
    """Keys at a URL, the endpoint behind it, and the time."""

    def __init__(self, answer: bytes | Fetched | Exception, **bounds: float) -> None:
        self.endpoint = KeyEndpoint(answer)
        self.clock = Clock(0)
        self.keys = RemoteKeys(URL, self.endpoint.fetch, clock=self.clock, **bounds)

    @property
    def fetches(self) -> int:
        return len(self.endpoint.asked)

    async def has(self, key_id: str) -> bool:
        return await self.keys.find(key_id) is not None


def test_keys_that_may_not_be_used_until_they_are_fetched_again_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_stale"):
        RemoteKeys(URL, KeyEndpoint(b"").fetch, max_age=3601, max_stale=3600)


@pytest.mark.anyio
async def test_keys_are_fetched_from_their_url_when_first_needed_and_then_remembered() -> None:
    issuer = Issuer(jwks("ES256"))

    before = list(issuer.endpoint.asked)

    assert {"ES256"} == algorithms_of(await issuer.keys.find("ES256"))
    assert await issuer.has("ES256")
    assert (before, issuer.endpoint.asked) == ([], [URL])
    assert (issuer.endpoint.forms, issuer.endpoint.headers) == ([None], [None])


@pytest.mark.anyio
async def test_a_hundred_requests_at_a_cold_start_share_one_fetch_and_all_get_the_key() -> None:
    issuer = Issuer(jwks("ES256"))
    issuer.endpoint.answers.clear()

    *found, _ = await asyncio.gather(*(issuer.has("ES256") for _ in range(100)), open_up(issuer))

    assert found == [True] * 100
    assert issuer.fetches == 1


async def open_up(issuer: Issuer) -> None:
    """Let the endpoint answer; in a gather this comes after all that stand before it have begun."""
    issuer.endpoint.answers.set()


@pytest.mark.promise("keys-follow-issuer")
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


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_a_key_that_is_published_before_it_is_used_is_there_without_anybody_waiting() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = jwks("ES256", "RS256")
    issuer.clock.now = 451

    assert await issuer.has("ES256")
    for _ in range(10):
        await checkpoint()  # what was begun in the background comes to its end
    issuer.endpoint.answers.clear()
    async with asyncio.timeout(10):
        found = await issuer.has("RS256")

    assert found
    assert issuer.fetches == 2


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

    assert (fetches_within, issuer.fetches) == (2, 3)


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_a_rotation_right_after_a_fetch_refuses_no_request() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = jwks("RS256")

    assert await issuer.has("RS256")
    assert not await issuer.has("ES256")
    assert issuer.fetches == 2


@pytest.mark.anyio
async def test_a_key_that_was_taken_back_is_gone_once_the_set_is_past_its_longest_age() -> None:
    issuer = Issuer(jwks("ES256", "RS256"))
    await issuer.keys.find("ES256")
    issuer.endpoint.answer = jwks("RS256")

    issuer.clock.now = 450
    before = (await issuer.has("ES256"), issuer.fetches)
    issuer.clock.now = 600.5
    past_it = (await issuer.has("ES256"), await issuer.has("RS256"), issuer.fetches)

    assert before == (True, 1)
    assert past_it == (False, True, 2)


ANSWERS = [
    pytest.param(OSError("connection refused"), id="is down"),
    pytest.param(TimeoutError(), id="does not answer in time"),
    pytest.param(Fetched(404, "application/json", jwks("ES256")), id="answers 404"),
    pytest.param(Fetched(500, "application/json", jwks("ES256")), id="answers 500"),
    pytest.param(Fetched(302, "application/json", jwks("ES256")), id="sends elsewhere"),
    pytest.param(Fetched(201, "application/json", jwks("ES256")), id="answers 201"),
    pytest.param(Fetched(204, "", b""), id="answers with nothing"),
    pytest.param(b"<html>Bad Gateway</html>", id="answers with a page"),
    pytest.param(b'{"keys":[]}', id="has no keys"),
    pytest.param(b'{"error":"rate limited"}', id="answers with something else"),
    pytest.param(b'{"keys":' + b"[" * 100_000, id="answers with depth"),
    pytest.param(jwks("ES256").replace(b'"kid":"ES256"', b'"kid":""'), id="names no key"),
    pytest.param(jwks("ES256", "ES256"), id="contradicts itself"),
    pytest.param(b'{"keys":[{"kty":"oct","kid":"ES256","k":"AQ"}]}', id="has a secret for a key"),
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_without_any_keys_nobody_can_tell_while_the_endpoint(
    answer: bytes | Fetched | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(answer)

    with pytest.raises(KeysUnavailable, match=f"^no keys from {URL}$"):
        await issuer.keys.find("ES256")

    assert f"keys from {URL}: " in caplog.text
    assert logging.ERROR in [record.levelno for record in caplog.records]
    issuer.clock.now = 30.5
    issuer.endpoint.answer = jwks("ES256")
    assert await issuer.has("ES256")


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_known_keys_are_used_up_to_their_bound_while_the_endpoint(
    answer: bytes | Fetched | Exception,
) -> None:
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
async def test_requests_that_go_away_do_not_make_the_gate_fetch_again_and_again() -> None:
    issuer = Issuer(jwks("ES256"))
    await issuer.keys.find("ES256")
    issuer.clock.now = 31
    issuer.endpoint.was_asked.clear()
    issuer.endpoint.answers.clear()

    for each in range(10):
        request = asyncio.create_task(issuer.has(f"made up {each}"))
        await issuer.endpoint.was_asked.wait()
        request.cancel()
        await asyncio.wait([request])
    issuer.endpoint.answers.set()

    assert not await issuer.has("made up")
    assert issuer.fetches == 2


class Described:
    """An issuer whose keys are where its metadata says."""

    def __init__(self) -> None:
        self.clock = Clock(0)
        self.pages: dict[str, Any] = {METADATA_URL: {"issuer": ISSUER, "jwks_uri": URL}}
        self.sets: dict[str, bytes] = {URL: jwks("ES256")}
        self.asked: list[str] = []
        discovery = Discovery(ISSUER, self.fetch, clock=self.clock)
        self.keys = RemoteKeys(discovery, self.fetch, clock=self.clock)

    async def fetch(self, url: str, *, form: object = None, headers: object = None) -> Fetched:
        self.asked.append(url)
        if url in self.pages:
            return Fetched(200, "application/json", orjson.dumps(self.pages[url]))
        if url in self.sets:
            return Fetched(200, "application/json", self.sets[url])
        return Fetched(404, "text/html", b"")


@pytest.mark.anyio
async def test_keys_are_fetched_from_where_the_metadata_says() -> None:
    issuer = Described()

    assert await issuer.keys.find("ES256") is not None
    assert issuer.asked == [METADATA_URL, URL]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_keys_that_move_are_followed() -> None:
    issuer = Described()
    await issuer.keys.find("ES256")
    issuer.pages[METADATA_URL] = {"issuer": ISSUER, "jwks_uri": URL + "/2"}
    issuer.sets = {URL + "/2": jwks("RS256")}
    issuer.clock.now = 601

    assert await issuer.keys.find("RS256") is not None
    assert await issuer.keys.find("ES256") is None


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": ISSUER}, id="does not say"),
        pytest.param({"issuer": ISSUER, "jwks_uri": "jwks"}, id="says what is no URL"),
        pytest.param({"issuer": ISSUER, "jwks_uri": [URL]}, id="says it in a list"),
        pytest.param({"issuer": ISSUER, "jwks_uri": URL.replace("https", "http")}, id="drops TLS"),
        pytest.param({"issuer": ISSUER + "/", "jwks_uri": URL}, id="is another issuer's"),
        pytest.param([], id="is a list"),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_no_keys_are_fetched_where_the_metadata(metadata: object) -> None:
    issuer = Described()
    issuer.pages[METADATA_URL] = metadata

    with pytest.raises(KeysUnavailable, match=f"no keys from the metadata of {ISSUER}"):
        await issuer.keys.find("ES256")

    assert URL not in issuer.asked


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_known_keys_are_used_while_the_metadata_cannot_be_had() -> None:
    issuer = Described()
    await issuer.keys.find("ES256")
    issuer.pages, issuer.sets = {}, {}

    for moment in (601, 3600):
        issuer.clock.now = moment
        assert await issuer.keys.find("ES256") is not None
    issuer.clock.now = 3600.5

    with pytest.raises(KeysUnavailable, match="no keys from the metadata"):
        await issuer.keys.find("ES256")
