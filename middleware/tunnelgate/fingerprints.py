"""Fingerprints: whether two settings, and the files that they name, are the same.

Two values have one fingerprint only where they are of the same types as well: ``1`` is not ``true``.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel


def fingerprint(*values: object) -> str:
    """Return 64 hexadecimal digits for these values, such as sections of a configuration."""
    return sha256("\n".join(map(_written, values)).encode("utf-8", "surrogatepass")).hexdigest()


def file_fingerprint(path: str | Path) -> str:
    """Return the same for what is in a file; raises :class:`OSError`."""
    return sha256(Path(path).read_bytes()).hexdigest()


def _written(value: Any) -> str:
    if value is None or isinstance(value, str | bytes | int | float):  # most of all, so first
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, BaseModel):
        members = {name: getattr(value, name) for name in type(value).model_fields}
        return f"{type(value).__name__}{_written(members)}"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return "{" + ",".join(sorted(f"{_written(key)}:{_written(each)}" for key, each in pairs)) + "}"
    if isinstance(value, AbstractSet):
        return "<" + ",".join(sorted(map(_written, cast("AbstractSet[object]", value)))) + ">"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_written, cast("Sequence[object]", value))) + "]"
    return f"{type(value).__name__} {value!r}"
