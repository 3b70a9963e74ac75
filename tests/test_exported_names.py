import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

import pytest

import tunnelgate
import tunnelgate_app.issuer
import tunnelgate_servers.hosting

MODULES = [tunnelgate, tunnelgate_app.issuer, tunnelgate_servers.hosting]


def public_names(module: ModuleType) -> list[str]:
    """Return what a module has to offer, whether it says so or not."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_is_exported_is_sorted_and_exactly_what_is_public(module: Any) -> None:
    exported: list[str] = module.__all__

    assert exported == sorted(public_names(module), key=constants_first)


def constants_first(name: str) -> tuple[bool, str]:
    return not name.isupper(), name


def own_docstring(value: Any) -> str:
    """Return the docstring that was written for ``value``, not one that was inherited or generated."""
    written = str(vars(value).get("__doc__") or "") if inspect.isclass(value) else str(value.__doc__ or "")
    return "" if written.startswith(f"{value.__name__}(") else written


def methods_of(value: Any) -> list[Any]:
    members: Mapping[str, Any] = value.__dict__
    public = [each for name, each in members.items() if not name.startswith("_")]
    unwrapped = [getattr(each, "__func__", None) or getattr(each, "fget", None) or each for each in public]
    return [each for each in unwrapped if inspect.isfunction(each)]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(each, name, id=f"{each.__name__}.{name}")
        for each in MODULES
        for name in each.__all__
        # A constant and an annotated type have nowhere to put a docstring; one stands below each.
        if not name.isupper() and get_origin(getattr(each, name)) is not Annotated
    ],
)
def test_every_public_name_has_a_docstring_and_so_has_every_public_method(module: Any, name: str) -> None:
    value = getattr(module, name)
    # An alias of a union has nowhere either; what it is made of has.
    parts: tuple[Any, ...] = get_args(value) or (value,)
    methods = [method for part in parts if inspect.isclass(part) for method in methods_of(part)]

    assert [each.__qualname__ for each in (*parts, *methods) if not own_docstring(each)] == []


@pytest.mark.parametrize("name", tunnelgate.__all__)
def test_a_public_name_is_part_of_an_import_of_everything(name: str) -> None:
    namespace: dict[str, Any] = {}

    exec("from tunnelgate import *", namespace)

    assert namespace[name] is getattr(tunnelgate, name)
