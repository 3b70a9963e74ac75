import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.tokens import ISSUER, Clock, KeyEndpoint, introspected, nothing_unretrieved
from tunnelgate import ClientSecret, Discovery, Introspection, IssuerUnavailable, Reason
from tunnelgate.fetching import Fetched
from tunnelgate.introspection import MAX_AGE, MAX_ANSWER, MAX_ASKING
from tunnelgate.reading.fault import Fault

URL = "https://login.example.com/introspect"
NOW = 1_800_000_000
TOKEN = b"2YotnFZFEjr1zCsicMWpAA"
REMEMBERED_REFUSALS = 4096
ACTIVE = introspected(NOW)
INACTIVE = b'{"active":false}'
CLIENT = ClientSecret("gate", "s3cret")
LIMIT = 10  # seconds that a test waits for what should be there at once


def json_answer(body: bytes) -> Fetched:
    return Fetched(200, "application/json", body)


class Issuer:
    """Introspection at a URL, the endpoint behind it, and the time."""

    def __init__(self, answer: bytes | Fetched | Exception = ACTIVE, **bounds: Any) -> None:
        self.endpoint = KeyEndpoint(answer)
        self.clock = Clock(0)
        self.introspection = Introspection(URL, self.endpoint.fetch, CLIENT, clock=self.clock, **bounds)

    @property
    def questions(self) -> int:
        return len(self.endpoint.asked)

    async def verdict(self, token: bytes = TOKEN) -> str | Reason:
        """Return who a token is for, or why nobody can tell."""
        try:
            said = await self.introspection.ask(token)
        except (Fault, IssuerUnavailable) as error:
            return error.reason
        return str(said["sub"])

    def hang(self) -> None:
        self.endpoint.answers.clear()
        self.endpoint.was_asked.clear()

    async def begin(self, tokens: int) -> list["asyncio.Task[str | Reason]"]:
        """Ask about so many tokens at once, and return when all questions are on their way."""
        before = self.questions
        asking = [asyncio.create_task(self.verdict(b"token-%d" % each)) for each in range(tokens)]
        async with asyncio.timeout(LIMIT):
            while self.questions < before + tokens:
                await checkpoint()
        return asking


@pytest.mark.anyio
async def test_an_active_token_is_what_the_issuer_says_it_is() -> None:
    issuer = Issuer()

    said = await issuer.introspection.ask(TOKEN)

    assert said == json.loads(ACTIVE)
    assert issuer.endpoint.asked == [URL]


@pytest.mark.parametrize(
    ("client", "form", "headers"),
    [
        pytest.param(
            ClientSecret("gate", "s3cret"),
            {},
            {"authorization": f"Basic {b64encode(b'gate:s3cret').decode()}"},
            id="in the header",
        ),
        pytest.param(
            ClientSecret("gate", "s3cret", "client_secret_post"),
            {"client_id": "gate", "client_secret": "s3cret"},
            {},
            id="in the form",
        ),
    ],
)
@pytest.mark.anyio
async def test_the_token_is_asked_about_in_a_form_and_the_gate_says_who_it_is(
    client: ClientSecret, form: dict[str, str], headers: dict[str, str]
) -> None:
    endpoint = KeyEndpoint(ACTIVE)

    await Introspection(URL, endpoint.fetch, client).ask(TOKEN)

    asked = {"token": TOKEN.decode(), "token_type_hint": "access_token", **form}
    assert (endpoint.forms, endpoint.headers) == ([asked], [headers])


