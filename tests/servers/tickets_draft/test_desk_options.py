"""The options of `create_desk`: what cannot be used is said before anything is served."""

from pathlib import Path
from typing import Any

import pytest

from tests.servers.tickets_draft.test_desk_pages import CLIENT_ID, PACKAGE, SECRET, living
from tests.support.postgres import Databases
from tests.support.tokens import ISSUER, jwks
from tunnelgate_servers.hosting import OptionsError, migrate, open_writer, read_url
from tunnelgate_servers.tickets_draft import create_desk

DESK = "https://desk.example.com"


@pytest.fixture
def options(tmp_path: Path, databases: Databases) -> dict[str, Any]:
    """Give options that can be used."""
    database = databases.new()
    engine = open_writer(read_url(database))
    migrate(engine, PACKAGE)
    engine.dispose()
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    (tmp_path / "key").write_bytes(b"k" * 32)
    return {
        "database": database,
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "public_url": DESK,
        "resource": DESK,
        "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": str(tmp_path / "jwks.json")}]},
    }


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="those that are needed"),
        pytest.param({"public_url": f"{DESK}/"}, id="a public URL with a slash"),
        pytest.param({"public_url": "http://localhost:8080"}, id="a public URL on this machine"),
        pytest.param({"public_url": "http://desk.tunnel.localhost"}, id="one on a name below localhost"),
        pytest.param({"public_url": "http://127.0.0.1:8080"}, id="one on an address of loopback"),
        pytest.param({"public_url": "http://[::1]:8080"}, id="one on the other address of loopback"),
        pytest.param({"scopes": []}, id="no scopes"),
        pytest.param({"scopes": ["a", "b:c"]}, id="several scopes"),
        pytest.param({"authorization_endpoint": f"{ISSUER}/authorize?a=b"}, id="an endpoint with a query"),
        pytest.param({"session_key_file": "KEY"}, id="a key of sessions"),
    ],
)
def test_what_can_be_used_is_taken(options: dict[str, Any], tmp_path: Path, changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        name: str(tmp_path / "key") if name == "session_key_file" else value
        for name, value in changed.items()
    }

    app = create_desk(**{**options, **given})

    with living(app):
        assert app.title == "tickets-desk"


NO_URL = "is not a URL such as https://login.example.com/."


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param(
            {"public_url": 7}, "The option public_url needs a URL, not 7.", id="a number for a public URL"
        ),
        pytest.param(
            {"public_url": "desk.example.com"},
            f"The option public_url is 'desk.example.com', which {NO_URL}",
            id="a public URL without a scheme",
        ),
        pytest.param(
            {"public_url": f"{DESK}/desk"},
            f"The option public_url is '{DESK}/desk'; the desk needs a hostname of its own.",
            id="a public URL with a path",
        ),
        pytest.param(
            {"public_url": f"{DESK}?a=b"},
            f"The option public_url is '{DESK}?a=b', which has a query, a fragment or a user, which an "
            "identifier does not have.",
            id="a public URL with a query",
        ),
        pytest.param(
            {"public_url": "http://desk.example.com"},
            "The option public_url is 'http://desk.example.com'; a page on which people sign in needs https, "
            "except on a name of this machine such as desk.localhost.",
            id="a public URL in the clear",
        ),
        pytest.param(
            {"public_url": "http://localhost.example.com"},
            "The option public_url is 'http://localhost.example.com'; a page on which people sign in needs "
            "https, except on a name of this machine such as desk.localhost.",
            id="a public URL that looks like this machine's",
        ),
        pytest.param(
            {"resource": None}, "The option resource needs a URL, not None.", id="nothing for a resource"
        ),
        pytest.param(
            {"resource": "desk"},
            f"The option resource is 'desk', which {NO_URL}",
            id="a resource without a host",
        ),
        pytest.param(
            {"issuer": "https://other.example.com"},
            "The option issuer is 'https://other.example.com', which is not one of oauth.issuers.",
            id="an issuer that is not trusted",
        ),
        pytest.param(
            {"issuer": ["a"]},
            "The option issuer needs a URL, not ['a'].",
            id="a list for an issuer",
        ),
        pytest.param(
            {"oauth": {}}, "The option oauth: 1 fault\n  issuers: is required", id="no issuers at all"
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "/nowhere/jwks.json"}]}},
            "oauth: 1 fault\n  oauth.issuers[0].jwks_file = '/nowhere/jwks.json': No such file or directory",
            id="keys that are not there",
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": ISSUER}], "allowed_ips": ["0.0.0.0/0"]}},
            "The option oauth: 1 fault\n  oauth.allowed_ips[0] = '0.0.0.0/0': allows every address; list the "
            "networks that are meant",
            id="every address for issuers",
        ),
        pytest.param(
            {"oauth": {"issuers": [{"issuer": ISSUER}, {"issuer": ISSUER}]}},
            f"The option oauth: 1 fault\n  oauth.issuers[1].issuer = '{ISSUER}': stands twice",
            id="an issuer that stands twice",
        ),
        pytest.param(
            {"authorization_endpoint": "javascript:alert(1)"},
            f"The option authorization_endpoint is 'javascript:alert(1)', which {NO_URL}",
            id="an endpoint that is a script",
        ),
        pytest.param(
            {"token_endpoint": 7},
            "The option token_endpoint needs a URL, not 7.",
            id="a number for an endpoint",
        ),
        pytest.param(
            {"client_id": ""},
            "The option client_id needs a text, which is the issuer's for this client.",
            id="no client id",
        ),
        pytest.param(
            {"client_secret": None},
            "The option client_secret needs a text, which is the issuer's for this client.",
            id="no client secret",
        ),
        pytest.param(
            {"client_secret": "s\udcff"},
            "The options of the client cannot be used: client_secret is not UTF-8.",
            id="a client secret that is not UTF-8",
        ),
        pytest.param(
            {"scopes": "tickets:submit"}, "The option scopes needs a list of scopes.", id="a text for scopes"
        ),
        pytest.param({"scopes": None}, "The option scopes needs a list of scopes.", id="nothing for scopes"),
        pytest.param(
            {"scopes": ["a b"]},
            "The option scopes has 'a b', which is not one scope.",
            id="two scopes in one",
        ),
        pytest.param(
            {"scopes": [7]}, "The option scopes has 7, which is not one scope.", id="a number for a scope"
        ),
        pytest.param(
            {"session_key_file": 7},
            "The option session_key_file needs the name of a file, not 7.",
            id="a number for a file",
        ),
        pytest.param(
            {"session_key_file": "/nowhere/key"},
            "The file of session_key_file cannot be read: No such file or directory.",
            id="a file that is not there",
        ),
        pytest.param(
            {"database": "desk"},
            "The option database is not a URL such as sqlite:///data.sqlite.",
            id="no database",
        ),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionsError) as caught:
        create_desk(**{**options, **changed})

    assert str(caught.value) == sentence
    assert SECRET not in str(caught.value)


def test_a_key_that_is_too_short_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 31 + b"\r\n")

    with pytest.raises(OptionsError, match=r"^The file of session_key_file holds fewer than 32 octets\.$"):
        create_desk(**options, session_key_file=tmp_path / "key")


def test_a_database_that_was_not_migrated_is_refused(options: dict[str, Any], databases: Databases) -> None:
    options["database"] = databases.new()

    with pytest.raises(OptionsError, match="run: tunnelgate-servers migrate tickets-draft"):
        create_desk(**options)
