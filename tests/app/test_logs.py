import json
import logging
import os
import pty
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tunnelgate_app.logs import configure_logs

SECRET = "Bearer eyJ0eXAiOiJhdCtqd3QifQ"
QUIET = ("httpx2", "httpcore2", "asyncio")


@pytest.fixture(autouse=True)
def unchanged_logging() -> Generator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
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
