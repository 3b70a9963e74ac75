"""Messages: what a client may say to a server, and a server to a client.

What the protocol itself needs is allowed without being listed. Everything else exists only for
whom a catalogue or a setting lists it, and what the protocol does not have exists for nobody
unless its method is listed by name.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server and
https://modelcontextprotocol.io/specification/2025-11-25/server
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunnelgate.catalogue import Names, Resources
from tunnelgate.exchange import Principal
from tunnelgate.handles import Task
from tunnelgate.reading.message import Kind, Message
from tunnelgate.reading.methods import (
    CLIENT_METHODS,
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    LOG_LEVELS,
    MAX_NAME,
    MULTI_ROUND_TRIP_REQUESTS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    Era,
    lookalike_in,
)
from tunnelgate.verdict import Allow, Deny, Reason, Verdict, all_of

_NO_TOOLS = Names((), Reason.TOOL_NOT_ALLOWED)
_NO_PROMPTS = Names((), Reason.PROMPT_NOT_ALLOWED)
_NO_RESOURCES = Resources(())


class MessageRules:
    """What exists for callers: ``tools``, ``prompts``, ``resources``, and extra ``methods`` by name.

    ``log_level`` is the least severe level of log messages that clients get, ``None`` for none.
    ``tasks`` says whether calls may go on as tasks.
    Raises :class:`ValueError` with a sentence for rules that would allow nothing, or too much.
    """

    def __init__(
        self,
        *,
        tools: Names = _NO_TOOLS,
        prompts: Names = _NO_PROMPTS,
        resources: Resources = _NO_RESOURCES,
        methods: Iterable[str] = (),
        log_level: str | None = None,
        tasks: bool = False,
    ) -> None:
        self.tools = tools
        self.prompts = prompts
        self.resources = resources
        if isinstance(methods, str):
            raise ValueError(f"{methods!r} is a text where a list of methods is meant")
        if log_level is not None and log_level not in LOG_LEVELS:
            raise ValueError(f"{log_level!r} is not a log level; the levels are {', '.join(LOG_LEVELS)}")
        self.methods = frozenset(methods)
        self.log_level = log_level
        self.tasks = tasks
        if not (tools or prompts or resources or self.methods):
            raise ValueError("nothing is listed, so everything would be refused")
        for method in sorted(self.methods):
            try:
                check_method(method)
            except ValueError as error:
                raise ValueError(f"{method!r} {error}") from None
        self._listed: Mapping[str, Names] = {"tools/list": tools, "prompts/list": prompts}
        self._served = {
            "completion": bool(prompts or resources),
            "logging": log_level is not None,
            "prompts": bool(prompts),
            "resources": bool(resources),
            "tasks": tasks,
            "tools": bool(tools),
        }

    def decide(self, message: Message, principal: Principal | None, tasks: Sequence[Task] = ()) -> Verdict:
        """Return whether ``principal`` may send ``message``, which is about ``tasks``."""
        era = Era.MODERN if message.is_modern else Era.LEGACY
        if message.kind is Kind.RESPONSE:
            return Deny(Reason.RESPONSE_NOT_EXPECTED) if era is Era.MODERN else Allow()
        if message.kind is Kind.NOTIFICATION:
            return self._decide_notification(message.method, era)
        method = CLIENT_REQUESTS.get(message.method)
        if message.method in self.methods:
            return Allow()
        if method is None or era not in method.era or not self.serves(message.method):
            return Deny(Reason.METHOD_NOT_ALLOWED, message.method)
        if message.method == "completion/complete":
            about_prompt = message.params["ref"]["type"] == "ref/prompt"
            catalogue = self.prompts if about_prompt else self.resources
            return catalogue.decide(message.target or "", principal)
        if message.method == "subscriptions/listen":
            uris = message.params["notifications"].get("resourceSubscriptions", ())
            verdicts: list[Verdict] = []
            for uri in uris:
                verdicts.append(self.resources.decide(uri, principal))
                if isinstance(verdicts[-1], Deny):
                    return verdicts[-1]  # and judge no other: one request names many
            return all_of([*verdicts, *self._decide_tasks(principal, tasks)])
        return self._decide_target(message.method, message.target, principal, tasks)

    def decide_again(
        self, method: str, target: str | None, principal: Principal | None, tasks: Sequence[Task]
    ) -> Verdict:
        """Return whether ``principal`` may go on with the stream of a request that was allowed."""
        if method in self.methods or not method:
            return Allow()
        if not self.serves(method):
            return Deny(Reason.METHOD_NOT_ALLOWED, method)
        return self._decide_target(method, target, principal, tasks)

    def serves(self, method: str) -> bool:
        """Return whether anything is listed that ``method`` could be about."""
        area = method.removeprefix("notifications/").partition("/")[0]
        return self._served.get(area, True)

    def sees(self, method: str, name: str, principal: Principal | None) -> bool:
        """Return whether ``principal`` sees ``name`` in the list that ``method`` asks for.

        What only needs a wider token stays visible.
        """
        catalogue = self._listed.get(method, self.resources)
        return not isinstance(catalogue.decide(name, principal), Deny)

    def may_notify(self, method: str, params: Any, era: Era, principal: Principal | None) -> bool:
        """Return whether a server may send a client of this era this notification."""
        if method in self.methods:
            return True
        if era not in SERVER_NOTIFICATIONS.get(method, Era(0)) or not self.serves(method):
            return False
        if method == "notifications/message":
            return self.log_level is not None and _is_as_severe(params.get("level"), self.log_level)
        if method == "notifications/resources/updated":
            uri = params.get("uri")
            return isinstance(uri, str) and self.sees("resources/list", uri, principal)
        return True

    def may_ask(self, method: str, era: Era) -> bool:
        """Return whether a server may make this request of a client of this era."""
        known = era in SERVER_REQUESTS.get(method, Era(0)) and self.serves(method)
        return method in self.methods or known

    def may_ask_within(self, method: object) -> bool:
        """Return whether a result of 2026-07-28 may ask the client for this in another round."""
        return isinstance(method, str) and (method in MULTI_ROUND_TRIP_REQUESTS or method in self.methods)

    def log_level_for(self, asked: str) -> str | None:
        """Return the level that a client gets that asks for ``asked``: no less severe than allowed."""
        return max(asked, self.log_level, key=LOG_LEVELS.index) if self.log_level is not None else None

    def _decide_notification(self, method: str, era: Era) -> Verdict:
        known = CLIENT_NOTIFICATIONS.get(method)
        is_known = known is not None and era in known.era and self.serves(method)
        if is_known or method in self.methods:
            return Allow()
        return Deny(Reason.NOTIFICATION_NOT_ALLOWED, method)

    def _decide_target(
        self, method: str, target: str | None, principal: Principal | None, tasks: Sequence[Task]
    ) -> Verdict:
        match method, target:
            case "tools/call", str(tool):
                return self.tools.decide(tool, principal)
            case "prompts/get", str(prompt):
                return self.prompts.decide(prompt, principal)
            case "resources/read" | "resources/subscribe" | "resources/unsubscribe", str(uri):
                return self.resources.decide(uri, principal)
            case "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel", str() if tasks:
                return all_of(self._decide_tasks(principal, tasks))
            case method, None if method in _ABOUT_NOTHING:
                return Allow()
            case _:
                return Deny(Reason.METHOD_NOT_ALLOWED, method)

    def _decide_tasks(self, principal: Principal | None, tasks: Sequence[Task]) -> list[Verdict]:
        verdicts = [self.tools.decide(task.tool, principal) for task in tasks]
        return [Deny(Reason.TASK_NOT_ALLOWED) if isinstance(each, Deny) else each for each in verdicts]


# The requests that are about nothing in particular: the protocol's own, and the lists.
_ABOUT_NOTHING = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)


_PROTOCOL = frozenset({*CLIENT_METHODS, *SERVER_REQUESTS, *SERVER_NOTIFICATIONS})


def check_method(method: str) -> None:
    """Raise :class:`ValueError` with the end of a sentence unless ``method`` may be listed by name."""
    if not method or any(character in method for character in "*?[]"):
        raise ValueError("is a pattern; list the methods one by one")
    if method != method.strip() or len(method) > MAX_NAME:
        raise ValueError(f"is not a name of 1 to {MAX_NAME} characters")
    if lookalike_in([method], _PROTOCOL) or method in _PROTOCOL:
        raise ValueError("is a method of the protocol, which other settings decide about")


def _is_as_severe(level: object, least: str) -> bool:
    return level in LOG_LEVELS and LOG_LEVELS.index(str(level)) >= LOG_LEVELS.index(least)
