"""Checks that requirements.lock still holds what pyproject.toml asks for."""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)")


def main() -> int:
    """Print what the lock file lacks; return how many things that is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = [
        *project["project"]["dependencies"],
        *(each for extra in project["project"]["optional-dependencies"].values() for each in extra),
        *project["dependency-groups"]["dev"],
    ]
    locked = {
        canonicalize_name(match["name"]): Version(match["version"])
        for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
        if (match := PIN.match(line)) is not None
    }
    faults = [
        text
        for text in asked
        for requirement in [Requirement(text)]
        if requirement.name != project["project"]["name"]  # an extra of ours that another one includes
        for version in [locked.get(canonicalize_name(requirement.name))]
        if version is None or version not in requirement.specifier
    ]
    for text in faults:
        sys.stderr.write(f"requirements.lock does not hold {text}; run: make lock\n")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
