import threading

import anyio
import pytest

from tunnelgate_app.reloading.aside import Aside, LeftBehindError

LIMIT = 20.0  # seconds that anything here may take


@pytest.mark.anyio
async def test_what_is_done_aside_is_done_in_one_thread_of_its_own() -> None:
    aside = Aside()

    threads = [await aside.run(threading.get_ident, LIMIT) for _ in range(3)]
    aside.end()

    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no")], ids=["an error", "an exit"])
async def test_whatever_is_raised_is_raised_to_who_waits(error: BaseException) -> None:
    aside = Aside()

    def fail() -> None:
        raise error

    with pytest.raises(type(error), match="no"):
        await aside.run(fail, LIMIT)
    assert await aside.run(lambda: 7, LIMIT) == 7
    aside.end()


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True], ids=["and returns late", "and raises late"])
async def test_what_does_not_end_is_left_behind_and_the_next_has_another_thread(*, fails: bool) -> None:
    aside, released, ended = Aside(), threading.Event(), threading.Event()

    def hang() -> None:
        try:
            released.wait(LIMIT)
            if fails:
                raise ValueError
        finally:
            ended.set()

    with pytest.raises(LeftBehindError, match=r"takes longer than 0\.01 seconds"):
        await aside.run(hang, 0.01)
    assert await aside.run(lambda: 7, LIMIT) == 7
    released.set()
    assert await anyio.to_thread.run_sync(ended.wait, LIMIT)
    aside.end()
    aside.end()


def test_what_ends_after_its_loop_harms_nobody() -> None:
    aside, released, ended = Aside(), threading.Event(), threading.Event()

    def hang() -> None:
        released.wait(LIMIT)
        ended.set()

    async def leave() -> None:
        with pytest.raises(LeftBehindError):
            await aside.run(hang, 0.01)

    anyio.run(leave)
    released.set()

    assert ended.wait(LIMIT)
