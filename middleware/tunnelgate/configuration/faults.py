"""Turns what pydantic found into faults that a person can mend: path, value, sentence."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tunnelgate.errors import ConfigurationFault

# Stand in the path of an error to say which form of a value was meant; no person wrote them.
LIST_TAG = "<list>"
MAPPING_TAG = "<mapping>"
EVERYTHING_TAG = "<everything>"
_INVISIBLE = frozenset({LIST_TAG, MAPPING_TAG, EVERYTHING_TAG, "[key]"})
_LONGEST_VALUE = 60


def faults_of(error: ValidationError, known: Mapping[str, Iterable[str]]) -> list[ConfigurationFault]:
    """Return the faults in the order of the file; ``known`` are the keys that a typo may have meant."""
    return [
        ConfigurationFault(path_of(each["loc"]), _value(each), _sentence(each, known))
        for each in error.errors(include_url=False)
    ]


def path_of(location: Iterable[int | str]) -> str:
    """Return a path such as ``routes.docs.tools[0]``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _INVISIBLE:
            key = f'"{part}"' if "." in part else part
            path += f".{key}" if path else key
    return path


def show(value: Any) -> str:
    """Return a value as a person would recognise it, on one line and not too long."""
    if isinstance(value, BaseModel):
        return ""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _value(error: ErrorDetails) -> str:
    return "" if error["type"] == "missing" else show(error["input"])


def _sentence(error: ErrorDetails, known: Mapping[str, Iterable[str]]) -> str:
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        *above, name = map(str, error["loc"])
        parent = next((each for each in reversed(above) if each in known), "")
        meant = get_close_matches(name, known[parent], n=1)
        return f"is not a key; {meant[0]} is" if meant else "is not a key"
    if error["type"] == "value_error":
        return str(error.get("ctx", {}).get("error", error["msg"]))
    return error["msg"][0].lower() + error["msg"][1:]