NOBODY_KNOWS = Reason.ISSUER_UNAVAILABLE
CASES = [
    pytest.param(INACTIVE, Reason.TOKEN_INACTIVE, id="false"),
    pytest.param(introspected(NOW, active=False), Reason.TOKEN_INACTIVE, id="false and much else"),
    pytest.param(b' { "active" : false } ', Reason.TOKEN_INACTIVE, id="false between spaces"),
    pytest.param(introspected(NOW, active=1), NOBODY_KNOWS, id="one"),
    pytest.param(introspected(NOW, active="true"), NOBODY_KNOWS, id="true as a text"),
    pytest.param(introspected(NOW, active="True"), NOBODY_KNOWS, id="True as a text"),
    pytest.param(introspected(NOW, active=[True]), NOBODY_KNOWS, id="true in a list"),
    pytest.param(introspected(NOW, active={"value": True}), NOBODY_KNOWS, id="true in an object"),
    pytest.param(introspected(NOW, active=None), NOBODY_KNOWS, id="nothing"),
    pytest.param(orjson.dumps({"active": None}), NOBODY_KNOWS, id="null"),
    pytest.param(orjson.dumps({"Active": True}), NOBODY_KNOWS, id="true under another name"),
    pytest.param(b'{"active":false,"active":true}', NOBODY_KNOWS, id="false and true"),
    pytest.param(b'{"active":true,"active":true}', NOBODY_KNOWS, id="true twice"),
    pytest.param(b"true", NOBODY_KNOWS, id="true alone"),
    pytest.param(b'[{"active":true}]', NOBODY_KNOWS, id="true in a list of answers"),
    pytest.param(b"", NOBODY_KNOWS, id="nothing at all"),
    pytest.param(b"<html>active: true</html>", NOBODY_KNOWS, id="a page"),
    pytest.param(ACTIVE + ACTIVE, NOBODY_KNOWS, id="two answers"),
    pytest.param(ACTIVE.decode().encode("utf-16"), NOBODY_KNOWS, id="UTF-16"),
    pytest.param(ACTIVE[:-1], NOBODY_KNOWS, id="half an answer"),
    pytest.param(b'{"active":true,"exp":1e999}', NOBODY_KNOWS, id="a number beyond all numbers"),
    pytest.param(b'{"active":true,"a":' + b"[" * 100_000, NOBODY_KNOWS, id="depth"),
    pytest.param(Fetched(200, "text/html", ACTIVE), NOBODY_KNOWS, id="JSON that says it is a page"),
    pytest.param(Fetched(200, "", ACTIVE), NOBODY_KNOWS, id="JSON that does not say what it is"),
    pytest.param(
        Fetched(200, "application/token-introspection+jwt", ACTIVE), NOBODY_KNOWS, id="a signed answer"
    ),
    pytest.param(Fetched(201, "application/json", ACTIVE), NOBODY_KNOWS, id="another status of success"),
    pytest.param(Fetched(302, "application/json", ACTIVE), NOBODY_KNOWS, id="the way elsewhere"),
    pytest.param(Fetched(400, "application/json", ACTIVE), NOBODY_KNOWS, id="400"),
    pytest.param(
        Fetched(400, "application/json", b'{"error":"unsupported_token_type"}'),
        Reason.TOKEN_INACTIVE,
        id="that it makes no such tokens",
    ),
    pytest.param(
        Fetched(400, "application/json", b'{"active":true,"error":"unsupported_token_type"}'),
        Reason.TOKEN_INACTIVE,
        id="that it makes no such tokens and that this one is active",
    ),
    pytest.param(
        Fetched(400, "application/json", b'{"error":"invalid_request"}'), NOBODY_KNOWS, id="another error"
    ),
    pytest.param(
        Fetched(400, "application/json", b'{"error":["unsupported_token_type"]}'),
        NOBODY_KNOWS,
        id="that error in a list",
    ),
    pytest.param(
        Fetched(400, "application/json", b'["unsupported_token_type"]'), NOBODY_KNOWS, id="400 and a list"
    ),
    pytest.param(
        Fetched(400, "text/html", b'{"error":"unsupported_token_type"}'), NOBODY_KNOWS, id="400 and a page"
    ),
    pytest.param(
        Fetched(401, "application/json", b'{"error":"unsupported_token_type"}'),
        NOBODY_KNOWS,
        id="that error with another status",
    ),
    pytest.param(b'{"error":"unsupported_token_type"}', NOBODY_KNOWS, id="that error with 200"),
    pytest.param(Fetched(401, "application/json", ACTIVE), NOBODY_KNOWS, id="that it does not know us"),
    pytest.param(Fetched(404, "application/json", INACTIVE), NOBODY_KNOWS, id="404"),
    pytest.param(Fetched(429, "application/json", ACTIVE), NOBODY_KNOWS, id="that we ask too often"),
    pytest.param(Fetched(500, "application/json", ACTIVE), NOBODY_KNOWS, id="that it is broken"),
    pytest.param(OSError("connection refused"), NOBODY_KNOWS, id="nothing, as it is down"),
    pytest.param(TimeoutError(), NOBODY_KNOWS, id="nothing in time"),
]


