"""Every module is in the package and can be imported."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import tunnelgate
import tunnelgate_app
import tunnelgate_servers

# Alembic runs the first, with a database at hand; the others read a command line or a configuration.
RUN_BY_OTHERS = (".migrations.env", ".__main__", "tunnelgate_app.main")


def modules() -> Iterator[str]:
    for package in (tunnelgate, tunnelgate_app, tunnelgate_servers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(RUN_BY_OTHERS):
                yield module.name


@pytest.mark.parametrize("name", [*modules()])
def test_a_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__doc__
