"""The options of the server, and the public names of the package."""

from types import ModuleType
from typing import Any

import pytest

from tests.servers.tickets_draft.ticketing import PACKAGE
from tunnelgate_servers import tickets_draft
from tunnelgate_servers.hosting import OptionsError
from tunnelgate_servers.tickets_draft import create_app
from tunnelgate_servers.tickets_draft.app import PACKAGE as APPLICATION
from tunnelgate_servers.tickets_draft.options import read_desk_url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("https://desk.example.com", "https://desk.example.com", id="https"),
        pytest.param("https://desk.example.com/", "https://desk.example.com", id="a slash behind"),
        pytest.param("http://desk.localhost:8080", "http://desk.localhost:8080", id="http with a port"),
        pytest.param("https://example.com/the/desk/", "https://example.com/the/desk", id="a path"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="an IPv6 address"),
    ],
)
def test_the_url_of_the_desk(given: object, read: str | None) -> None:
    assert read_desk_url(given) == read


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("", id="nothing"),
        pytest.param("desk.example.com", id="no scheme"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("ftp://desk.example.com", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://alice:secret@desk.example.com", id="a user"),
        pytest.param("https://desk.example.com?x=1", id="a query"),
        pytest.param("https://desk.example.com/#x", id="a fragment"),
        pytest.param("https://desk.example.com\n", id="a line feed"),
        pytest.param("https://desk example.com", id="a blank"),
        pytest.param("https://désk.example.com", id="a letter that is not of ASCII"),
        pytest.param("https://desk.example.com:", id="no port behind a colon"),
        pytest.param(8080, id="a number"),
        pytest.param(["https://desk.example.com"], id="a list"),
    ],
)
def test_what_is_no_url_of_a_desk_is_refused(database: str, given: Any) -> None:
    with pytest.raises(OptionsError, match=r"^The option desk_url has to be a URL such as https://desk"):
        create_app(database=database, desk_url=given)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"database": ""}, "The option database needs a URL", id="no database"),
        pytest.param({"database": None}, "The option database needs a URL", id="null for the database"),
        pytest.param({"resource": "https://x.example.com/mcp"}, "The option oauth", id="a resource alone"),
        pytest.param({"oauth": {"issuers": []}}, "The option resource needs the URL", id="issuers alone"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_sentence(
    database: str, options: dict[str, Any], sentence: str
) -> None:
    given: dict[str, Any] = {"database": database, **options}

    with pytest.raises(OptionsError, match=f"^{sentence}"):
        create_app(**given)


def test_the_package_with_the_migrations_is_this_one() -> None:
    assert PACKAGE == APPLICATION == tickets_draft.__name__


def test_the_public_names_are_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(tickets_draft).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert sorted(public) == tickets_draft.__all__
