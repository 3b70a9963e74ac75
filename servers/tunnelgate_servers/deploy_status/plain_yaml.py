"""Reading: YAML without its surprises, as mappings, lists and texts.

Every scalar is the text that stands in the file, so that version 1.10 is not the number 1.1. What lets a
small file become large or mean two things is refused: aliases, tags, equal keys and deep nesting.

Specification: https://yaml.org/spec/1.1/
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 16
"""How deep mappings and lists may lie in one another."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml, reading takes ten times as long


class YamlError(ValueError):
    """A text is not the YAML that is read here; the message says why, and repeats nothing of it."""


def read_plain_yaml(content: bytes) -> Any:
    """Return the one document in `content`: `dict`, `list` and `str` only; raises `YamlError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(f"it is not UTF-8 (at byte {error.start})") from None
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise YamlError(f"it is not YAML{_line(error.problem_mark)}") from None
    except yaml.YAMLError:
        raise YamlError("it is not YAML: it holds a character that is not allowed") from None
    if not builder.documents:
        raise YamlError("it is empty")
    return builder.documents[0]


def _events(text: str) -> Iterator[yaml.Event]:
    return yaml.parse(text, Loader=_Loader)  # pyright: ignore[reportUnknownMemberType] - the stub leaves it open


class _Builder:
    """Puts the events of a parser together, each in constant time and without recursion."""

    def __init__(self) -> None:
        self.documents: list[Any] = []
        self._open: list[_Mapping | list[Any]] = []

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise YamlError(f"it has an alias{_line(event.start_mark)}")
        if isinstance(event, yaml.NodeEvent):
            self._begin(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent) and self.documents:
            raise YamlError(f"it has a second document{_line(event.start_mark)}")

    def _begin(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            raise YamlError(f"it has an anchor{_line(event.start_mark)}")
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None:
                raise YamlError(f"it has a tag{_line(event.start_mark)}")
            self._add(event.value, event)
            return
        if getattr(event, "tag", None) is not None:
            raise YamlError(f"it has a tag{_line(event.start_mark)}")
        if len(self._open) == MAX_DEPTH:
            raise YamlError(f"it is nested too deep{_line(event.start_mark)}")
        container: _Mapping | list[Any] = _Mapping() if isinstance(event, yaml.MappingStartEvent) else []
        self._add(container.members if isinstance(container, _Mapping) else container, event)
        self._open.append(container)

    def _end(self) -> None:
        self._open.pop()

    def _add(self, value: Any, event: yaml.NodeEvent) -> None:
        if not self._open:
            self.documents.append(value)
            return
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        else:
            container.add(value, event)


class _Mapping:
    """A mapping to which keys and values come in turn."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self._key: str | None = None

    def add(self, value: Any, event: yaml.NodeEvent) -> None:
        if self._key is not None:
            self.members[self._key] = value
            self._key = None
        elif not isinstance(value, str):
            raise YamlError(f"it has a key that is not a text{_line(event.start_mark)}")
        elif value in self.members:
            raise YamlError(f"it has a key twice{_line(event.start_mark)}")
        else:
            self._key = value


def _line(mark: Any) -> str:
    return "" if mark is None else f" in line {mark.line + 1}"
