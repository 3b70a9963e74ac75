import pytest
from sse_starlette.sse import AppStatus


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, which is what the servers run on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def streams_outlive_servers_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that a test stopped by a signal not end the streams of all later ones.

    sse-starlette remembers for the whole process that uvicorn was told to exit.
    """
    monkeypatch.setattr(AppStatus, "should_exit", False)