@pytest.mark.parametrize(("answer", "reason"), CASES)
@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_a_token_is_not_active_of_which_the_issuer_says(
    answer: bytes | Fetched | Exception, reason: Reason
) -> None:
    issuer = Issuer(answer)

    assert await issuer.verdict() == reason
    issuer.endpoint.answer = ACTIVE
    issuer.clock.now = 30
    assert await issuer.verdict() == "alice"


@pytest.mark.parametrize(("answer", "reason"), CASES)
@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_neither_token_nor_secret_stands_in_what_is_said_of_it(
    answer: bytes | Fetched | Exception, reason: Reason
) -> None:
    secret = b"canary-" + TOKEN
    if isinstance(answer, bytes):
        answer = answer.replace(b"}", b',"' + secret + b'":1,"' + secret + b'":2}')
    issuer = Issuer(answer)

    with pytest.raises((Fault, IssuerUnavailable)) as caught:
        await issuer.introspection.ask(secret)

    assert "canary" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.anyio
async def test_what_cannot_be_asked_about_is_not_asked_about_and_not_repeated() -> None:
    issuer = Issuer()

    with pytest.raises((Fault, IssuerUnavailable)) as caught:
        await issuer.introspection.ask(b"canary\xe9")

    assert "canary" not in str(caught.value)
    assert issuer.questions == 0


@pytest.mark.parametrize("status", [201, 400, 401, 500, 503])
@pytest.mark.anyio
async def test_of_an_answer_that_is_none_the_status_is_told(status: int) -> None:
    issuer = Issuer(Fetched(status, "application/json", b"{}"))

    with pytest.raises(IssuerUnavailable, match=f"^introspection: status {status}$"):
        await issuer.introspection.ask(TOKEN)


@pytest.mark.anyio
async def test_of_a_page_of_somebody_in_between_the_status_is_told() -> None:
    issuer = Issuer(Fetched(502, "text/html", b"<html>"))

    with pytest.raises(IssuerUnavailable, match=r"^introspection: status 502$"):
        await issuer.introspection.ask(TOKEN)


@pytest.mark.anyio
async def test_a_media_type_without_end_is_not_repeated_to_its_end() -> None:
    issuer = Issuer(Fetched(200, "text/" + "x" * 100_000, ACTIVE))

    with pytest.raises(IssuerUnavailable) as caught:
        await issuer.introspection.ask(TOKEN)

    assert len(str(caught.value)) < 200


def padded_to(size: int, **claims: Any) -> bytes:
    """Return an answer of exactly so many octets."""
    return introspected(NOW, **claims, pad="x" * (size - len(introspected(NOW, **claims, pad=""))))


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_an_answer_as_long_as_allowed_is_read_and_a_longer_one_is_not() -> None:
    issuer = Issuer(padded_to(MAX_ANSWER))

    longest = await issuer.verdict()
    issuer.endpoint.answer = padded_to(MAX_ANSWER + 1)

    assert MAX_ANSWER == 16384
    assert (longest, await issuer.verdict()) == ("alice", Reason.ISSUER_UNAVAILABLE)


@pytest.mark.parametrize(
    ("max_age", "moments", "questions"),
    [
        pytest.param(MAX_AGE, (0, 1, 29.5), 1, id="half a second less than by default"),
        pytest.param(MAX_AGE, (0, 30), 2, id="at the default age"),
        pytest.param(5.0, (0, 4.5), 1, id="within its age"),
        pytest.param(5.0, (0, 5, 5), 2, id="at its age"),
        pytest.param(0.0, (0, 0, 0), 3, id="never"),
    ],
)
@pytest.mark.anyio
async def test_a_refusal_is_remembered(max_age: float, moments: tuple[float, ...], questions: int) -> None:
    issuer = Issuer(INACTIVE, max_age=max_age)

    for moment in moments:
        issuer.clock.now = moment
        assert await issuer.verdict() == Reason.TOKEN_INACTIVE

    assert issuer.questions == questions
    assert issuer.introspection.max_age == max_age


