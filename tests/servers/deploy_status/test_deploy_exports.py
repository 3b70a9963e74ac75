"""The public names of the package."""

from types import ModuleType

from tunnelgate_servers import deploy_status


def test_the_public_names_are_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(deploy_status).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert public == set(deploy_status.__all__)
    assert sorted(deploy_status.__all__) == deploy_status.__all__
