"""Turns what pydantic found into faults that a person can mend: path, value, sentence."""

import re
from collections.abc import Iterable, Mapping, Sequence
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
# What pydantic says names types of Python, which nobody wrote into a file.
_SENTENCES: Mapping[str, str] = {
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "dict_type": "is not a mapping",
    "finite_number": "is not a number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "greater_than_equal": "is less than {bound}",
    "int_from_float": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number",
    "int_type": "is not a whole number",
    "is_instance_of": "is not a list",
    "less_than_equal": "is more than {bound}",
    "mapping_type": "is not a mapping",
    "model_type": "is not a mapping",
    "sequence_str": "is not a list",
    "string_too_short": "is empty",
    "string_type": "is not a text",
}
# Where somebody may have written down a secret, which then stands in no fault and in no log.
_SECRET_SECTIONS = frozenset({"client_credentials", "credentials", "introspection", "token_exchange"})
_SECRET_NAME = re.compile(r"api_?key|bearer|credential|passw|private|secret|(?:^|_)token$", re.IGNORECASE)
# What stands here is shown even so: nobody takes these for the place of a secret.
_OPEN_NAMES = frozenset(
    {
        "audience",
        "client_authentication",
        "client_id",
        "endpoint",
        "issuer",
        "max_age",
        "resource",
        "scopes",
        "token_endpoint",
    }
)
_USER_OF_URL = re.compile(r"//[^/@\s]*@")


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
    text = _USER_OF_URL.sub("//…@", repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _value(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return ""
    keys = [each for each in error["loc"] if isinstance(each, str) and each not in _INVISIBLE]
    return "" if _may_hold_secret(keys) and _has_text(error["input"]) else show(error["input"])


def _may_hold_secret(keys: Sequence[str]) -> bool:
    for position, key in enumerate(keys):
        if key in _SECRET_SECTIONS:
            return _OPEN_NAMES.isdisjoint(keys[position + 1 :])
    return bool(keys) and _SECRET_NAME.search(keys[-1]) is not None


def _has_text(value: Any) -> bool:
    return not isinstance(value, bool | int | float | None) and bool(value)


def _sentence(error: ErrorDetails, known: Mapping[str, Iterable[str]]) -> str:
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        *above, name = map(str, error["loc"])
        parent = next((each for each in reversed(above) if each in known), "")
        # Sections of the same name are told apart by where they stand.
        outermost = f"{above[0]}.{parent}" if above else parent
        meant = get_close_matches(name, known.get(outermost, known[parent]), n=1, cutoff=0.65)
        return f"is not a key; {meant[0]} is" if meant else "is not a key"
    if error["type"] == "value_error":
        return str(error.get("ctx", {}).get("error", error["msg"]))
    if error["type"] == "literal_error":
        # Sorted, because Python takes two Literals of the same words for one, whoever wrote it first.
        *words, last = sorted(re.findall("'[^']*'", error.get("ctx", {})["expected"]))
        return f"is not {', '.join(words)} or {last}" if words else f"is not {last}"
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]].format(bound=error["msg"].rpartition(" ")[2], **error.get("ctx", {}))
    return error["msg"][0].lower() + error["msg"][1:]
