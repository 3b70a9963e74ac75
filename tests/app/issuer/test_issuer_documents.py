import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.app.issuer.flows import REDIRECT, Documents, Issuer
from tests.support.tokens import Clock
from tunnelgate.fetching import Fetched
from tunnelgate_app.issuer.documents import (
    DOCUMENT_LIFETIME,
    MAX_DOCUMENT,
    MAX_DOCUMENTS,
    MAX_FETCHES,
    ClientDocuments,
    DocumentError,
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


@pytest.mark.promise("development-only")
async def test_at_the_token_endpoint_such_a_client_is_invalid_and_only_the_log_says_why(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tunnelgate.issuer")
    code = await issuer.code(URL)
    issuer.documents.answers.clear()
    issuer.clock.now += DOCUMENT_LIFETIME

    refused = await issuer.redeem(URL, code)

    assert (refused.status, refused.json()["error"]) == (401, "invalid_client")
    assert refused.json()["error_description"] == "The client's document cannot be used."
    assert f"development issuer: {URL} cannot be fetched: nobody answers" in caplog.messages


@pytest.mark.promise("development-only")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OSError("connection refused"), id="nobody who answers"),
        pytest.param(Fetched(404, "text/html", b"not here"), id="a site without the document"),
        pytest.param(Fetched(200, "application/json", b"{}"), id="another document"),
    ],
)
async def test_what_can_be_reached_from_here_is_not_told_to_pages_of_other_origins(
    issuer: Issuer, answer: Fetched | OSError
) -> None:
    url = "http://127.0.0.1:9200/app.json"
    issuer.documents.answers[url] = answer

    refused = await issuer.redeem(url, "code")

    expected = {"error": "invalid_client", "error_description": "The client's document cannot be used."}
    assert (refused.status, refused.json()) == (401, expected)
    assert issuer.documents.asked == [url]


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


class Held:
    """Documents that are answered when they are let go."""

    def __init__(self) -> None:
        self.asked = anyio.Semaphore(0)
        self.let_go = anyio.Event()

    async def __call__(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        self.asked.release()
        await self.let_go.wait()
        return Fetched(200, "application/json", json.dumps({**DOCUMENT, "client_id": url}).encode())


@pytest.mark.promise("bounded")
async def test_only_so_many_documents_are_fetched_at_a_time() -> None:
    held = Held()
    documents = ClientDocuments(held, Clock())
    urls = [f"{URL}?{number}" for number in range(MAX_FETCHES + 1)]

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for url in urls[:-1]:
                tasks.start_soon(documents.load, url)
                await held.asked.acquire()
            with pytest.raises(DocumentError, match=rf"^{re.escape(urls[-1])} .*: too many others are$"):
                await documents.load(urls[-1])
            held.let_go.set()
        await documents.load(urls[-1])

    assert [url for url in urls if documents.find(url) is None] == []


@pytest.mark.promise("bounded")
async def test_a_document_that_is_at_hand_is_used_while_many_others_are_fetched() -> None:
    held = Held()
    held.let_go.set()
    documents = ClientDocuments(held, Clock())
    await documents.load(URL)
    held.let_go, held.asked = anyio.Event(), anyio.Semaphore(0)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for number in range(MAX_FETCHES):
                tasks.start_soon(documents.load, f"{URL}?{number}")
                await held.asked.acquire()
            await documents.load(URL)
            held.let_go.set()

    assert documents.find(URL) is not None


@pytest.mark.promise("bounded")
async def test_a_fetch_that_failed_takes_no_place() -> None:
    documents = ClientDocuments(Documents(), Clock())

    for _ in range(MAX_FETCHES + 1):
        with pytest.raises(DocumentError, match="nobody answers"):
            await documents.load(URL)


@pytest.mark.promise("bounded")
async def test_a_fetch_whose_client_went_away_takes_no_place() -> None:
    held = Held()
    documents = ClientDocuments(held, Clock())

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for number in range(MAX_FETCHES):
                tasks.start_soon(documents.load, f"{URL}?{number}")
                await held.asked.acquire()
            tasks.cancel_scope.cancel()
        held.let_go.set()
        await documents.load(URL)

    assert documents.find(URL) is not None


@pytest.mark.promise("bounded")
async def test_one_document_too_many_costs_the_first_one_its_place(issuer: Issuer) -> None:
    documents = ClientDocuments(issuer.documents, Clock())
    urls = [f"{URL}?{number}" for number in range(MAX_DOCUMENTS + 1)]
    for url in urls:
        issuer.documents.put(url, {**DOCUMENT, "client_id": url})
        await documents.load(url)

    assert [documents.find(url) is not None for url in (urls[0], urls[1], urls[-1])] == [False, True, True]
