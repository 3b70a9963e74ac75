"""Catalogues: the tools, prompts and resources that exist for callers, and for whom.

One question decides about calling and about listing::

    catalogue.decide("create_draft", principal)    Allow | NeedsScopes | Deny

What is denied is in no list and is answered like something that does not exist. What only needs
a wider token stays listed, and calling it is answered with the challenge for that token.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, cast

from tunnelgate.exchange import Principal
from tunnelgate.reading.methods import MAX_NAME, MAX_URI
from tunnelgate.reading.uri_template import UriTemplate, is_template, spelled_plainly
from tunnelgate.requirements import Requirement
from tunnelgate.verdict import Deny, NeedsScopes, Reason, Verdict, all_of

logger = logging.getLogger("tunnelgate")

EVERYTHING: Literal["*"] = "*"

Listed = Iterable[str] | Mapping[str, Requirement | Iterable[str] | None]

_PATTERN = frozenset("*?[]")
_NOTHING = Requirement()


class Names:
    """The tools, or the prompts, of a server that exist for callers.

    ``listed`` are names, or names with what each requires. ``absent`` is the reason for refusing
    any other. ``is_open`` makes all others exist as well, for everybody.
    Raises :class:`ValueError` with a sentence for a name that cannot be meant.
    """

    def __init__(self, listed: Listed, absent: Reason, *, is_open: bool = False) -> None:
        self.requirements = _requirements(listed, check_name)
        self.is_open = is_open
        self._absent = Deny(absent)

    def __bool__(self) -> bool:
        return self.is_open or bool(self.requirements)

    def decide(self, name: str, principal: Principal | None) -> Verdict:
        """Return whether ``principal`` may use ``name``, which is whether it exists."""
        is_open = self.is_open and 0 < len(name) <= MAX_NAME
        requirement = self.requirements.get(name, _NOTHING if is_open else None)
        return self._absent if requirement is None else requirement.decide(principal, self._absent)


class Resources:
    """The resources of a server that exist for callers, by URI and by URI template.

    Where several entries are about one URI, all that they require is required.
    Raises :class:`ValueError` with a sentence for an entry that cannot be meant.
    """

    def __init__(self, listed: Listed) -> None:
        self.requirements = _requirements(listed, check_resource)
        self.templates = {entry: UriTemplate(entry) for entry in self.requirements if is_template(entry)}
        self._others: dict[str, list[Requirement]] = {}  # the entries that are no templates, by meaning
        for entry, requirement in self.requirements.items():
            if not is_template(entry):
                self._others.setdefault(spelled_plainly(entry), []).append(requirement)
        self._absent = Deny(Reason.RESOURCE_NOT_ALLOWED)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def decide(self, uri: str, principal: Principal | None) -> Verdict:
        """Return whether ``principal`` may read ``uri``; a listed template itself counts as one."""
        denial = Deny(self._absent.reason, told={"uri": uri})
        covering = [each for each in self.templates.values() if each.covers(uri)]
        if uri not in self.requirements and not any(each.matches(uri) for each in covering):
            return denial
        # What is required in one spelling is required in each, and a value that a template would not
        # allow does not lift what it requires.
        found = [self.requirements[uri]] if uri in self.requirements else []
        found += [self.requirements[each.template] for each in covering]
        found += self._others.get(spelled_plainly(uri), [])
        verdict = all_of([each.decide(principal, denial) for each in found])
        if isinstance(verdict, NeedsScopes):  # all that is needed, so that one step-up is enough
            return NeedsScopes(tuple(dict.fromkeys(scope for each in found for scope in each.scopes)))
        return verdict


def list_tools(listed: Listed, *, allow_all_tools: bool = False) -> Names:
    """Return the tools that exist for callers; ``"*"`` is every tool, and needs ``allow_all_tools``.

    Raises :class:`ValueError` with a sentence for what cannot be meant.
    """
    if listed != EVERYTHING:
        return Names(listed, Reason.TOOL_NOT_ALLOWED)
    if not allow_all_tools:
        raise ValueError("'*' is every tool there will ever be; list them, or set allow_all_tools as well")
    logger.warning("all tools are allowed, also those that the server will have tomorrow")
    return Names((), Reason.TOOL_NOT_ALLOWED, is_open=True)


def check_name(name: str) -> None:
    """Raise :class:`ValueError` with the end of a sentence unless ``name`` names exactly one thing."""
    if not name or len(name) > MAX_NAME:
        raise ValueError(f"is not a name of 1 to {MAX_NAME} characters")
    if not _PATTERN.isdisjoint(name):
        raise ValueError("is a pattern; list the names one by one")


def check_resource(entry: str) -> None:
    """Raise :class:`ValueError` with the end of a sentence unless ``entry`` is a URI or a template."""
    if not entry or len(entry) > MAX_URI:
        raise ValueError(f"is not a URI of 1 to {MAX_URI} characters")
    if is_template(entry):
        UriTemplate(entry)
    elif "*" in entry:
        raise ValueError("is a pattern; write a URI template such as docs:///{+path}")


def _requirements(listed: Listed, check: Callable[[str], None]) -> Mapping[str, Requirement]:
    if isinstance(listed, str):
        raise ValueError(f"{listed!r} is a text where a list of names is meant")
    if not isinstance(listed, Mapping):
        listed = dict.fromkeys(listed)
    requirements: dict[str, Requirement] = {}
    for name, rule in cast("Mapping[str, Requirement | Iterable[str] | None]", listed).items():
        try:
            check(name)
        except ValueError as error:
            raise ValueError(f"{name!r} {error}") from None
        requirements[name] = rule if isinstance(rule, Requirement) else Requirement(rule or ())
    return requirements
