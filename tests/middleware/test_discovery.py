import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fetching import loopback_fetch as fetch
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Clock
from tunnelgate import Discovery, IssuerUnavailable
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.discovery import metadata_urls
from tunnelgate.fetching import Fetched

TENANT = f"{ISSUER}/tenant"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server/tenant"
OPENID = f"{ISSUER}/.well-known/openid-configuration/tenant"
APPENDED = f"{ISSUER}/tenant/.well-known/openid-configuration"
JWKS = f"{ISSUER}/tenant/jwks"
LIMIT = 10  # seconds that a test waits for what should be there at once

Page = Fetched | OSError


def page(body: bytes, status: int = 200, media_type: str = "application/json") -> Fetched:
    return Fetched(status, media_type, body)


def metadata(issuer: Any = TENANT, **members: Any) -> Fetched:
    """Return metadata of ``issuer`` with these members; an issuer that is ``None`` is left out."""
    value = {"jwks_uri": JWKS, **members}
    return page(orjson.dumps(value if issuer is None else {"issuer": issuer, **value}))


class Web:
    """What is at each URL, what was asked for, and the time; at all other URLs there is nothing."""

    def __init__(
        self, pages: Mapping[str, Page] | None = None, issuer: str = TENANT, **bounds: float
    ) -> None:
        self.pages: dict[str, Page] = dict(pages or {})
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.clock = Clock(0)
        self.discovery = Discovery(issuer, self.fetch, clock=self.clock, **bounds)

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        assert form is None, "metadata is asked for with GET"
        self.asked.append(url)
        self.was_asked.set()
        await self.answers.wait()
        found = self.pages.get(url, page(b"<h1>Not Found</h1>", 404, "text/html"))
        if isinstance(found, OSError):
            raise found
        return found

    async def find(self, endpoint: str = "jwks_uri") -> str:
        async with asyncio.timeout(LIMIT):
            return await self.discovery.find(endpoint)

    async def reason(self, endpoint: str = "jwks_uri") -> str:
        """Return why an endpoint cannot be had."""
        with pytest.raises(IssuerUnavailable) as unavailable:
            await self.find(endpoint)
        return str(unavailable.value)


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        pytest.param(
            "https://login.example.com",
            (
                "https://login.example.com/.well-known/oauth-authorization-server",
                "https://login.example.com/.well-known/openid-configuration",
            ),
            id="without a path, where two of the three are one",
        ),
        pytest.param(
            "https://login.example.com/",
            (
                "https://login.example.com/.well-known/oauth-authorization-server",
                "https://login.example.com/.well-known/openid-configuration",
            ),
            id="with a slash as its path",
        ),
        pytest.param(TENANT, (OAUTH, OPENID, APPENDED), id="with a path"),
        pytest.param(f"{TENANT}/", (OAUTH, OPENID, APPENDED), id="with a slash behind its path"),
        pytest.param(
            "http://127.0.0.1:8080/realms/Acme%20Inc",
            (
                "http://127.0.0.1:8080/.well-known/oauth-authorization-server/realms/Acme%20Inc",
                "http://127.0.0.1:8080/.well-known/openid-configuration/realms/Acme%20Inc",
                "http://127.0.0.1:8080/realms/Acme%20Inc/.well-known/openid-configuration",
            ),
            id="with a port, and a path that is encoded",
        ),
        pytest.param(
            "https://[2001:db8::1]:8443",
            (
                "https://[2001:db8::1]:8443/.well-known/oauth-authorization-server",
                "https://[2001:db8::1]:8443/.well-known/openid-configuration",
            ),
            id="at an address of IPv6",
        ),
    ],
)
def test_metadata_is_looked_for_where_the_specifications_put_it(issuer: str, urls: tuple[str, ...]) -> None:
    assert metadata_urls(issuer) == urls


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("", id="nothing"),
        pytest.param("login.example.com", id="a hostname"),
        pytest.param("ftp://login.example.com", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://login.example.com:99999", id="a port that is none"),
        pytest.param("https://login.example.com/?tenant=1", id="a query"),
        pytest.param("https://login.example.com/#x", id="a fragment"),
        pytest.param("https://user@login.example.com", id="a user"),
        pytest.param("https://login.example.com/a b", id="a space"),
        pytest.param("https://login.example.com/\n", id="a line end"),
    ],
)
def test_an_issuer_that_is_no_url_is_a_mistake(issuer: str) -> None:
    with pytest.raises(ValueError, match=r"^issuer '.*' (is not a URL|has a query)"):
        Web(issuer=issuer)


