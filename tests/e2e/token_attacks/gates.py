"""The gates that the attacks are sent to, each with an issuer of its own where one is needed."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.token_attacks.minting import ISSUER, NOW, SCOPE, jwk_set
from tests.support.audit import Records
from tests.support.fetching import fetch_within
from tests.support.raw import (
    HOST,
    LEGACY_HEADERS,
    SAFE,
    Canned,
    McpApp,
    Outcome,
    Pairs,
    Parser,
    RawGate,
    Settling,
    as_json,
    call_of,
    request_of,
)
from tests.support.servers import serve
from tests.support.tokens import Clock
from tunnelgate import Issuer, KeySource, Policy, protect
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.keys import RemoteKeys
from tunnelgate.reading.strict_json import is_array, is_object

SITE = "{site}"  # stands for the URL of the issuer's own server
SECRET = "{secret}"  # stands for the file with the gate's secret at the issuer
SEALING_KEY = "{sealing key}"  # stands for the file with a key that gates share
PATIENCE = 1.5  # seconds that the gate waits for an issuer
CLIENT_SECRET = "correct horse battery staple"
KEYS = jwk_set("r1", "e1", "d1")


@dataclass(frozen=True)
class Setting:
    """A gate's configuration, in so far as it is not the ordinary one, and what its issuer publishes.

    ``published`` are the documents of the issuer's own server by their paths; without any the
    issuer is one whose keys are in a file. ``keys_age`` lets its keys grow old by the gate's clock.
    """

    name: str
    issuer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    more_issuers: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    route: Mapping[str, Any] = field(default_factory=dict[str, Any])
    gate: Mapping[str, Any] = field(default_factory=dict[str, Any])
    published: Mapping[str, Canned | None] = field(default_factory=dict[str, Canned | None])
    keys_age: bool = False


PLAIN = Setting("an issuer with its keys in a file")


@dataclass(frozen=True)
class Asked:
    """What a server was asked: the path, the form and who asks."""

    path: str
    body: bytes
    authorization: str


class Publisher:
    """A server that answers each path as it was told, and keeps what it was asked.

    A path without an answer is not found, and one with ``None`` is never answered.
    """

    def __init__(self, documents: Mapping[str, Canned | None], site: str = "") -> None:
        self.documents = dict(documents)
        self.asked: list[Asked] = []
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        body = bytearray()
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        self.asked.append(Asked(scope["path"], bytes(body), authorization))
        answer = self.documents.get(scope["path"], Canned([], [b"nothing here"], status=404))
        if answer is None:
            while (await receive())["type"] != "http.disconnect":
                pass
            return None
        site = self.site.encode()
        headers = [(name, value.replace(SITE.encode(), site)) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for piece in answer.body:
            whole = piece.replace(SITE.encode(), site)
            await send({"type": "http.response.body", "body": whole, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})


class Switch:
    """An application that is now one and now another, so that they can share a server."""

    def __init__(self) -> None:
        self.current: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        assert self.current is not None
        return await self.current(scope, receive, send)


@dataclass(frozen=True)
class Stand:
    """A gate, its issuer's server, and a server that nobody may be asked for anything."""

    gate: RawGate
    clock: Clock
    publisher: Publisher
    site: str
    elsewhere: Publisher
    elsewhere_url: str
    stands: "Stands" = field(repr=False)
    serving: tuple[ASGIApp, ASGIApp] = field(repr=False)

    def send(
        self, headers: Pairs, *, path: str = "/mcp", body: bytes | None = None, piece: int = 2**20
    ) -> Outcome:
        """Send a good call with these headers besides or in place of the usual ones."""
        self.stands.serve(self)
        named = {name for name, _ in headers}
        usual = [pair for pair in LEGACY_HEADERS if pair[0] not in named]
        request = request_of(call_of() if body is None else body, [*usual, *headers], path=path)
        pieces = [request[start : start + piece] for start in range(0, len(request), piece)]
        return self.gate.send(pieces)


class Stands:
    """Gates by their settings, made when they are first needed, all behind one server of one parser."""

    def __init__(self, parser: Parser, folder: Path, stack: ExitStack) -> None:
        self.parser: Parser = parser
        self._folder = folder
        self._made: dict[str, Stand] = {}
        self._gate, self._publisher, self._elsewhere = Switch(), Switch(), Publisher({})
        self._settling = Settling(self._gate)
        self._fetch = fetch_within(PATIENCE)
        self._port = stack.enter_context(serve(self._settling, parser))
        self._site = f"http://127.0.0.1:{stack.enter_context(serve(self._publisher))}"
        self._elsewhere_url = f"http://127.0.0.1:{stack.enter_context(serve(self._elsewhere))}"

    def get(self, setting: Setting) -> Stand:
        """Return the gate of a setting."""
        if setting.name not in self._made:
            self._made[setting.name] = self._make(setting)
        return self._made[setting.name]

    def serve(self, stand: Stand) -> None:
        """Let the servers be those of ``stand`` from now on."""
        self._gate.current, self._publisher.current = stand.serving

    def _make(self, setting: Setting) -> Stand:
        publisher = Publisher(setting.published, self._site)
        clock, app, records = Clock(NOW), McpApp(), Records()
        policy = Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.0/8"]},
                "oauth": {"issuers": self._issuers(setting)},
                "routes": {HOST: {"tools": [SAFE], "scopes": [SCOPE], **setting.route}},
                **_placed(dict(setting.gate), {SEALING_KEY: self._file("sealing.key", b"k" * 32)}),
            }
        )

        def keys_of(issuer: Issuer) -> KeySource:
            return RemoteKeys(str(issuer.jwks_uri), self._fetch, clock=clock)

        gate = protect(
            app,
            policy,
            audit=records,
            fetch=self._fetch,
            keys_of=keys_of if setting.keys_age else None,
            clock=clock,
        )
        return Stand(
            RawGate(self._port, self.parser, app, records, self._settling, tokens={}),
            clock,
            publisher,
            self._site,
            self._elsewhere,
            self._elsewhere_url,
            self,
            (gate, publisher),
        )

    def _issuers(self, setting: Setting) -> list[dict[str, Any]]:
        issuers = [
            {"issuer": name, "jwks_file": self._file(f"{setting.name} {position}.json", keys)}
            for position, (name, keys) in enumerate(setting.more_issuers.items())
        ]
        secret = self._file("client secret", CLIENT_SECRET.encode())
        own = _placed({"issuer": ISSUER, **setting.issuer}, {SITE: self._site, SECRET: secret})
        is_remote = "jwks_uri" in own or SITE in setting.issuer.get("issuer", "")
        if not is_remote and "jwt" in own.get("token_formats", ["jwt"]):
            own["jwks_file"] = self._file(f"{setting.name}.json", KEYS)
        return [own, *issuers]

    def _file(self, name: str, content: bytes) -> str:
        file = self._folder / name
        file.write_bytes(content)
        return str(file)


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """Return a part of a configuration with what its placeholders stand for."""
    if is_object(value):
        return {name: _placed(each, places) for name, each in value.items()}
    if is_array(value):
        return [_placed(each, places) for each in value]
    if isinstance(value, str):
        for placeholder, text in places.items():
            value = value.replace(placeholder, text)
    return value


def issuer_with_keys(name: str, document: bytes | Canned | None, **more: Any) -> Setting:
    """Return a setting whose issuer publishes these keys over HTTP."""
    answer = as_json(document) if isinstance(document, bytes) else document
    return Setting(name, {"jwks_uri": f"{SITE}/jwks"}, published={"/jwks": answer}, **more)
