"""Completions: what a server proposes for a variable of a URI template, cut down to what may be read.

Specification: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/completion
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.methods import lookalike_in
from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate.reading.uri_template import UriTemplate
from tunnelgate.verdict import Reason

_VALUES = frozenset({"values"})


@dataclass(frozen=True, slots=True)
class Completed:
    """A template whose variable ``name`` is being completed, and the values that others have."""

    template: UriTemplate
    name: str
    others: Mapping[str, str]

    def limit(self, result: dict[str, Any], sees: Callable[[str], bool]) -> None:
        """Take out of a result what would make the URI of a resource that ``sees`` does not see.

        Raises :class:`~tunnelgate.reading.fault.Fault` for a result that is no completion.
        """
        completion = result.get("completion")
        values = completion.get("values") if is_object(completion) else None
        if not is_object(completion) or not is_array(values) or lookalike_in(completion, _VALUES):
            raise Fault(Reason.ANSWER_NOT_VALID, "not a completion")
        kept = [value for value in values if isinstance(value, str) and self._may_propose(value, sees)]
        if len(kept) != len(values):
            completion["values"] = kept
            completion.pop("total", None)  # it counts what is not there

    def _may_propose(self, value: str, sees: Callable[[str], bool]) -> bool:
        uri = self.template.expand({**self.others, self.name: value})
        return uri is None or sees(uri)


def read_completed(template: UriTemplate, params: Mapping[str, Any]) -> Completed:
    """Return what a request asks to complete; raises ``Fault`` where it names no variable of ``template``."""
    argument = params.get("argument")
    if not is_object(argument) or not argument.keys() <= {"name", "value"}:
        raise Fault(Reason.PARAMS_INVALID, "argument is not a name and a value")
    name = argument.get("name")
    if not isinstance(name, str) or name not in template.variables:
        raise Fault(Reason.PARAMS_INVALID, "no variable of the template to complete")
    context = params.get("context")
    if is_object(context) and not context.keys() <= {"arguments"}:
        raise Fault(Reason.PARAMS_INVALID, "context has a member that it does not have")
    others = context.get("arguments") if is_object(context) else None
    given = others if is_object(others) else {}
    texts = {key: value for key, value in given.items() if isinstance(value, str)}
    return Completed(template, name, texts)