def test_values_that_would_expire_before_they_are_fetched_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_stale is less than max_age"):
        Web(max_age=60, max_stale=59)


def test_it_says_whose_metadata_it_is() -> None:
    assert str(Web().discovery) == f"the metadata of {TENANT}"


@pytest.mark.parametrize(
    ("place", "asked"),
    [
        pytest.param(OAUTH, [OAUTH], id="the one of RFC 8414"),
        pytest.param(OPENID, [OAUTH, OPENID], id="the one of OpenID with the path behind it"),
        pytest.param(APPENDED, [OAUTH, OPENID, APPENDED], id="the one of OpenID with the path before it"),
    ],
)
@pytest.mark.anyio
async def test_the_metadata_is_found_at_each_of_the_places_in_their_order(
    place: str, asked: list[str]
) -> None:
    web = Web({place: metadata()})

    assert await web.find() == JWKS
    assert web.asked == asked


@pytest.mark.anyio
async def test_the_first_document_decides_and_the_later_ones_are_not_asked_for() -> None:
    web = Web(
        {
            OAUTH: metadata(jwks_uri=f"{JWKS}/first"),
            OPENID: metadata(jwks_uri=f"{JWKS}/second"),
            APPENDED: metadata(jwks_uri=f"{JWKS}/third"),
        }
    )

    assert await web.find() == f"{JWKS}/first"
    assert web.asked == [OAUTH]


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(page(b"", 404), id="404"),
        pytest.param(page(b"", 204), id="204"),
        pytest.param(page(metadata(jwks_uri=f"{JWKS}/other").body, 203), id="203 with metadata"),
        pytest.param(page(b"", 302), id="a redirect, which is not followed"),
        pytest.param(page(b"", 401), id="401"),
        pytest.param(page(metadata(jwks_uri=f"{JWKS}/other").body, 403), id="403 with metadata"),
        pytest.param(page(b"<html>", 200, "text/html"), id="a page for every path"),
        pytest.param(page(b""), id="an empty body"),
        pytest.param(page(b"[]"), id="a list"),
        pytest.param(page(b"null"), id="null"),
        pytest.param(page(b'"' + TENANT.encode() + b'"'), id="a text"),
        pytest.param(page(b'{"issuer":'), id="half an object"),
        pytest.param(page(b"\xff\xfe{\x00}\x00"), id="another encoding"),
        pytest.param(page(b"\xef\xbb\xbf" + metadata().body), id="a byte order mark"),
        pytest.param(
            page(b'{"issuer":"https://evil.example","issuer":"' + TENANT.encode() + b'"}'),
            id="an object with a member twice",
        ),
        pytest.param(page(b'{"a":' * 200 + b"1" + b"}" * 200), id="an object without end"),
        pytest.param(page(b"{}"), id="an empty object"),
        pytest.param(page(b'{"error":"not_found"}'), id="an error with status 200"),
        pytest.param(metadata(None, jwks_uri=f"{JWKS}/other"), id="an object that names no issuer"),
        pytest.param(page(b'{"Issuer":"https://evil.example"}'), id="an object with another member"),
    ],
)
@pytest.mark.anyio
async def test_where_there_is_no_document_the_next_place_is_looked_at(nothing: Fetched) -> None:
    web = Web({OAUTH: nothing, OPENID: metadata()})

    assert await web.find() == JWKS
    assert web.asked == [OAUTH, OPENID]


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        pytest.param(page(b"", 500), f"status 500 at {OAUTH}", id="an error of the server"),
        pytest.param(page(metadata().body, 503), f"status 503 at {OAUTH}", id="503 with metadata"),
        pytest.param(OSError("connection refused"), "connection refused", id="a server that is down"),
        pytest.param(TimeoutError(), "TimeoutError", id="a server that is slow"),
    ],
)
@pytest.mark.promise("refused-or-broken")
@pytest.mark.anyio
async def test_trouble_at_one_place_ends_the_search(
    trouble: Page, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = Web({OAUTH: trouble, OPENID: metadata(), APPENDED: metadata()})

    assert await web.reason() == f"no metadata of {TENANT}"
    assert web.asked == [OAUTH]
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.ERROR, f"metadata of {TENANT}: {sentence}")
    ]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_an_object_that_names_no_issuer_is_used_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    web = Web(dict.fromkeys([OAUTH, OPENID, APPENDED], metadata(None)))

    assert await web.reason() == f"no metadata of {TENANT}"
    assert web.asked == [OAUTH, OPENID, APPENDED]
    assert [each.getMessage() for each in caplog.records] == [
        f"metadata of {TENANT}: none at {OAUTH}, {OPENID}, {APPENDED}"
    ]


