"""The public names of the package."""

from tunnelgate_servers import billing_audit


def test_the_public_names_are_these() -> None:
    assert billing_audit.__all__ == ["PACKAGE", "create_app"]
    assert billing_audit.__name__ == billing_audit.PACKAGE
