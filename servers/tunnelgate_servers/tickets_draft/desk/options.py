"""The options of `create_desk`, read and checked before anything runs."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from tunnelgate import ClientSecret
from tunnelgate.identifiers import check_scope, check_url
from tunnelgate.upstream.resolving import is_localhost
from tunnelgate_servers.hosting import OptionsError

MIN_KEY: Final = 32
"""The length of the shortest key of sessions, in octets."""

_LOOPBACK = ("127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Site:
    """Where people find the desk: its URL without a path, and its origin as browsers write it."""

    url: str
    origin: str

    @property
    def is_secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.origin.startswith("https:")

    @property
    def host(self) -> str:
        """What a request for it has as Host."""
        return self.origin.partition("//")[2]


def read_site(public_url: object) -> Site:
    """Return where the desk is; raises `OptionsError`."""
    url = read_url_option("public_url", public_url).removesuffix("/")
    parts = urlsplit(url)
    if parts.path:
        raise OptionsError(f"The option public_url is {public_url!r}; the desk needs a hostname of its own.")
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_localhost(host) and host not in _LOOPBACK:
        raise OptionsError(
            f"The option public_url is {public_url!r}; a page on which people sign in needs https, except on "
            "a name of this machine such as desk.localhost."
        )
    return Site(url, f"{parts.scheme}://{parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}")


def read_url_option(name: str, value: object, *, with_query: bool = False) -> str:
    """Return the URL that an option holds; raises `OptionsError`."""
    if not isinstance(value, str):
        raise OptionsError(f"The option {name} needs a URL, not {value!r}.")
    try:
        check_url(value, with_query=with_query)
    except ValueError as error:
        raise OptionsError(f"The option {name} is {value!r}, which {error}.") from None
    return value


def read_client(client_id: object, client_secret: object) -> ClientSecret:
    """Return as whom the desk asks the issuer; raises `OptionsError`, which does not repeat the secret."""
    for name, value in (("client_id", client_id), ("client_secret", client_secret)):
        if not isinstance(value, str) or not value:
            raise OptionsError(f"The option {name} needs a text, which is the issuer's for this client.")
    try:
        return ClientSecret(str(client_id), str(client_secret))
    except ValueError as error:
        raise OptionsError(f"The options of the client cannot be used: {error}.") from None


def read_scopes(scopes: object) -> tuple[str, ...]:
    """Return the scopes that a person needs; raises `OptionsError`."""
    if not _is_list(scopes):
        raise OptionsError("The option scopes needs a list of scopes.")
    for scope in scopes:
        try:
            check_scope(scope)
        except (TypeError, ValueError):
            raise OptionsError(f"The option scopes has {scope!r}, which is not one scope.") from None
    return tuple(scopes)


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


@dataclass(frozen=True, slots=True)
class Keys:
    """Two keys of one origin, so that nothing that one has signed is good for the other."""

    sessions: str
    forms: bytes


def read_keys(session_key_file: object) -> Keys:
    """Return the keys in a file, a line end behind it apart, or keys that nobody else has.

    Raises `OptionsError` for a file that cannot be read and for a short key.
    """
    if session_key_file is None:
        return _keys_from(secrets.token_bytes(MIN_KEY))
    if not isinstance(session_key_file, str | Path):
        raise OptionsError(f"The option session_key_file needs the name of a file, not {session_key_file!r}.")
    try:
        key = Path(session_key_file).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise OptionsError(f"The file of session_key_file cannot be read: {error.strerror}.") from error
    if len(key) < MIN_KEY:
        raise OptionsError(f"The file of session_key_file holds fewer than {MIN_KEY} octets.")
    return _keys_from(key)


def _keys_from(key: bytes) -> Keys:
    return Keys(
        hmac.new(key, b"tunnelgate desk sessions 1", "sha256").hexdigest(),
        hmac.new(key, b"tunnelgate desk forms 1", "sha256").digest(),
    )