@pytest.mark.anyio
async def test_where_there_is_nothing_at_all_the_log_names_every_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    web = Web()

    assert await web.reason() == f"no metadata of {TENANT}"
    assert [each.getMessage() for each in caplog.records] == [
        f"metadata of {TENANT}: none at {OAUTH}, {OPENID}, {APPENDED}"
    ]


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://evil.example", id="another host"),
        pytest.param(ISSUER, id="the host without the path"),
        pytest.param(f"{TENANT}/", id="a slash more"),
        pytest.param(f"{ISSUER}/Tenant", id="another case of the path"),
        pytest.param("https://LOGIN.example.com/tenant", id="another case of the host"),
        pytest.param("https://login.example.com:443/tenant", id="the default port"),
        pytest.param("http://login.example.com/tenant", id="without TLS"),
        pytest.param(f"{ISSUER}/%74enant", id="an encoding of the path"),
        pytest.param(f"{TENANT} ", id="a space more"),
        pytest.param(f"{TENANT}\u0000", id="a NUL more"),
        pytest.param("", id="nothing"),
        pytest.param(False, id="false"),
        pytest.param([TENANT], id="a list with it"),
        pytest.param({"": TENANT}, id="an object with it"),
        pytest.param(True, id="true"),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_a_document_that_names_another_issuer_is_not_used_and_ends_the_search(
    issuer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    web = Web({OAUTH: metadata(issuer), OPENID: metadata()})

    assert await web.reason() == f"no metadata of {TENANT}"
    assert web.asked == [OAUTH]
    assert [each.getMessage() for each in caplog.records] == [
        f"metadata of {TENANT}: {OAUTH} has the metadata of another issuer"
    ]


@pytest.mark.parametrize(
    ("issuer", "other"),
    [
        pytest.param(f"{TENANT}/", TENANT, id="with a slash behind it"),
        pytest.param(TENANT, f"{TENANT}/", id="without"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_with_a_slash_behind_it_is_another_at_the_same_places(
    issuer: str, other: str
) -> None:
    web = Web({OAUTH: metadata(issuer)}, issuer)
    confused = Web({OAUTH: metadata(other)}, issuer)

    assert await web.find() == JWKS
    assert await confused.reason() == f"no metadata of {issuer}"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        pytest.param(None, "is not there", id="null"),
        pytest.param(5, "is not there", id="a number"),
        pytest.param([JWKS], "is not there", id="a list"),
        pytest.param("", "is not a URL such as https://login.example.com/", id="nothing"),
        pytest.param("/jwks", "is not a URL such as https://login.example.com/", id="a path"),
        pytest.param(
            "//evil.example/jwks", "is not a URL such as https://login.example.com/", id="no scheme"
        ),
        pytest.param("file:///etc/passwd", "is not a URL such as https://login.example.com/", id="a file"),
        pytest.param(
            "https://login.example.com/\r\nX: y",
            "is not a URL such as https://login.example.com/",
            id="a line end",
        ),
        pytest.param(
            "https://a:b@login.example.com/jwks",
            "has a query, a fragment or a user, which an identifier does not have",
            id="a user",
        ),
        pytest.param(
            f"{JWKS}#x",
            "has a query, a fragment or a user, which an identifier does not have",
            id="a fragment",
        ),
        pytest.param(
            "http://login.example.com/jwks",
            "would send in the clear what the issuer protects",
            id="the same host without TLS",
        ),
    ],
)
@pytest.mark.anyio
async def test_an_endpoint_that_cannot_be_asked_is_unavailable_and_not_repeated(
    value: Any, sentence: str
) -> None:
    web = Web({OAUTH: metadata(jwks_uri=value)})

    assert await web.reason() == f"jwks_uri in the metadata of {TENANT} {sentence}"


@pytest.mark.anyio
async def test_an_endpoint_that_the_metadata_does_not_have_is_unavailable() -> None:
    web = Web({OAUTH: metadata()})

    assert await web.reason("introspection_endpoint") == (
        f"introspection_endpoint in the metadata of {TENANT} is not there"
    )
    assert await web.find() == JWKS
    assert web.asked == [OAUTH]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://keys.example.net/tenant", id="on another host"),
        pytest.param(f"{JWKS}?tenant=1", id="with a query"),
        pytest.param("https://login.example.com:8443/jwks", id="on another port"),
    ],
)
@pytest.mark.anyio
async def test_an_issuer_may_have_its_endpoints_where_it_likes(url: str) -> None:
    assert await Web({OAUTH: metadata(jwks_uri=url)}).find() == url


