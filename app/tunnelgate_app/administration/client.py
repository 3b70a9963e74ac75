"""Asks the Tunnels API, by Anthropic's SDK: its paths and headers, its authentication, retries and errors."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import anthropic
import httpx2
from anthropic.lib.credentials import (
    AccessTokenProvider,
    IdentityTokenFile,
    WorkloadIdentityCredentials,
)

from tunnelgate_app.administration.api_url import check_api_url
from tunnelgate_app.administration.credentials import Federation, StaticToken
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.failures import Step, is_once, sentence, with_doubt
from tunnelgate_app.administration.reading import (
    read_certificate,
    read_issued_token,
    read_object,
    read_page,
    read_token,
    read_tunnel,
)
from tunnelgate_app.administration.records import Certificate, Tunnel, TunnelToken
from tunnelgate_app.administration.sdk_errors import failure_of

TIMEOUT = 60.0  # seconds
_RETRIES = 2
_PAGE = 100
_MAX_PAGES = 50

_T = TypeVar("_T")


class TunnelsClient:
    """Asks the Tunnels API for one set of credentials.

    What is not the same when done twice is never tried twice by itself: creating a tunnel, rotating a
    token, registering a CA. No redirect is followed. Every method raises :class:`AdministrationError`.
    """

    def __init__(self, credentials: StaticToken | Federation, url: str, *, timeout: float = TIMEOUT) -> None:
        check_api_url(url)
        static = credentials if isinstance(credentials, StaticToken) else None
        self._secrets = () if static is None else (static.value,)
        self._federated = static is None
        workspace_id = None if static is None else static.workspace_id  # an exchange names it by itself
        self._sdk = anthropic.Anthropic(
            auth_token=None if static is None else static.value,
            credentials=_provider(credentials) if isinstance(credentials, Federation) else None,
            base_url=url,
            timeout=timeout,
            max_retries=_RETRIES,
            default_headers={} if workspace_id is None else {"anthropic-workspace-id": workspace_id},
            http_client=_http_client(url),
        )
        self._tunnels = self._sdk.beta.tunnels.with_raw_response
        self._tunnels_once = self._sdk.with_options(max_retries=0).beta.tunnels.with_raw_response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sdk.close()

    def create(self, display_name: str | None = None) -> tuple[Tunnel, TunnelToken | None]:
        """Make a tunnel; return it, and its token where it is shown in this answer and never again."""
        with self._told(Step.CREATE):
            name = anthropic.omit if display_name is None else display_name
            document = read_object(self._tunnels_once.create(display_name=name).read())
            return read_tunnel(document), read_issued_token(document)

    def tunnel(self, tunnel_id: str) -> Tunnel:
        """Return a tunnel."""
        with self._told(Step.SHOW):
            return read_tunnel(read_object(self._tunnels.retrieve(tunnel_id).read()))

    def tunnels(self, *, archived: bool = False) -> tuple[Tunnel, ...]:
        """Return the tunnels, newest first; with those that are archived if ``archived``."""

        def page(cursor: str | None) -> bytes:
            after = anthropic.omit if cursor is None else cursor
            return self._tunnels.list(include_archived=archived, limit=_PAGE, page=after).read()

        return tuple(self._pages(Step.LIST, page, read_tunnel))

    def archive(self, tunnel_id: str) -> Tunnel:
        """Archive a tunnel, which cannot be undone; one that is archived stays as it is."""
        with self._told(Step.ARCHIVE):
            return read_tunnel(read_object(self._tunnels.archive(tunnel_id).read()))

    def reveal_token(self, tunnel_id: str) -> TunnelToken:
        """Return the token of a tunnel, which only tunnels by cloudflare still have."""
        with self._told(Step.REVEAL):
            return read_token(read_object(self._tunnels.reveal_token(tunnel_id).read()))

    def rotate_token(self, tunnel_id: str, reason: str | None = None) -> TunnelToken:
        """Return a new token of a tunnel; the old one opens no more connections."""
        with self._told(Step.ROTATE):
            why = anthropic.omit if reason is None else reason
            return read_token(read_object(self._tunnels_once.rotate_token(tunnel_id, reason=why).read()))

    def add_certificate(self, tunnel_id: str, pem: str) -> Certificate:
        """Register a CA certificate for a tunnel."""
        with self._told(Step.ADD_CA):
            answer = self._tunnels_once.certificates.create(tunnel_id, ca_certificate_pem=pem)
            return read_certificate(read_object(answer.read()))

    def certificates(self, tunnel_id: str, *, archived: bool = False) -> tuple[Certificate, ...]:
        """Return the CA certificates of a tunnel; with those that are archived if ``archived``."""

        def page(cursor: str | None) -> bytes:
            after = anthropic.omit if cursor is None else cursor
            listed = self._tunnels.certificates.list(
                tunnel_id, include_archived=archived, limit=_PAGE, page=after
            )
            return listed.read()

        return tuple(self._pages(Step.LIST_CAS, page, read_certificate))

    def archive_certificate(self, tunnel_id: str, certificate_id: str) -> Certificate:
        """Take a CA certificate out of those that the tunnel's servers are verified by."""
        with self._told(Step.ARCHIVE_CA):
            archived = self._tunnels.certificates.archive(certificate_id, tunnel_id=tunnel_id)
            return read_certificate(read_object(archived.read()))

    def _pages(
        self, step: Step, ask: Callable[[str | None], bytes], reading: Callable[[object], _T]
    ) -> Generator[_T]:
        cursor = None
        for _ in range(_MAX_PAGES):
            with self._told(step):
                data, cursor = read_page(read_object(ask(cursor)))
                read = tuple(map(reading, data))
            yield from read
            if cursor is None:
                return
        raise AdministrationError(f"{step}: the API has more than {_MAX_PAGES} pages of them")

    @contextmanager
    def _told(self, step: Step) -> Generator[None]:
        try:
            yield
        except AdministrationError as error:
            raise AdministrationError(with_doubt(step, str(error))) from None
        except KeyboardInterrupt:
            if not is_once(step):
                raise
            raise AdministrationError(with_doubt(step, "it was interrupted")) from None
        except anthropic.AnthropicError as error:
            failure = failure_of(step, error, federated=self._federated)
            # Not chained: the SDK's errors hold requests, whose headers hold the token.
            raise AdministrationError(sentence(failure, self._secrets)) from None


def _http_client(url: str) -> httpx2.Client:
    if url.lower().startswith("https:"):
        return anthropic.DefaultHttpxClient(follow_redirects=False)
    # What goes in the clear stays on this machine, and goes to no proxy of the environment.
    return anthropic.DefaultHttpxClient(
        follow_redirects=False, trust_env=False, transport=httpx2.HTTPTransport()
    )


def _provider(federation: Federation) -> AccessTokenProvider:
    file, token = federation.identity_token_file, federation.identity_token
    return WorkloadIdentityCredentials(
        identity_token_provider=IdentityTokenFile(file) if token is None else lambda: token,
        federation_rule_id=federation.rule_id,
        organization_id=federation.organization_id,
        service_account_id=federation.service_account_id,
        workspace_id=federation.workspace_id,
    )
