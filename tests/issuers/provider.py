"""oidc-provider, a certified OpenID provider on Node, as a program that a test starts and talks to."""

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import httpx2
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey, RSAKey

from tests.support import npm
from tests.support.processes import environment

HERE = Path(__file__).parent
STATE = HERE.parents[1] / ".state" / "issuers"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CALLBACK = "http://127.0.0.1:9/callback"  # nobody listens there: a test reads where it is sent
READY = "READY "
_LIMIT = 30  # seconds that the program may take for anything

Format = Literal["jwt", "opaque"]


@dataclass(frozen=True)
class Resource:
    """What the provider makes tokens for."""

    scope: str
    format: Format = "jwt"
    algorithm: str = "ES256"

    def told(self) -> dict[str, str]:
        return {"scope": self.scope, "format": self.format, "algorithm": self.algorithm}


@dataclass(frozen=True)
class Client:
    """A client of the provider; one without grants is a resource server, which may introspect."""

    name: str
    grants: Sequence[str] = ()
    authentication: str = "client_secret_basic"

    @property
    def secret(self) -> str:
        return f"the secret of {self.name}: 100 % for tests & nothing else"

    def told(self) -> dict[str, Any]:
        signs_in = "authorization_code" in self.grants
        secret = {} if self.authentication == "none" else {"client_secret": self.secret}
        return {
            "client_id": self.name,
            **secret,
            "token_endpoint_auth_method": self.authentication,
            "application_type": "native" if signs_in else "web",
            "grant_types": list(self.grants),
            "response_types": ["code"] if signs_in else [],
            "redirect_uris": [CALLBACK] if signs_in else [],
        }


AGENT = Client("agent", ["client_credentials"])
PERSON = Client("person", ["authorization_code", "refresh_token"], "none")
GATE = Client("gate")
GATE_POST = Client("gate-post", authentication="client_secret_post")
CALLER = Client("caller", ["client_credentials", TOKEN_EXCHANGE])
CLIENTS = (AGENT, PERSON, GATE, GATE_POST, CALLER)


def signing_key(algorithm: str, key_id: str) -> Key:
    """Return a new private key for an algorithm; for EdDSA it names none, since that one has two names."""
    named: KeyParameters = {"kid": key_id, "use": "sig"}
    if algorithm in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", named)
    named["alg"] = algorithm
    if algorithm.startswith("ES"):
        return ECKey.generate_key("P-256", named)
    return RSAKey.generate_key(2048, named)


class Provider:
    """A provider that runs, at ``url``, which is its issuer identifier as well."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.url = ""
        self._process = process
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, **told: Any) -> None:
        """Change what the provider is; returns when that holds."""
        stream = cast("Any", self._process.stdin)
        stream.write(json.dumps(told) + "\n")
        stream.flush()
        while True:
            line = self._lines.get(timeout=_LIMIT)
            if line is None:
                raise RuntimeError(f"the provider has ended: {''.join(self._said)}")
            if line.startswith(READY):
                self.url = line.removeprefix(READY).strip()
                return

    def use_keys(self, *keys: Key) -> None:
        """Publish these keys; the first of a kind signs."""
        self.tell(jwks=private_set(keys))

    def serve(self, resources: Mapping[str, Resource]) -> None:
        """Make tokens for these resources, by their URLs, and for no others."""
        self.tell(resources={url: resource.told() for url, resource in resources.items()})

    def stop(self) -> None:
        """End the program; nobody listens at its port afterwards."""
        cast("Any", self._process.stdin).close()
        try:
            self._process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._reader.join(_LIMIT)

    async def grant(
        self, resource: str, *, scope: str = "docs:read", headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Ask for a token for the client ``agent`` itself, and return the answer."""
        form = {"grant_type": "client_credentials", "scope": scope, "resource": resource}
        return await self._post("/token", form, headers)

    async def token(
        self, resource: str, *, scope: str = "docs:read", headers: Mapping[str, str] | None = None
    ) -> str:
        """Return a token for ``resource``, which the client ``agent`` has for itself."""
        answer = await self.grant(resource, scope=scope, headers=headers)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def revoke(self, token: str) -> None:
        """Take a token back."""
        answer = await self._post("/token/revocation", {"token": token})
        assert answer.status_code == 200, answer.text

    async def _post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        # Encoded as RFC 6749 section 2.3.1 says.
        credentials = httpx2.BasicAuth(_encoded(AGENT.name), _encoded(AGENT.secret))
        async with httpx2.AsyncClient(trust_env=False, timeout=_LIMIT) as http:
            return await http.post(self.url + path, data=dict(form), auth=credentials, headers=headers)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._said.append(line)
            self._lines.put(line)
        self._lines.put(None)


def private_set(keys: Sequence[Key]) -> dict[str, Any]:
    """Return a JWK set with the private keys that an issuer signs with."""
    return {"keys": [key.as_dict(private=True) for key in keys]}


@contextmanager
def provider(*keys: Key, port: int = 0, path: str = "") -> Generator[Provider]:
    """Run a provider with these keys, or with one for ES256, while the block runs.

    ``path`` is the part of its name after the port, such as that of one tenant of many.
    """
    command = [str(npm.NODE), str(program("provider.mjs"))]
    with subprocess.Popen(
        command,
        env=environment(STATE),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        running = Provider(process)
        try:
            running.tell(
                port=port,
                path=path,
                jwks=private_set(keys or [signing_key("ES256", "first")]),
                clients=[client.told() for client in CLIENTS],
            )
            yield running
        finally:
            running.stop()


def program(name: str) -> Path:
    """Return a program of ours, beside the packages that it imports, which are installed first."""
    folder = npm.install(HERE, STATE).parent
    return Path(shutil.copy(HERE / "programs" / name, folder))


def _encoded(text: str) -> str:
    return str(httpx2.QueryParams({"": text})).removeprefix("=")
