"""The public names of the package."""

from types import ModuleType

from tunnelgate_servers import docs_readonly


def test_the_public_names_are_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(docs_readonly).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert public == set(docs_readonly.__all__)
    assert sorted(docs_readonly.__all__, key=lambda name: (name.islower(), not name.isupper(), name)) == (
        docs_readonly.__all__
    )
