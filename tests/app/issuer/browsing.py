"""A browser without a window: keeps cookies, reads the issuer's page, and posts its form as it stands."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.asgi import Reply, call, http_scope
from tunnelgate.asgi import ASGIApp

URL_ENCODED = "application/x-www-form-urlencoded"

Send = Callable[[str, str, list[tuple[str, str]], bytes], Awaitable[Reply]]


def sender(app: ASGIApp) -> Send:
    """Return how requests are sent to an application in this process."""

    async def send(method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply:
        parts = urlsplit(url)
        scope = http_scope(method, parts.path, [("host", parts.netloc), *headers])
        return await call(app, {**scope, "query_string": parts.query.encode()}, body)

    return send


async def post(
    send: Send, url: str, form: Mapping[str, str], headers: Sequence[tuple[str, str]] = ()
) -> Reply:
    """Post a form as a client does."""
    return await send("POST", url, [("content-type", URL_ENCODED), *headers], urlencode(form).encode())


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[dict[str, str]] = []
        self.action: str | None = None
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes.get("action")
        if tag in ("input", "button"):
            self.inputs.append({"tag": tag, **attributes})

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True)
class Page:
    """A page that was shown, with its form."""

    url: str
    reply: Reply
    action: str | None
    inputs: list[dict[str, str]]
    text: str

    def of(self, name: str) -> list[dict[str, str]]:
        return [each for each in self.inputs if each.get("name") == name]

    def ticked(self, name: str) -> list[str]:
        return [each["value"] for each in self.of(name) if "checked" in each]


@dataclass
class Browser:
    """What a user does with the pages of an issuer. ``seen`` is where the browser was sent last."""

    send: Send
    cookies: dict[str, str] = field(default_factory=dict[str, str])

    async def open(self, url: str) -> Page:
        return self._page(url, await self.send("GET", url, self._cookie(), b""))

    async def submit(
        self,
        page: Page,
        *,
        decision: str = "approve",
        user: str | None = None,
        other: str | None = None,
        scopes: Sequence[str] | None = None,
        origin: str | None = "",
    ) -> Page:
        """Post the form of ``page`` as it stands, but for what is given here."""
        parts = urlsplit(page.url)
        fields = [("request", each["value"]) for each in page.of("request")]
        fields += [("user", each) for each in ([user] if user else page.ticked("user"))]
        fields += [("other", other if other is not None else page.of("other")[0]["value"])]
        fields += [("scope", each) for each in (page.ticked("scope") if scopes is None else scopes)]
        fields += [("decision", decision)]
        assert page.action == "authorize"
        url = f"{parts.scheme}://{parts.netloc}/{page.action}"
        headers = [("content-type", URL_ENCODED), *self._cookie()]
        if origin is not None:
            headers += [("origin", origin or f"{parts.scheme}://{parts.netloc}")]
        return self._page(url, await self.send("POST", url, headers, urlencode(fields).encode()))

    def _cookie(self) -> list[tuple[str, str]]:
        if not self.cookies:
            return []
        return [("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))]

    def _page(self, url: str, reply: Reply) -> Page:
        cookie = reply.header("set-cookie")
        if cookie is not None:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        form = _Form()
        form.feed(reply.body.decode())
        return Page(url, reply, form.action, form.inputs, form.text)


def sent_to(reply: Reply) -> tuple[str, dict[str, str]]:
    """Return where a redirect leads, without its query, and the query."""
    assert reply.status == 303, reply
    location = reply.header("location")
    assert location is not None
    uri, _, query = location.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), location
    return uri, dict(pairs)
