"""An issuer changes its keys while requests go on, and none of them is refused."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from anyio import to_thread

from tests.issuers.gate import Gate, gate
from tests.issuers.provider import Provider, Resource, provider, signing_key
from tests.support.tokens import Clock

CALLERS = 4
STOCK = 40  # tokens; each is used once, so that the gate looks for its key
_LIMIT = 30  # seconds


class Load:
    """Callers that go on calling, each time with the next token of a stock."""

    def __init__(self, front: Gate) -> None:
        self.statuses = Counter[int]()
        self._front = front
        self._stock, self._next = anyio.create_memory_object_stream[str](1000)
        self._answered = anyio.Condition()

    def add(self, tokens: Iterable[str]) -> None:
        """Put tokens at the end of the stock."""
        for token in tokens:
            self._stock.send_nowait(token)

    async def answered(self, calls: int) -> None:
        """Wait until so many calls have been answered in all."""
        with anyio.fail_after(_LIMIT):
            async with self._answered:
                while self.statuses.total() < calls:
                    await self._answered.wait()

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None]:
        """Let them call from here on, and until the stock is used up when the block ends."""
        async with (
            self._next,
            httpx2.AsyncClient(trust_env=False) as http,
            anyio.create_task_group() as callers,
        ):
            for _ in range(CALLERS):
                callers.start_soon(self._call, http)
            async with self._stock:
                yield

    async def _call(self, http: httpx2.AsyncClient) -> None:
        async for token in self._next:
            answer = await self._front.call(token, http=http)
            async with self._answered:
                self.statuses[answer.status_code] += 1
                self._answered.notify_all()


async def stock(issuer: Provider, front: Gate) -> list[str]:
    return [await issuer.token(front.resource()) for _ in range(STOCK)]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_no_request_is_refused_while_an_issuer_changes_its_key() -> None:
    first, second = signing_key("ES256", "first"), signing_key("ES256", "second")
    with provider(first) as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        load = Load(front)
        old = await stock(issuer, front)
        async with load.going_on():
            load.add(old[: STOCK // 2])
            await load.answered(CALLERS)

            await to_thread.run_sync(issuer.use_keys, second, first)
            new = await stock(issuer, front)
            load.add(each for pair in zip(new, old[STOCK // 2 :], strict=False) for each in pair)
            await load.answered(STOCK // 2 + STOCK)

            await to_thread.run_sync(issuer.use_keys, second)
            load.add(await stock(issuer, front))

    assert load.statuses == {200: STOCK // 2 + STOCK + STOCK}
    assert set(front.reasons) == {None}


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_no_request_is_refused_while_an_issuer_is_restarted_with_another_key() -> None:
    first, second = signing_key("ES256", "first"), signing_key("ES256", "second")
    with provider(first) as issuer, gate([{"issuer": issuer.url}]) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        load = Load(front)
        old = await stock(issuer, front)
        async with load.going_on():
            load.add(old[: STOCK // 2])
            await load.answered(CALLERS)

            await to_thread.run_sync(issuer.stop)
            load.add(old[STOCK // 2 :])
            with provider(second, first, port=urlsplit(issuer.url).port or 0) as again:
                again.serve({front.resource(): Resource("docs:read")})
                load.add(await stock(again, front))
                await load.answered(2 * STOCK)

    assert load.statuses == {200: 2 * STOCK}


@pytest.mark.anyio
async def test_a_key_that_was_taken_back_is_used_no_longer_than_keys_may_be_old() -> None:
    ticks = Clock()
    first, second = signing_key("ES256", "first"), signing_key("ES256", "second")
    with provider(first) as issuer, gate([{"issuer": issuer.url}], ticks=ticks) as front:
        issuer.serve({front.resource(): Resource("docs:read")})
        before, after = [await issuer.token(front.resource()) for _ in range(2)]

        answers = [await front.call(before)]
        issuer.use_keys(second)
        ticks.now += 601
        answers.append(await front.call(after))

    assert [answer.status_code for answer in answers] == [200, 401]
    assert front.reasons == [None, "token-key-unknown"]
