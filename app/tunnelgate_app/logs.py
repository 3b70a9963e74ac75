"""How the gateway logs: structlog over the standard library, in colour for people, JSON for machines."""

import logging
import sys
from collections.abc import Mapping

import structlog

from tunnelgate import UpstreamFailed

# They tell of each step of theirs, or that each server behind the gate has started.
_TALKATIVE = ("alembic", "asyncio", "httpcore2", "httpx2", "mcp.server.streamable_http_manager")

logger = logging.getLogger("tunnelgate")

_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class _NotToldTwice(logging.Filter):
    """Leaves out a traceback of what the gate has told in a sentence, with its request."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], UpstreamFailed)


_NOT_TOLD_TWICE = _NotToldTwice()


def leave_out_what_was_told() -> None:
    """Let uvicorn say nothing of answers that were cut off because an upstream failed."""
    logging.getLogger("uvicorn.error").addFilter(_NOT_TOLD_TWICE)


def configure_logs(level: str) -> None:
    """Send every log record of the process to standard error.

    ``level`` is ``debug``, ``info``, ``warn`` or ``error``.
    """
    is_terminal = sys.stderr.isatty()
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.types.Processor] = (
        # Without the values of variables, which may be tokens.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if is_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)
    sys.unraisablehook = _log_unraisable
    leave_out_what_was_told()
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def _log_unraisable(unraisable: "sys.UnraisableHookArgs", /) -> None:
    # By itself Python writes several lines that are no records, and whoever connects can make it do so.
    said = "" if unraisable.exc_value is None else str(unraisable.exc_value)
    level = logging.DEBUG if isinstance(unraisable.exc_value, UnicodeDecodeError) else logging.ERROR
    logger.log(level, "an exception that nobody can catch: %s: %s", unraisable.exc_type.__name__, said)


def set_level(level: str) -> None:
    """Let the process log from now on what is of this level, as in :func:`configure_logs`."""
    logging.getLogger().setLevel(_LEVELS[level])
