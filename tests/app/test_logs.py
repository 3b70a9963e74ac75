import json
import logging
import os
import pty
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tunnelgate import Reason
from tunnelgate.errors import UpstreamFailed
from tunnelgate_app.logs import configure_logs, leave_out_what_was_told

SECRET = "Bearer eyJ0eXAiOiJhdCtqd3QifQ"
QUIET = ("httpx2", "httpcore2", "asyncio")
SERVER = logging.getLogger("uvicorn.error")


@pytest.fixture(autouse=True)
def unchanged_logging() -> Generator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    filters = SERVER.filters[:]
    root.handlers.clear()
    SERVER.filters.clear()
    yield
    root.handlers[:] = handlers
    SERVER.filters[:] = filters
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


Events = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def events(capsys: pytest.CaptureFixture[str]) -> Events:
    """Give a function that returns what was logged: each line of standard error, read as JSON."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        pytest.param("debug", ["debug", "info", "warning", "error"], id="debug"),
        pytest.param("info", ["info", "warning", "error"], id="info"),
        pytest.param("warn", ["warning", "error"], id="warn"),
        pytest.param("error", ["error"], id="error"),
    ],
)
def test_what_is_below_the_level_is_not_logged(level: str, logged: list[str], events: Events) -> None:
    configure_logs(level)

    logger = logging.getLogger("tunnelgate.test")
    logger.debug("said")
    logger.info("said")
    logger.warning("said")
    logger.error("said")

    assert [event["level"] for event in events()] == logged


def test_an_event_is_a_line_of_json_with_its_time_and_where_it_comes_from(events: Events) -> None:
    configure_logs("info")

    logging.getLogger("tunnelgate").info("route configured: %s to %s", "docs", "app")

    (event,) = events()
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "route configured: docs to app", "level": "info", "logger": "tunnelgate"}


def test_an_event_is_one_line_whatever_is_in_it(events: Events) -> None:
    configure_logs("info")

    logging.getLogger("tunnelgate").warning("host %s", 'evil"\n{"event": "forged"}\x1b[31m\u2028')

    (event,) = events()
    assert event["event"] == 'host evil"\n{"event": "forged"}\x1b[31m\u2028'


def test_an_exception_is_part_of_its_line(events: Events) -> None:
    configure_logs("info")

    _log_an_exception(SECRET)

    (event,) = events()
    assert event["event"] == "request 1 broke"
    assert "RuntimeError: no database" in event["exception"]
    assert SECRET not in str(event)


@pytest.mark.parametrize("name", QUIET)
def test_what_libraries_say_about_their_work_is_not_logged(name: str, events: Events) -> None:
    configure_logs("debug")

    logging.getLogger(name).info("connect_tcp.started host=login.example.com")
    logging.getLogger(name).warning("something is wrong")

    assert [event["event"] for event in events()] == ["something is wrong"]


def test_configuring_twice_logs_each_event_once(events: Events) -> None:
    configure_logs("info")
    configure_logs("info")

    logging.getLogger("tunnelgate").info("said")

    assert len(events()) == 1


INTERRUPTED = UpstreamFailed(Reason.UPSTREAM_INTERRUPTED, "the connection is closed")


def _break(error: Exception, logger: logging.Logger = SERVER) -> None:
    """Log an error as uvicorn does when it comes out of an application."""
    try:
        raise error
    except type(error) as raised:
        logger.error("Exception in ASGI application\n", exc_info=raised)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("configure", [leave_out_what_was_told, lambda: configure_logs("info")])
def test_a_server_does_not_repeat_with_a_traceback_what_the_gate_has_told_of_an_upstream(
    configure: Callable[[], None], times: int, events: Events
) -> None:
    configure_logs("info")
    SERVER.filters.clear()
    for _ in range(times):
        configure()

    _break(INTERRUPTED)

    assert events() == []
    assert len(SERVER.filters) == 1


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("no database"), id="another error"),
        pytest.param(ConnectionResetError("upstream-interrupted"), id="a broken connection of its own"),
        pytest.param(ExceptionGroup("two", [INTERRUPTED, RuntimeError()]), id="a group with another error"),
    ],
)
def test_whatever_else_breaks_in_a_server_is_told_with_its_traceback(
    error: Exception, events: Events
) -> None:
    configure_logs("info")

    _break(error)

    (event,) = events()
    assert event["level"] == "error"
    assert type(error).__name__ in event["exception"]


def test_what_a_server_says_in_a_sentence_is_told(events: Events) -> None:
    configure_logs("info")

    SERVER.error("%s", INTERRUPTED)
    SERVER.info("Started", exc_info=(None, None, None))

    assert [event["event"] for event in events()] == [str(INTERRUPTED), "Started"]


@pytest.mark.parametrize("name", ["tunnelgate", "uvicorn", "asyncio"])
def test_who_else_tells_of_an_upstream_that_failed_is_heard(name: str, events: Events) -> None:
    configure_logs("info")

    _break(INTERRUPTED, logging.getLogger(name))

    (event,) = events()
    assert "upstream-interrupted: the connection is closed" in event["exception"]


def _log_an_exception(authorization: str) -> None:
    try:
        raise RuntimeError("no database")
    except RuntimeError:
        logging.getLogger("tunnelgate").exception("request 1 broke")


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[[], str]]:
    """Make standard error a terminal, and give a function that returns what a person reads there."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", buffering=1) as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)

        def read() -> str:
            stderr.write("the end\n")
            shown = b""
            while not shown.endswith(b"the end\r\n"):
                shown += os.read(ours, 65536)
            return shown.decode().removesuffix("the end\r\n")

        yield read
    os.close(ours)


def test_on_a_terminal_an_event_is_a_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as read:
        configure_logs("info")
        logging.getLogger("tunnelgate").warning("route configured")
        shown = read()

    (line,) = shown.splitlines()
    assert "route configured" in line
    assert "warning" in line
    assert "\x1b[" in line  # in colour
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


@pytest.mark.promise("token-stays-here")
def test_on_a_terminal_an_exception_does_not_show_the_values_of_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as read:
        configure_logs("info")
        _log_an_exception(SECRET)
        shown = read()

    assert "RuntimeError" in shown
    assert "no database" in shown
    assert SECRET not in shown
