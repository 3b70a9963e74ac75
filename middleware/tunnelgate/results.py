"""Results: what of a server's messages a client gets to see.

Lists are filtered by the same function that decides about calls. What a server says it can do is
cut down to what the policy lets it do. What it calls by names of its own gets handles.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching for
``cacheScope``, https://modelcontextprotocol.io/specification/2026-07-28/basic#results for ``resultType``.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tunnelgate.capabilities import limit_capabilities
from tunnelgate.completions import Completed
from tunnelgate.exchange import Principal
from tunnelgate.handles import Handles, Origin, Task
from tunnelgate.messages import MessageRules
from tunnelgate.reading.answer import Answer, read_answer, read_names
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.message import Kind
from tunnelgate.reading.methods import Era
from tunnelgate.reading.params import SUBSCRIPTIONS
from tunnelgate.reading.strict_json import is_array, is_object, write_json
from tunnelgate.task_names import TaskNames
from tunnelgate.verdict import Reason

logger = logging.getLogger("tunnelgate")

# The member of a result that is a list, and the member of an entry that decides about it.
_LISTS: Mapping[str, tuple[str, str]] = {
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
    "tools/list": ("tools", "name"),
}
_CACHEABLE = frozenset({*_LISTS, "resources/read", "server/discover"})
_MULTI_ROUND_TRIP = frozenset({"prompts/get", "resources/read", "tools/call"})


class ResultRules:
    """What ``principal`` sees of the answer to ``origin``; ``tasks`` are those that it asked about."""

    def __init__(
        self,
        rules: MessageRules,
        principal: Principal | None,
        handles: Handles,
        origin: Origin,
        *,
        era: Era,
        tasks: Sequence[Task] = (),
        completed: Completed | None = None,
    ) -> None:
        self.origin = origin
        self.era = era
        self.handles = handles
        self._rules = rules
        self._principal = principal
        self._tasks = TaskNames(handles, origin, tasks, offered=rules.tasks)
        self._completed = completed
        self.is_answered = False
        self.is_refused = False

    def judge_alone(self, raw: bytes) -> bytes:
        """Return a message that is a whole body, which only a response may be; raises ``Fault``."""
        judged = self.judge(raw)
        if judged is None or not self.is_answered:
            raise Fault(Reason.ANSWER_NOT_VALID, "a message that answers nothing")
        return judged

    def judge(self, raw: bytes) -> bytes | None:
        """Return one message of the server as the client gets it, or ``None`` where it gets nothing.

        Raises :class:`~tunnelgate.reading.fault.Fault` for what is no answer to the origin.
        """
        answer = read_answer(raw, self.origin.message_id)
        if answer.kind is Kind.RESPONSE:
            if self.is_answered:
                raise Fault(Reason.ANSWER_NOT_VALID, "a second response to one request")
            judged = self._response(answer)
            self.is_answered = True
            return judged
        self._tasks.relate(answer.params)
        if answer.kind is Kind.REQUEST:
            return self._request(answer)
        return self._notification(answer)

    def _response(self, answer: Answer) -> bytes:
        result = answer.result
        self.is_refused = result is None
        if result is None:
            if answer.members.get("id") is not None:
                return answer.canonical
            # Or nobody would know whom it answers.
            return write_json({**answer.members, "id": self.origin.message_id})
        self._check_type(result)
        changes = (self._limit(result), self._tasks.relate(result), self._keep_private(result))
        return write_json(answer.members) if any(changes) else answer.canonical

    def _limit(self, result: dict[str, Any]) -> bool:
        method = self.origin.method
        is_limited = method in ("initialize", "server/discover")
        if is_limited:
            limit_capabilities(method, result, self._rules)
        if self._completed is not None:
            self._completed.limit(result, partial(self._sees, "resources/list"))
            is_limited = True
        elif self._is_stray_completion(result):
            raise Fault(Reason.ANSWER_NOT_VALID, "a completion that was not asked for")
        changes = (self._limit_lists(result), self._keep_state(result), self._tasks.name_in_result(result))
        return is_limited or any(changes)

    def _is_stray_completion(self, result: dict[str, Any]) -> bool:
        """Return whether this came for a request that had the same id, as lists may."""
        known = ("completion/complete", *self._rules.methods)
        return self.era is Era.LEGACY and "completion" in result and self.origin.method not in known

    def _sees(self, method: str, name: str) -> bool:
        return self._rules.sees(method, name, self._principal)

    def _keep_state(self, result: dict[str, Any]) -> bool:
        is_asked_again = self.era is Era.MODERN and self.origin.method in _MULTI_ROUND_TRIP
        if not is_asked_again or "requestState" not in result:
            return False
        state = result["requestState"]
        if not isinstance(state, str):
            raise Fault(Reason.ANSWER_NOT_VALID, "requestState is not a text")
        result["requestState"] = self.handles.state(self.origin, state)
        return True

    def _limit_lists(self, result: dict[str, Any]) -> bool:
        """Filter the list that was asked for, and any other that came in its place.

        A client that uses an id twice may be sent the answer to the one request on the stream of
        the other, by a server that knows streams by the ids of requests.
        """
        own = self.origin.method
        is_limited = False
        may_be_mixed_up = self.era is Era.LEGACY and own not in self._rules.methods
        for method, (member, name) in _LISTS.items():
            if method == own or (may_be_mixed_up and member in result):
                named = read_names(result, member, name)
                result[member] = [entry for text, entry in named if self._sees(method, text)]
                is_limited = True
        if is_limited and result.get("nextCursor") is not None:
            result["nextCursor"] = self._cursor(result["nextCursor"])
        return is_limited

    def _cursor(self, cursor: object) -> str:
        if not isinstance(cursor, str):
            raise Fault(Reason.ANSWER_NOT_VALID, "nextCursor is not a text")
        return self.handles.cursor(self.origin.method, cursor)

    def _keep_private(self, result: dict[str, Any]) -> bool:
        is_complete = self.era is Era.MODERN and result.get("resultType", "complete") == "complete"
        if "cacheScope" not in result and not (is_complete and self.origin.method in _CACHEABLE):
            return False
        # A cache that shared this would show it to callers of other gates, or of none.
        result["cacheScope"] = "private"
        return True

    def _check_type(self, result: dict[str, Any]) -> None:
        """Refuse a result of a type that this method does not have: a client would not read it."""
        kind = result.get("resultType", "complete")
        if self.era is Era.LEGACY or self.origin.method in self._rules.methods or kind == "complete":
            return None
        if kind == "input_required" and self.origin.method in _MULTI_ROUND_TRIP:
            return self._check_asked(result.get("inputRequests"))
        if kind == "task" and self.origin.method == "tools/call" and self._rules.tasks:
            return None
        raise Fault(Reason.ANSWER_NOT_VALID, f"a result of a type that {self.origin.method} does not have")

    def _acknowledged(self, said: object) -> dict[str, Any]:
        if not is_object(said):
            raise Fault(Reason.ANSWER_NOT_VALID, "notifications is not a filter")
        acknowledged = {name: value for name, value in said.items() if name in SUBSCRIPTIONS}
        uris = acknowledged.get("resourceSubscriptions")
        if uris is not None:
            if not is_array(uris):
                raise Fault(Reason.ANSWER_NOT_VALID, "resourceSubscriptions is not a list")
            seen = [uri for uri in uris if isinstance(uri, str) and self._sees("resources/list", uri)]
            acknowledged["resourceSubscriptions"] = seen
        return acknowledged

    def _check_asked(self, requests: object) -> None:
        """Refuse what a server may not ask a client for, in whichever way it asks."""
        if requests is None:
            return
        asked = list(requests.values()) if is_object(requests) else [None]
        if not all(is_object(each) and self._rules.may_ask_within(each.get("method")) for each in asked):
            raise Fault(Reason.ANSWER_NOT_VALID, "it asks the client for what it may not")

    def _request(self, answer: Answer) -> bytes:
        if not self._rules.may_ask(answer.method, self.era):
            raise Fault(Reason.ANSWER_NOT_VALID, f"the request {answer.method[:80]!r} of a client")
        return write_json({**answer.members, "id": self.handles.request(answer.members["id"])})

    def _notification(self, answer: Answer) -> bytes | None:
        method, params = answer.method, answer.params
        if not self._rules.may_notify(method, params, self.era, self._principal):
            logger.debug("the notification %.80r was not passed on", method)
            return None
        if method == "notifications/cancelled" and self.era is Era.LEGACY:
            request_id = params.get("requestId")
            if not isinstance(request_id, str | int):
                return None
            params["requestId"] = self.handles.request(request_id)
        if method == "notifications/subscriptions/acknowledged":
            params["notifications"] = self._acknowledged(params.get("notifications"))
        return write_json(answer.members) if self._tasks.name_in_notification(method, params) else None
