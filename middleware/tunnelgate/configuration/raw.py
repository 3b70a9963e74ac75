"""Looks into values of a configuration as they were given, of whatever shape they are."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

_SWITCH = TypeAdapter(bool)


def is_on(value: object) -> bool:
    """Return whether a setting is on, however that was said; a variable says it as a text."""
    try:
        return _SWITCH.validate_python(value)
    except ValidationError:
        return False


def get(holder: Any, name: str) -> Any:
    """Return a member of a section, or ``None`` where there is none."""
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)


def given(holder: Any, name: str) -> Any:
    """Return a member that somebody wrote down, or ``None`` where it has its default."""
    if isinstance(holder, BaseModel) and name not in holder.model_fields_set:
        return None
    return get(holder, name)


def sequence(value: Any) -> Sequence[Any]:
    """Return a list as it is, and anything else as an empty one."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return cast("Sequence[Any]", value) if is_sequence else ()


def members(holder: Any) -> frozenset[str]:
    """Return the names of what somebody wrote down in a section; what is ``None`` was not."""
    if isinstance(holder, BaseModel):
        return frozenset(name for name in holder.model_fields_set if getattr(holder, name) is not None)
    if isinstance(holder, Mapping):
        return frozenset(
            name for name, value in cast("Mapping[str, Any]", holder).items() if value is not None
        )
    return frozenset()
