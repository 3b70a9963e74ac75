"""Client ID Metadata Documents: clients whose ``client_id`` is the URL of what they say about themselves.

Specification: draft-ietf-oauth-client-id-metadata-document,
https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization/client-registration
"""

from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import ValidationError

from tunnelgate.fetching import Fetch, Fetched
from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_object, read_json
from tunnelgate_app.issuer.client_metadata import ClientMetadata
from tunnelgate_app.issuer.redirects import is_loopback_host
from tunnelgate_app.issuer.stores import Clock, Store

MAX_DOCUMENTS = 100
MAX_FETCHES = 8  # at a time
MAX_DOCUMENT = 32 * 1024  # octets
DOCUMENT_LIFETIME = 60  # seconds; who develops a client changes its document often
_MAX_URL = 500
_SECRETS = frozenset({"client_secret", "client_secret_expires_at"})


class DocumentError(Exception):
    """A client's document cannot be used; the text says why, and is fit to be shown."""


class ClientDocuments:
    """Fetches the documents of clients, and keeps each for a minute."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._asked = 0
        self._documents: Store[ClientMetadata] = Store(
            limit=MAX_DOCUMENTS, lifetime=DOCUMENT_LIFETIME, clock=clock
        )

    @staticmethod
    def is_document_url(client_id: str) -> bool:
        """Return whether a ``client_id`` is the URL of a document.

        Such a URL is https, or http on this machine, and has a path, but no dot segments, no
        fragment and nobody's name.
        """
        if not client_id.isascii() or len(client_id) > _MAX_URL or not client_id.isprintable():
            return False
        try:
            url = urlsplit(client_id)
            host = url.hostname or ""
            url.port  # noqa: B018 - it raises for what is no port
        except ValueError:
            return False
        return (
            (url.scheme == "https" or (url.scheme == "http" and is_loopback_host(host)))
            and host != ""
            and "@" not in url.netloc
            and len(url.path) > 1
            and not {".", ".."} & set(url.path.split("/"))
            and not set("#\\ ") & set(client_id)
        )

    async def load(self, url: str) -> None:
        """Fetch the document at ``url`` unless it is at hand; raises :class:`DocumentError`."""
        if self._documents.get(url) is not None:
            return
        if self._asked >= MAX_FETCHES:  # anybody may name any URL here
            raise DocumentError(f"{url} cannot be fetched now: too many others are")
        self._asked += 1
        try:
            fetched = await self._fetch(url)
        except OSError as error:
            raise DocumentError(f"{url} cannot be fetched: {error}") from None
        finally:
            self._asked -= 1
        self._documents.put(url, _read(url, fetched))

    def find(self, url: str) -> ClientMetadata | None:
        """Return the document from ``url`` while it is at hand."""
        return self._documents.get(url)


def _read(url: str, fetched: Fetched) -> ClientMetadata:
    if fetched.status != HTTPStatus.OK:
        raise DocumentError(f"{url} answers with the status {fetched.status}")
    if fetched.media_type != "application/json" and not fetched.media_type.endswith("+json"):
        raise DocumentError(f"{url} is not JSON by its Content-Type")
    if len(fetched.body) > MAX_DOCUMENT:
        raise DocumentError(f"{url} has more than {MAX_DOCUMENT} octets")
    try:
        document, _ = read_json(fetched.body)
    except Fault as fault:
        raise DocumentError(f"{url} is not JSON: {fault.detail}") from None
    if not is_object(document) or document.get("client_id") != url:
        raise DocumentError(f"{url} does not say that its client_id is this very URL")
    if _SECRETS & set(document) or document.get("token_endpoint_auth_method", "none") != "none":
        raise DocumentError(f"{url} is public, so its client has no secret and no method but none")
    try:
        return ClientMetadata.model_validate({**document, "token_endpoint_auth_method": "none"})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"{url} cannot be used: {place}: {first['msg']}") from None