@pytest.mark.anyio
async def test_the_age_of_a_refusal_is_counted_from_the_answer() -> None:
    clock = Clock(0)
    questions: list[float] = []

    async def answer_slowly(url: str, *, form: object = None, headers: object = None) -> Fetched:
        questions.append(clock.now)
        clock.now += 5
        return json_answer(INACTIVE)

    introspection = Introspection(URL, answer_slowly, CLIENT, clock=clock)
    for moment in (0, 34.5, 35):
        clock.now = max(clock.now, moment)
        with pytest.raises(Fault, match=Reason.TOKEN_INACTIVE):
            await introspection.ask(TOKEN)

    assert questions == [0, 35]


@pytest.mark.parametrize(
    "answer", [pytest.param(ACTIVE, id="a good one"), pytest.param(OSError("down"), id="none")]
)
@pytest.mark.anyio
async def test_no_answer_is_remembered_but_a_refusal(answer: bytes | Exception) -> None:
    issuer = Issuer(answer)

    first, second = await issuer.verdict(), await issuer.verdict()

    assert first == second
    assert issuer.questions == 2


@pytest.mark.anyio
async def test_a_refusal_says_nothing_about_another_token() -> None:
    issuer = Issuer(INACTIVE)
    assert await issuer.verdict(b"one") == Reason.TOKEN_INACTIVE
    issuer.endpoint.answer = ACTIVE

    assert await issuer.verdict(b"two") == "alice"
    assert await issuer.verdict(b"One") == "alice"
    assert await issuer.verdict(b"one") == Reason.TOKEN_INACTIVE


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_many_refusals_as_allowed_are_remembered_and_then_the_oldest_is_forgotten() -> None:
    issuer = Issuer(INACTIVE)

    for each in range(REMEMBERED_REFUSALS):
        await issuer.verdict(b"%d" % each)
    await issuer.verdict(b"0")
    at_the_limit = issuer.questions
    await issuer.verdict(b"one more")
    await issuer.verdict(b"1")
    past_it = issuer.questions
    await issuer.verdict(b"0")

    assert (at_the_limit, past_it) == (REMEMBERED_REFUSALS, REMEMBERED_REFUSALS + 1)
    assert issuer.questions == REMEMBERED_REFUSALS + 2


@pytest.mark.anyio
async def test_a_refusal_that_is_said_again_is_the_newest() -> None:
    issuer = Issuer(INACTIVE)
    for each in range(REMEMBERED_REFUSALS):
        await issuer.verdict(b"%d" % each)
    issuer.clock.now = 30
    await issuer.verdict(b"0")

    await issuer.verdict(b"one more")
    before = issuer.questions
    await issuer.verdict(b"0")

    assert issuer.questions == before


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        pytest.param(ACTIVE, "alice", id="active"),
        pytest.param(INACTIVE, Reason.TOKEN_INACTIVE, id="not active"),
        pytest.param(OSError("down"), Reason.ISSUER_UNAVAILABLE, id="one that nobody knows"),
    ],
)
@pytest.mark.anyio
async def test_a_hundred_requests_with_one_token_share_one_question_about(
    answer: bytes | Exception, verdict: str | Reason
) -> None:
    issuer = Issuer(answer)
    issuer.hang()
    asking = [asyncio.create_task(issuer.verdict()) for _ in range(100)]
    await issuer.endpoint.was_asked.wait()

    issuer.endpoint.answers.set()

    assert [await each for each in asking] == [verdict] * 100
    assert issuer.questions == 1


