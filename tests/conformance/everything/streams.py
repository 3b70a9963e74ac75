"""Tools that say something on the way to their result: log lines, progress, list changes, a broken stream."""

from typing import get_args

import anyio
from mcp.server.subscriptions import PromptsListChanged, ServerEvent, ToolsListChanged
from mcp.types import (
    LOG_LEVEL_META_KEY,
    EmptyResult,
    LoggingLevel,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    PromptListChangedNotification,
    ServerNotification,
    SetLevelRequestParams,
    ToolListChangedNotification,
)

from tests.conformance.everything.call import Call, Context, Outcome, Tools, done, is_modern

TOOLS = Tools()
_LEVELS: tuple[LoggingLevel, ...] = get_args(LoggingLevel)
_PAUSE = 0.05
_RECONNECT_WITHIN = 0.2


class LogLevels:
    """The lowest level that each session of the legacy era asked for."""

    def __init__(self) -> None:
        self._by_session: dict[str, LoggingLevel] = {}

    async def set(self, context: Context, params: SetLevelRequestParams) -> EmptyResult:
        """Answer ``logging/setLevel``."""
        self._by_session[_session(context)] = params.level
        return EmptyResult()

    def wanted(self, context: Context) -> LoggingLevel | None:
        """Return the level that counts for this request; ``None`` is silence."""
        if not is_modern(context):
            return self._by_session.get(_session(context), "debug")
        level = (context.meta or {}).get(LOG_LEVEL_META_KEY)
        return level if level in _LEVELS else None


LEVELS = LogLevels()


@TOOLS.add("test_tool_with_logging", "Writes three log lines while it runs")
async def _logging(call: Call) -> Outcome:
    await _log(call, "Tool execution started")
    await anyio.sleep(_PAUSE)
    await _log(call, "Tool processing data")
    await anyio.sleep(_PAUSE)
    await _log(call, "Tool execution completed")
    return done("Tool with logging executed")


@TOOLS.add("test_logging_tool", "Writes a log line, if the request asks for log lines")
async def _one_line(call: Call) -> Outcome:
    await _log(call, "A log line")
    return done("Logged")


@TOOLS.add("test_tool_with_progress", "Reports progress in three steps")
async def _progress(call: Call) -> Outcome:
    report = call.context.session.report_progress
    await report(0, 100)
    await anyio.sleep(_PAUSE)
    await report(50, 100)
    await anyio.sleep(_PAUSE)
    await report(100, 100)
    return done("Progress complete")


@TOOLS.add("test_reconnection", "Ends the response stream early, so that the client has to resume it")
async def _reconnection(call: Call) -> Outcome:
    await _log(call, "Before the stream ends")
    if call.context.close_sse_stream is not None:
        await call.context.close_sse_stream()
        await anyio.sleep(_RECONNECT_WITHIN)
    await _log(call, "After the stream ended")
    return done("Reconnection test completed")


@TOOLS.add("test_trigger_tool_change", "Announces that the list of tools changed")
async def _tools_changed(call: Call) -> Outcome:
    await _announce(call, ToolsListChanged(), ToolListChangedNotification())
    return done("Announced")


@TOOLS.add("test_trigger_prompt_change", "Announces that the list of prompts changed")
async def _prompts_changed(call: Call) -> Outcome:
    await _announce(call, PromptsListChanged(), PromptListChangedNotification())
    return done("Announced")


async def _log(call: Call, text: str, level: LoggingLevel = "info") -> None:
    wanted = LEVELS.wanted(call.context)
    if wanted is None or _LEVELS.index(level) < _LEVELS.index(wanted):
        return
    line = LoggingMessageNotification(params=LoggingMessageNotificationParams(level=level, data=text))
    await call.context.session.send_notification(line, call.context.request_id)


async def _announce(call: Call, event: ServerEvent, notification: ServerNotification) -> None:
    """Tell the listeners of the modern era, and the caller's own GET stream in the legacy one."""
    await call.changes.publish(event)
    if not is_modern(call.context):
        await call.context.session.send_notification(notification)


def _session(context: Context) -> str:
    return "" if context.request is None else context.request.headers.get("mcp-session-id", "")
