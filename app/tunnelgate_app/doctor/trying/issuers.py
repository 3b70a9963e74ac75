"""Asks issuers for their metadata and keys as the gate does, and looks at their clocks."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from tunnelgate import Issuer, Policy
from tunnelgate.discovery import Discovery, metadata_urls
from tunnelgate.errors import Unavailable
from tunnelgate.fetching import Fetch, Fetched, read_object
from tunnelgate.keys import RemoteKeys
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.opening import issuer_rules, open_fetch
from tunnelgate.upstream.pool import Pool, Target
from tunnelgate.upstream.resolving import Resolve
from tunnelgate.upstream.tls import system_tls
from tunnelgate_app.asking.transport import UpstreamTransport
from tunnelgate_app.doctor.answers import NoAnswerError
from tunnelgate_app.doctor.judging.oauth import AskedIssuer, host_of
from tunnelgate_app.doctor.targets import Target as Named
from tunnelgate_app.doctor.trying.http import ask
from tunnelgate_app.doctor.trying.sockets import LookupFailedError, look_up

_OK = 200
_HTTPS = 443


class RecordingFetch:
    """Fetches with ``fetch``, and remembers what was answered where."""

    def __init__(self, fetch: Fetch) -> None:
        self.answers: dict[str, Fetched] = {}
        self.asked: list[str] = []
        self._fetch = fetch

    async def __call__(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Return what is answered at ``url``; raises :class:`OSError`."""
        try:
            fetched = await self._fetch(url, form=form, headers=headers)
        except OSError as error:
            self.asked.append(f"{url}: {error}")
            raise
        self.answers[url] = fetched
        self.asked.append(f"{url}: {fetched.status}")
        return fetched


class IssuerTrial:
    """Asks the issuers of ``policy``; ``clock`` returns seconds since 1970."""

    def __init__(
        self, policy: Policy, *, resolve: Resolve, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._seconds = seconds
        self._clock = clock

    async def ask(self, issuer: Issuer) -> AskedIssuer:
        """Return what came of asking ``issuer``; one whose keys are in a file is not asked."""
        if issuer.jwks_file is not None:
            return AskedIssuer()
        recording = RecordingFetch(open_fetch(self._policy, resolve=self._resolve))
        failure = await self._failure(issuer, recording)
        metadata = next(
            filter(None, (_metadata(recording, url) for url in metadata_urls(issuer.issuer))), None
        )
        answered = next(iter(recording.answers), None)
        skew = None if answered is None else await self._skew(answered)
        urls = [issuer.issuer, (metadata or {}).get("token_endpoint")]
        addresses = {host_of(url): await self._addresses(host_of(url)) for url in urls if host_of(url)}
        return AskedIssuer(failure, tuple(recording.asked), metadata, skew, addresses)

    async def _failure(self, issuer: Issuer, fetch: Fetch) -> str:
        discovery = Discovery(issuer.issuer, fetch)
        try:
            if "jwt" in issuer.token_formats:
                await RemoteKeys(issuer.jwks_uri or discovery, fetch).find("")
            if issuer.introspection is not None and issuer.introspection.endpoint is None:
                await discovery.find("introspection_endpoint")
        except Unavailable as error:
            return str(error)
        return ""

    async def _skew(self, url: str) -> float | None:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        pool = Pool(
            Dialler(issuer_rules(self._policy), resolve=self._resolve),
            Target.from_url(origin, system_tls()),
            connect_timeout=self._seconds,
        )
        async with httpx2.AsyncClient(transport=UpstreamTransport(pool), trust_env=False) as client:
            began = self._clock()
            try:
                answer = await ask(client, "GET", url, self._seconds)
            except NoAnswerError:
                return None
            now = (began + self._clock()) / 2
        try:
            said = parsedate_to_datetime(answer.headers.get("date", ""))
        except (ValueError, OverflowError):  # the latter for a year of twenty digits
            return None
        # A date of HTTP has whole seconds: half of one is what is lost on average.
        return said.replace(tzinfo=said.tzinfo or UTC).timestamp() + 0.5 - now

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            return await look_up(Named(host, _HTTPS), self._resolve, self._seconds)
        except LookupFailedError:
            return ()


def _metadata(recording: RecordingFetch, url: str) -> Mapping[str, object] | None:
    fetched = recording.answers.get(url)
    if fetched is None or fetched.status != _OK:
        return None
    try:
        return read_object(fetched.body)
    except ValueError:
        return None