@pytest.mark.promise("bounded")
@pytest.mark.anyio
async def test_as_many_questions_as_allowed_are_asked_at_once_and_one_more_waits_for_nobody() -> None:
    issuer = Issuer()
    issuer.hang()
    asking = await issuer.begin(MAX_ASKING)

    one_more = await issuer.verdict(b"one more")
    same_as_another = asyncio.create_task(issuer.verdict(b"token-0"))
    issuer.endpoint.answers.set()

    assert MAX_ASKING == 64
    assert one_more == Reason.ISSUER_UNAVAILABLE
    assert [await each for each in (*asking, same_as_another)] == ["alice"] * 65
    assert issuer.questions == MAX_ASKING
    assert await issuer.verdict(b"one more") == "alice"


@pytest.mark.anyio
async def test_the_bound_of_questions_is_what_it_was_told() -> None:
    issuer = Issuer(max_asking=2)
    issuer.hang()
    asking = await issuer.begin(2)

    with pytest.raises(IssuerUnavailable, match="more than 2 tokens"):
        await issuer.introspection.ask(b"one more")

    issuer.endpoint.answers.set()
    assert [await each for each in asking] == ["alice"] * 2


@pytest.mark.parametrize(
    "answer", [pytest.param(INACTIVE, id="refusals"), pytest.param(OSError("down"), id="failures")]
)
@pytest.mark.anyio
async def test_questions_that_have_ended_badly_make_room_for_others(answer: bytes | Exception) -> None:
    issuer = Issuer(answer, max_asking=2)

    for each in range(10):
        await issuer.verdict(b"%d" % each)

    assert issuer.questions == 10


@pytest.mark.anyio
async def test_who_comes_in_the_moment_in_which_a_question_ends_asks_anew_and_is_answered() -> None:
    issuer = Issuer()
    issuer.hang()
    (first,) = await issuer.begin(1)

    async def come_at_that_moment() -> str | Reason:
        await issuer.endpoint.answers.wait()
        return await issuer.verdict(b"token-0")

    second = asyncio.create_task(come_at_that_moment())
    await checkpoint()
    issuer.endpoint.answers.set()

    assert [await first, await second] == ["alice", "alice"]
    assert issuer.questions == 2
    assert await issuer.verdict(b"token-0") == "alice"
    assert issuer.questions == 3


@pytest.mark.anyio
async def test_a_request_that_goes_away_takes_the_answer_from_nobody_else() -> None:
    issuer = Issuer()
    issuer.hang()
    leader = asyncio.create_task(issuer.verdict())
    followers = [asyncio.create_task(issuer.verdict()) for _ in range(10)]
    await issuer.endpoint.was_asked.wait()

    for each in (leader, *followers[:5]):
        each.cancel()
    issuer.endpoint.answers.set()

    assert [await each for each in followers[5:]] == ["alice"] * 5
    assert leader.cancelled()
    assert issuer.questions == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(ACTIVE, id="a good answer"),
        pytest.param(INACTIVE, id="a refusal"),
        pytest.param(OSError("down"), id="a failure"),
        pytest.param(RuntimeError("unforeseen"), id="an unforeseen exception"),
    ],
)
@pytest.mark.anyio
async def test_when_everybody_is_gone_nobody_is_troubled_by(answer: bytes | Exception) -> None:
    issuer = Issuer(answer, max_asking=1)
    issuer.hang()

    async def ask_and_go() -> None:
        requests = [asyncio.create_task(issuer.verdict()) for _ in range(3)]
        await issuer.endpoint.was_asked.wait()
        for each in requests:
            each.cancel()
        await asyncio.wait(requests)

    with nothing_unretrieved():
        await ask_and_go()
        issuer.endpoint.answers.set()
        for _ in range(10):
            await checkpoint()

    issuer.endpoint.answer = ACTIVE
    assert await issuer.verdict(b"another") == "alice"
    assert issuer.questions == 2


@pytest.mark.anyio
async def test_an_unforeseen_exception_reaches_everybody_who_waits() -> None:
    issuer = Issuer(ZeroDivisionError())
    issuer.hang()

    with nothing_unretrieved():
        requests = [asyncio.create_task(issuer.verdict()) for _ in range(10)]
        await issuer.endpoint.was_asked.wait()
        requests[0].cancel()
        issuer.endpoint.answers.set()
        await asyncio.wait(requests)
        found = [type(each.exception()) for each in requests[1:]]

    assert found == [ZeroDivisionError] * 9
    issuer.endpoint.answer = ACTIVE
    assert await issuer.verdict() == "alice"


