from pathlib import Path
from typing import Any

import pytest

from tests.app.issuer.flows import REDIRECT, Issuer
from tests.support.tokens import Clock
from tunnelgate_app.issuer.documents import (
    DOCUMENT_LIFETIME,
    MAX_DOCUMENT,
    MAX_DOCUMENTS,
    ClientDocuments,
)

pytestmark = pytest.mark.anyio
URL = "https://client.example/app.json"
DOCUMENT: dict[str, Any] = {
    "client_id": URL,
    "client_name": "Desktop",
    "redirect_uris": [REDIRECT],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "none",
}


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path)
    issuer.documents.put(URL, DOCUMENT)
    return issuer


async def test_a_client_is_known_by_the_document_at_its_name(issuer: Issuer) -> None:
    page = await issuer.ask(URL)
    tokens = await issuer.tokens(URL)

    assert "Desktop" in page.text
    assert URL in page.text
    assert (await issuer.introspect(tokens["access_token"]))["client_id"] == URL
    assert (await issuer.refresh(URL, tokens["refresh_token"])).status == 200
    assert issuer.documents.asked == [URL]


@pytest.mark.parametrize("removed", ["token_endpoint_auth_method", "client_name"])
async def test_a_document_may_leave_out_what_goes_without_saying(issuer: Issuer, removed: str) -> None:
    issuer.documents.put(URL, {name: value for name, value in DOCUMENT.items() if name != removed})

    assert (await issuer.redeem(URL, await issuer.code(URL))).status == 200


async def test_a_document_may_be_any_kind_of_json(issuer: Issuer) -> None:
    issuer.documents.put(URL, DOCUMENT, "application/oauth-client-id-metadata+json")

    assert (await issuer.ask(URL)).reply.status == 200


async def test_the_redirects_are_those_of_the_document(issuer: Issuer) -> None:
    page = await issuer.ask(URL, redirect_uri="https://evil.example/cb")

    assert (page.reply.status, page.action) == (400, None)


async def test_a_document_is_kept_for_a_minute(issuer: Issuer) -> None:
    await issuer.ask(URL)
    issuer.clock.now += DOCUMENT_LIFETIME - 1
    await issuer.ask(URL)
    issuer.clock.now += 1
    await issuer.ask(URL)

    assert issuer.documents.asked == [URL, URL]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param({**DOCUMENT, "client_id": f"{URL}?"}, "this very URL", id="the name of another"),
        pytest.param({"redirect_uris": [REDIRECT]}, "this very URL", id="no name"),
        pytest.param([], "this very URL", id="a list"),
        pytest.param(b"{", "is not JSON", id="half of an object"),
        pytest.param(
            b'{"client_id":"https://client.example/app.json","client_id":"x"}',
            "is not JSON",
            id="a member twice",
        ),
        pytest.param({**DOCUMENT, "client_secret": "x"}, "no secret", id="a secret"),
        pytest.param({**DOCUMENT, "client_secret_expires_at": 0}, "no secret", id="the time of a secret"),
        pytest.param(
            {**DOCUMENT, "token_endpoint_auth_method": "client_secret_basic"},
            "no secret",
            id="a secret's method",
        ),
        pytest.param({"client_id": URL}, "redirect_uris", id="no redirect URIs"),
        pytest.param({**DOCUMENT, "redirect_uris": ["x"]}, "redirect_uris", id="a redirect URI that is none"),
        pytest.param({**DOCUMENT, "x": "x" * MAX_DOCUMENT}, "octets", id="more than there may be"),
    ],
)
async def test_a_document_that_cannot_be_used_is_a_page_that_says_why(
    issuer: Issuer, document: object, sentence: str
) -> None:
    issuer.documents.put(URL, document)

    page = await issuer.ask(URL)

    assert (page.reply.status, page.action, sentence in page.text) == (400, None, True)


@pytest.mark.parametrize("status", [204, 301, 404, 500])
async def test_only_a_document_that_is_there_is_read(issuer: Issuer, status: int) -> None:
    issuer.documents.put(URL, DOCUMENT, status=status)

    page = await issuer.ask(URL)

    assert (page.reply.status, f"status {status}" in page.text) == (400, True)


async def test_a_page_of_a_site_is_no_document(issuer: Issuer) -> None:
    issuer.documents.put(URL, DOCUMENT, "text/html")

    assert (await issuer.ask(URL)).reply.status == 400


async def test_a_document_that_cannot_be_fetched_is_asked_for_again_the_next_time(issuer: Issuer) -> None:
    issuer.documents.answers[URL] = OSError("no whole answer")
    assert "no whole answer" in (await issuer.ask(URL)).text

    issuer.documents.put(URL, DOCUMENT)

    assert (await issuer.ask(URL)).reply.status == 200


async def test_at_the_token_endpoint_such_a_client_is_invalid(issuer: Issuer) -> None:
    code = await issuer.code(URL)
    issuer.documents.answers.clear()
    issuer.clock.now += DOCUMENT_LIFETIME

    refused = await issuer.redeem(URL, code)

    assert (refused.status, refused.json()["error"]) == (401, "invalid_client")
    assert "cannot be fetched" in refused.json()["error_description"]


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://client.example:8443/a/b.json?v=1",
        "http://127.0.0.1:9000/app.json",
        "http://[::1]:9000/app.json",
        "http://localhost/app.json",
        "http://client.localhost:9000/app.json",
    ],
)
def test_such_a_name_is_the_url_of_a_document(url: str) -> None:
    assert ClientDocuments.is_document_url(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("demo", id="a name"),
        pytest.param("https://client.example", id="no path"),
        pytest.param("https://client.example/", id="only a slash"),
        pytest.param("http://client.example/app.json", id="http elsewhere"),
        pytest.param("http://10.0.0.1/app.json", id="http on the network"),
        pytest.param(
            "http://localhost.evil.example/app.json", id="http at a name that only begins like ours"
        ),
        pytest.param("ftp://client.example/app.json", id="another scheme"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("https:///app.json", id="no host"),
        pytest.param("https://a@client.example/app.json", id="a user"),
        pytest.param("https://client.example/app.json#a", id="a fragment"),
        pytest.param("https://client.example/a/../app.json", id="a step back"),
        pytest.param("https://client.example/./app.json", id="a step on the spot"),
        pytest.param("https://client.example/a b", id="a space"),
        pytest.param("https://client.example/a\\b", id="a backslash"),
        pytest.param("https://client.example/a\n", id="a line"),
        pytest.param("https://clïent.example/a", id="beyond ASCII"),
        pytest.param("https://client.example:99999/a", id="no such port"),
        pytest.param("https://[::1/a", id="half of an address"),
        pytest.param(f"https://client.example/{'a' * 500}", id="too long"),
    ],
)
async def test_any_other_name_is_not_and_nothing_is_fetched(issuer: Issuer, url: str) -> None:
    assert not ClientDocuments.is_document_url(url)

    page = await issuer.ask(url)

    assert (page.reply.status, issuer.documents.asked) == (400, [])


@pytest.mark.promise("bounded")
async def test_one_document_too_many_costs_the_first_one_its_place(issuer: Issuer) -> None:
    documents = ClientDocuments(issuer.documents, Clock())
    urls = [f"{URL}?{number}" for number in range(MAX_DOCUMENTS + 1)]
    for url in urls:
        issuer.documents.put(url, {**DOCUMENT, "client_id": url})
        await documents.load(url)

    assert [documents.find(url) is not None for url in (urls[0], urls[1], urls[-1])] == [False, True, True]