@pytest.mark.anyio
async def test_an_issuer_without_tls_may_have_endpoints_without_it() -> None:
    issuer = "http://127.0.0.1:8080"
    places = metadata_urls(issuer)
    web = Web({places[0]: metadata(issuer, jwks_uri=f"{issuer}/jwks")}, issuer)

    assert await web.find() == f"{issuer}/jwks"


@pytest.mark.anyio
async def test_the_scheme_of_an_issuer_protects_whatever_its_case() -> None:
    issuer = "HTTPS://login.example.com"
    places = metadata_urls(issuer)
    web = Web({places[0]: metadata(issuer, jwks_uri="http://login.example.com/jwks")}, issuer)

    assert await web.reason() == (
        f"jwks_uri in the metadata of {issuer} would send in the clear what the issuer protects"
    )


@pytest.mark.anyio
async def test_the_metadata_is_fetched_when_it_is_first_needed_and_then_kept() -> None:
    web = Web({OAUTH: metadata(token_endpoint=f"{TENANT}/token")})
    before = list(web.asked)

    assert await web.find() == JWKS
    assert await web.find("token_endpoint") == f"{TENANT}/token"
    assert (before, web.asked) == ([], [OAUTH])


@pytest.mark.anyio
async def test_many_who_need_it_at_once_share_one_search() -> None:
    web = Web({OPENID: metadata()})
    web.answers.clear()
    searches = [asyncio.create_task(web.find()) for _ in range(50)]
    async with asyncio.timeout(LIMIT):
        await web.was_asked.wait()
    web.answers.set()

    assert await asyncio.gather(*searches) == [JWKS] * 50
    assert web.asked == [OAUTH, OPENID]


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_an_endpoint_that_moves_is_followed() -> None:
    web = Web({OAUTH: metadata()}, max_age=60)
    await web.find()
    web.pages[OAUTH] = metadata(jwks_uri=f"{JWKS}/2")

    web.clock.now = 45
    assert await web.find() == JWKS
    web.clock.now = 60.5
    assert await web.find() == f"{JWKS}/2"
    assert web.asked == [OAUTH, OAUTH]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(OSError("connection refused"), id="down"),
        pytest.param(page(b"", 503), id="overloaded"),
        pytest.param(page(b"", 404), id="without its metadata"),
        pytest.param(page(b"<html>"), id="a page"),
        pytest.param(
            metadata("https://evil.example", jwks_uri="https://evil.example/jwks"), id="somebody else"
        ),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_what_was_found_is_used_on_while_the_issuer_is_in_trouble_and_not_for_ever(
    trouble: Page,
) -> None:
    web = Web({OAUTH: metadata()}, max_age=60, cooldown=5, max_stale=360)
    await web.find()
    web.pages[OAUTH] = trouble

    for web.clock.now in (61, 120, 360):
        assert await web.find() == JWKS
        for _ in range(10):
            await checkpoint()  # what is asked in the background comes to its end
    web.clock.now = 370
    assert await web.reason() == f"no metadata of {TENANT}"

    web.pages[OAUTH] = metadata(jwks_uri=f"{JWKS}/2")
    web.clock.now = 375.5
    assert await web.find() == f"{JWKS}/2"


