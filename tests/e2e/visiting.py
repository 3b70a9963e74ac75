"""A person with a browser without a window: follows redirects, and posts the forms of pages as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2


@dataclass
class Form:
    """A form of a page: where it is posted to, and what a browser would post."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self._is_main = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._is_main |= tag == "main"
        if tag == "form":
            self.forms.append(Form(attributes.get("action", "")))
        elif tag == "input" and self.forms:
            is_choice = attributes.get("type") in ("radio", "checkbox")
            if not is_choice or "checked" in attributes:
                self.forms[-1].fields.append((attributes["name"], attributes.get("value", "")))

    def handle_data(self, data: str) -> None:
        self.words += data.split() if self._is_main else []


@dataclass(frozen=True)
class Page:
    """What a browser shows after all redirects; ``text`` is that of the main part."""

    url: str
    status: int
    forms: list[Form]
    text: str

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action == action)


class Visitor:
    """Goes from page to page over `http`, which keeps the cookies of each host."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def open(self, url: str) -> Page:
        return _shown(await self._http.get(url, follow_redirects=True))

    async def submit(self, page: Page, action: str, choices: Mapping[str, str] | None = None) -> Page:
        """Post a form of `page`, with what the person chooses in it."""
        chosen = dict(choices or {})
        kept = [(name, value) for name, value in page.form(action).fields if name not in chosen]
        parts = urlsplit(page.url)
        headers = {"origin": f"{parts.scheme}://{parts.netloc}", "sec-fetch-site": "same-origin"}
        data: dict[str, list[str]] = {}
        for name, value in [*kept, *chosen.items()]:
            data.setdefault(name, []).append(value)
        url = urljoin(page.url, action)
        return _shown(await self._http.post(url, data=data, headers=headers, follow_redirects=True))


def _shown(response: httpx2.Response) -> Page:
    reader = _Reader(response.text)
    return Page(str(response.url), response.status_code, reader.forms, " ".join(reader.words))
