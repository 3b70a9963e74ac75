"""The locks of the images hold what their extras ask for, with the pins and hashes of the project's lock."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "docker"
EXTRAS = {
    "gate": ("gateway", "admin", "kubernetes"),
    "servers": ("gateway", "servers", "postgres", "kubernetes"),
}
# The images are for Linux, and their Python is this one or newer.
PLATFORM = {"sys_platform": "linux", "platform_system": "Linux", "implementation_name": "cpython"}

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<rest>.*(?:\n {4}--hash=.*)*)", re.MULTILINE
)


def pins(file: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes of each package in a lock."""
    return {
        canonicalize_name(match["name"]): (
            match["version"],
            frozenset(re.findall(r"--hash=(\S+)", match["rest"])),
        )
        for match in _PIN.finditer(file.read_text("utf-8"))
    }


def needed(package: str, extras: tuple[str, ...]) -> Iterator[str]:
    """Yield what a package and everything that it needs is made of, as it is installed here."""
    waiting = [(package, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate(
                {**PLATFORM, "extra": extra}
            ):
                continue
            found = canonicalize_name(requirement.name)
            yield found
            try:
                requires(found)
            except PackageNotFoundError:
                continue  # it is for another Python than this one, or for another machine
            for each in ("", *sorted(requirement.extras)):
                if (found, each) not in seen:
                    seen.add((found, each))
                    waiting.append((found, each))


@pytest.mark.parametrize("name", ["build", *EXTRAS])
def test_each_pin_is_one_of_the_projects_with_its_hashes(name: str) -> None:
    project = pins(ROOT / "requirements.lock")
    held = pins(FOLDER / f"{name}.lock")

    assert held
    different = {package for package, pin in held.items() if project.get(package) != pin}
    assert different == set(), "run: make lock"
    assert all(hashes for _, hashes in held.values())


@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_has_all_that_its_extras_ask_for(name: str) -> None:
    held = pins(FOLDER / f"{name}.lock")

    missing = {each for each in needed("tunnelgate", EXTRAS[name]) if each not in held} - {"tunnelgate"}
    assert missing == set(), "run: make lock"


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("tool", ["pytest", "mypy", "ruff", "hatchling", "coverage"])
def test_an_image_has_no_tools_of_those_who_develop_it(name: str, tool: str) -> None:
    assert tool not in pins(FOLDER / f"{name}.lock")


def test_the_image_of_the_gate_has_no_database_of_the_samples_in_it() -> None:
    assert {"sqlalchemy", "alembic", "psycopg", "fastapi"} & set(pins(FOLDER / "gate.lock")) == set()


def test_the_makefile_resolves_each_lock_for_the_extras_that_the_image_has() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    for name, extras in EXTRAS.items():
        options = " ".join(f"--extra {extra}" for extra in extras)
        assert f"$(IMAGE) {options} --output-file deploy/docker/{name}.lock pyproject.toml" in makefile