@pytest.mark.anyio
async def test_an_issuer_that_has_just_failed_is_left_alone_for_a_while() -> None:
    web = Web({OAUTH: OSError("connection refused")}, cooldown=5)
    await web.reason()
    web.pages[OAUTH] = metadata()

    web.clock.now = 5
    assert await web.reason() == f"no metadata of {TENANT}"
    assert web.asked == [OAUTH]
    web.clock.now = 5.5
    assert await web.find() == JWKS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.sampled_from([TENANT, JWKS]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "issuer": st.sampled_from([TENANT, f"{TENANT}/", ISSUER]) | JSON,
        "jwks_uri": st.sampled_from([JWKS, JWKS.replace("https", "http"), "jwks", f"{JWKS}#x"]) | JSON,
    },
)


@given(
    body=st.binary() | (METADATA | JSON).map(orjson.dumps),
    status=st.sampled_from([200, 200, 201, 301, 404, 500]),
)
@example(body=metadata().body, status=200)
@example(body=metadata("https://evil.example").body, status=200)
def test_whatever_is_answered_nothing_is_found_but_what_the_issuer_says(body: bytes, status: int) -> None:
    async def found() -> str | None:
        web = Web(dict.fromkeys((OAUTH, OPENID, APPENDED), page(body, status)))
        try:
            return await web.find()
        except IssuerUnavailable:
            return None

    url = asyncio.run(found())

    if url is not None:
        said = orjson.loads(body)
        assert (status, said["issuer"], said["jwks_uri"]) == (200, TENANT, url)
        assert url.startswith("https://")


class Site:
    """An issuer over HTTP that answers these paths, and keeps which were asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.asked.append((scope["method"], scope["path"]))
        status, body = self.pages.get(scope["path"], (404, b""))
        headers = [(b"content-type", b"application/json"), (b"location", b"/elsewhere")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.mark.anyio
async def test_over_a_real_connection_metadata_is_found_and_redirects_are_not_followed() -> None:
    site = Site()
    with serve(site) as port:
        issuer = f"http://127.0.0.1:{port}/tenant"
        told = orjson.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})
        site.pages = {
            "/.well-known/oauth-authorization-server/tenant": (302, b""),
            "/elsewhere": (200, orjson.dumps({"issuer": issuer, "jwks_uri": "http://evil.example/"})),
            "/tenant/.well-known/openid-configuration": (200, told),
        }
        async with asyncio.timeout(LIMIT):
            url = await Discovery(issuer, fetch).find("jwks_uri")

    assert url == f"{issuer}/jwks"
    assert site.asked == [
        ("GET", "/.well-known/oauth-authorization-server/tenant"),
        ("GET", "/.well-known/openid-configuration/tenant"),
        ("GET", "/tenant/.well-known/openid-configuration"),
    ]