@pytest.mark.parametrize(
    "begins", [pytest.param(False, id="before it begins"), pytest.param(True, id="on its way")]
)
@pytest.mark.anyio
async def test_a_question_that_is_cancelled_is_asked_again_by_the_next_request(*, begins: bool) -> None:
    issuer = Issuer(max_asking=1)
    issuer.hang()
    before = asyncio.all_tasks()
    request = asyncio.create_task(issuer.verdict())
    async with asyncio.timeout(LIMIT):
        while len(asyncio.all_tasks() - before) < 2 or (begins and not issuer.questions):
            await checkpoint()

    with nothing_unretrieved():
        (asking,) = asyncio.all_tasks() - before - {request}
        asking.cancel()
        await asyncio.wait([request])
    issuer.endpoint.answers.set()

    assert request.cancelled()
    assert issuer.questions == begins
    assert await issuer.verdict() == "alice"
    assert await issuer.verdict(b"another") == "alice"


METADATA_URL = "https://login.example.com/.well-known/oauth-authorization-server"


class Described:
    """An issuer whose endpoint is where its metadata says."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.metadata = metadata
        self.asked: list[str] = []
        self.introspection = Introspection(Discovery(ISSUER, self.fetch), self.fetch, CLIENT)

    async def fetch(self, url: str, *, form: object = None, headers: object = None) -> Fetched:
        self.asked.append(url)
        if url == METADATA_URL:
            return json_answer(orjson.dumps(self.metadata))
        return json_answer(ACTIVE)


@pytest.mark.anyio
async def test_the_endpoint_is_where_the_metadata_says() -> None:
    issuer = Described({"issuer": ISSUER, "introspection_endpoint": URL})

    await issuer.introspection.ask(TOKEN)
    await issuer.introspection.ask(TOKEN)

    assert issuer.asked == [METADATA_URL, URL, URL]


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"issuer": ISSUER}, id="names no endpoint"),
        pytest.param({"issuer": ISSUER, "introspection_endpoint": None}, id="names null"),
        pytest.param({"issuer": ISSUER, "introspection_endpoint": "/introspect"}, id="names a path"),
        pytest.param({"issuer": ISSUER, "introspection_endpoint": [URL]}, id="names a list"),
        pytest.param(
            {"issuer": ISSUER, "introspection_endpoint": "http://login.example.com/introspect"},
            id="would send the token in the clear",
        ),
        pytest.param({"issuer": "https://evil.example", "introspection_endpoint": URL}, id="is another's"),
    ],
)
@pytest.mark.promise("opaque-judged-here")
@pytest.mark.anyio
async def test_no_token_is_sent_anywhere_where_the_metadata(metadata: dict[str, Any]) -> None:
    issuer = Described(metadata)

    with pytest.raises(IssuerUnavailable):
        await issuer.introspection.ask(TOKEN)

    assert URL not in issuer.asked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
BODIES = st.one_of(
    st.binary(max_size=40),
    JSON.map(orjson.dumps),
    st.fixed_dictionaries({"active": JSON, "sub": st.just("x")}).map(orjson.dumps),
)


@given(
    status=st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 500]),
    media_type=st.sampled_from(["application/json", "application/json", "text/html", ""]),
    body=BODIES,
)
@example(status=200, media_type="application/json", body=b'{"active":true,"sub":"x"}')
@settings(max_examples=300, deadline=None)
def test_whatever_an_issuer_answers_only_true_lets_a_token_pass(
    status: int, media_type: str, body: bytes
) -> None:
    async def ask() -> str | Reason:
        issuer = Issuer(Fetched(status, media_type, body))
        try:
            return "active" if await issuer.introspection.ask(TOKEN) else "nothing"
        except (Fault, IssuerUnavailable) as error:
            return error.reason

    verdict = asyncio.run(ask())

    if verdict == "active":
        assert (status, media_type) == (200, "application/json")
        assert json.loads(body)["active"] is True
    else:
        assert verdict in (Reason.TOKEN_INACTIVE, Reason.ISSUER_UNAVAILABLE)
