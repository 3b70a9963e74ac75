"""Reads the Compose file, with what it says by default where it leaves something to the environment."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")


def variables() -> dict[str, str]:
    """Return the variables that the Compose file asks the environment for, with their defaults."""
    return {match["name"]: match["default"] for match in _VARIABLE.finditer(FILE.read_text("utf-8"))}


@cache
def composed() -> Any:
    """Return the Compose file as a mapping."""
    return yaml.safe_load(_VARIABLE.sub(lambda match: match["default"], FILE.read_text("utf-8")))


def services() -> dict[str, Any]:
    """Return the services by name."""
    found: dict[str, Any] = composed()["services"]
    return found


def is_job(service: Any) -> bool:
    """Return whether a service runs to its end, by itself or when somebody calls it."""
    return bool(service["restart"] == "no")
