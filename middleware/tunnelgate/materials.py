"""What a policy names and does not hold: keys, secrets, the file of records. Gathered before anything runs.

Every one that cannot be had is a fault, and all of them are named at once. Where a policy comes in
place of another one, what has the same settings and the same files is taken from before: it knows
keys, tokens and what was sealed.
"""

import os
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from tunnelgate.audit import AuditFile, AuditSink
from tunnelgate.client_authentication import ClientSecret
from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.oauth import Credentials, IntrospectionClient, Issuer, OAuth, TokenRequest
from tunnelgate.credentials import Credential, ExchangedToken, OwnToken, StaticToken
from tunnelgate.discovery import Discovery
from tunnelgate.errors import ConfigurationError, ConfigurationFault
from tunnelgate.fetching import Fetch
from tunnelgate.fingerprints import file_fingerprint, fingerprint
from tunnelgate.introspection import Introspection
from tunnelgate.keys import KeySource, RemoteKeys, StaticKeys
from tunnelgate.policy import Policy
from tunnelgate.sealing import Sealer
from tunnelgate.token_requests import TokenEndpoint
from tunnelgate.verifier import TrustedIssuer

KeysOf = Callable[[Issuer], KeySource]
Secrets = IntrospectionClient | TokenRequest

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything that a gate needs besides its policy.

    ``issuers`` are by their identifiers; ``credentials`` by the names of their routes. ``opened`` is
    what may serve again, by what it was opened from.
    """

    issuers: Mapping[str, TrustedIssuer]
    credentials: Mapping[str, Credential]
    sealer: Sealer
    audit: AuditSink
    opened: Mapping[Hashable, Any] = field(default_factory=dict[Hashable, Any], compare=False, repr=False)


def gather(
    policy: Policy,
    *,
    fetch: Fetch | None = None,
    keys_of: KeysOf | None = None,
    sealer: Sealer | None = None,
    audit: AuditSink | None = None,
    environment: Mapping[str, str] | None = None,
    before: Materials | None = None,
) -> Materials:
    """Return what ``policy`` names.

    ``fetch`` is an HTTP client, needed where an issuer is to be asked; ``keys_of`` says where an
    issuer's keys are in place of the policy, ``sealer`` stands in for its ``sealing_keys`` and
    ``audit`` for its file. ``environment`` is the process's own unless one is given. ``before`` are
    the materials of the policy that this one takes the place of; what asks over HTTP is taken from
    there only where ``fetch`` is the same.
    Raises :class:`~tunnelgate.errors.ConfigurationError` with everything that cannot be had.
    """
    kept: Mapping[Hashable, Any] = {} if before is None else before.opened
    gathering = _Gathering(fetch, os.environ if environment is None else environment, kept)
    issuers = gathering.issuers(policy.oauth, keys_of)
    credentials: dict[str, Credential] = {}
    for name, route in policy.routes.items():
        credential = gathering.credential(path_of(("routes", name, "credentials")), route.credentials)
        if credential is not None:
            credentials[name] = credential
    sealer = sealer or gathering.sealer(policy)
    if audit is None:
        audit = gathering.audit(policy.audit.file)
    if gathering.faults or audit is None:
        gathering.close()
        raise ConfigurationError("gate", gathering.faults)
    return Materials(issuers, credentials, sealer, audit, gathering.opened)


def gather_issuers(
    oauth: OAuth,
    *,
    fetch: Fetch | None = None,
    keys_of: KeysOf | None = None,
    environment: Mapping[str, str] | None = None,
) -> Mapping[str, TrustedIssuer]:
    """Return the issuers of ``oauth`` by their identifiers, for a bearer check without the rest of a gate.

    The other parameters, and what it raises, are those of :func:`gather`.
    """
    gathering = _Gathering(fetch, os.environ if environment is None else environment, {})
    issuers = gathering.issuers(oauth, keys_of)
    if gathering.faults:
        raise ConfigurationError("oauth", gathering.faults)
    return issuers


class _Gathering:
    def __init__(
        self, fetch: Fetch | None, environment: Mapping[str, str], kept: Mapping[Hashable, Any]
    ) -> None:
        self.faults: list[ConfigurationFault] = []
        self.opened: dict[Hashable, Any] = {}
        self._fetch = fetch
        self._environment = environment
        self._kept = kept
        self._file: AuditFile | None = None

    @contextmanager
    def at(self, path: str, value: object = None) -> Generator[None]:
        """Note as a fault of ``path`` whatever goes wrong."""
        try:
            yield
        except (OSError, ValueError) as error:
            shown = "" if value is None else repr(str(value))
            sentence = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.faults.append(ConfigurationFault(path, shown, sentence))

    def one(self, open_: Callable[[], _T], *opened_from: str | bytes | int | ClientSecret | None) -> _T:
        """Return what was opened from the same before, or else what ``open_`` returns."""
        if opened_from not in self.opened:
            self.opened[opened_from] = self._kept[opened_from] if opened_from in self._kept else open_()
        thing: _T = self.opened[opened_from]
        return thing

    def audit(self, file: str) -> AuditSink | None:
        kept: AuditFile | None = self._kept.get(("audit", file))
        if kept is not None and kept.is_in_place:
            self.opened["audit", file] = kept
            return kept
        with self.at("audit.file", file):
            self.opened["audit", file] = self._file = AuditFile(file)
        return self._file

    def close(self) -> None:
        """Close what nobody will use."""
        if self._file is not None:
            self._file.close()

    def issuers(self, oauth: OAuth | None, keys_of: KeysOf | None) -> dict[str, TrustedIssuer]:
        found: dict[str, TrustedIssuer] = {}
        for position, each in enumerate(oauth.issuers if oauth else ()):
            issuer = self._issuer(f"oauth.issuers[{position}]", each, keys_of)
            if issuer is not None:
                found[each.issuer] = issuer
        return found

    def _issuer(self, path: str, issuer: Issuer, keys_of: KeysOf | None) -> TrustedIssuer | None:
        keys: KeySource | None = None
        introspection: Introspection | None = None
        if "jwt" in issuer.token_formats:
            with self.at(f"{path}.jwks_file" if issuer.jwks_file else path, issuer.jwks_file):
                keys = keys_of(issuer) if keys_of else self._keys(issuer)
        if issuer.introspection is not None:
            introspection = self._introspection(f"{path}.introspection", issuer, issuer.introspection)
        if keys is None and introspection is None:
            return None
        return TrustedIssuer(issuer.issuer, keys, issuer.profile, introspection)

    def credential(self, path: str, credentials: Credentials | None) -> Credential | None:
        if credentials is None:
            return None
        if credentials.bearer_file is not None:
            with self.at(f"{path}.bearer_file", credentials.bearer_file):
                return StaticToken(_read_secret(credentials.bearer_file))
        if credentials.bearer_env is not None:
            with self.at(f"{path}.bearer_env"):  # which somebody may have taken for the token's own place
                return StaticToken(self._variable(credentials.bearer_env))
        if credentials.client_credentials is not None:
            return self._requested(f"{path}.client_credentials", credentials.client_credentials, OwnToken)
        if credentials.token_exchange is not None:
            return self._requested(f"{path}.token_exchange", credentials.token_exchange, ExchangedToken)
        return None

    def sealer(self, policy: Policy) -> Sealer:
        before = len(self.faults)
        contents: list[str] = []
        for position, file in enumerate(policy.sealing_keys):
            with self.at(path_of(("sealing_keys", position)), file):
                contents.append(file_fingerprint(file))
                Sealer.from_files([file])
        if len(self.faults) > before:
            return Sealer.random()
        return self.one(
            lambda: Sealer.from_files(policy.sealing_keys) if contents else Sealer.random(),
            *("sealer", *contents),
        )

    def _keys(self, issuer: Issuer) -> KeySource:
        if issuer.jwks_file is not None:
            document = Path(issuer.jwks_file).read_bytes()
            return self.one(lambda: StaticKeys(document), "keys", issuer.issuer, sha256(document).digest())
        return self.one(
            lambda: RemoteKeys(issuer.jwks_uri or self._discovery(issuer.issuer), self._client()),
            *("keys", issuer.issuer, issuer.jwks_uri, id(self._fetch)),
        )

    def _introspection(
        self, path: str, issuer: Issuer, settings: IntrospectionClient
    ) -> Introspection | None:
        client = self._secret(path, settings)
        with self.at(path):
            location = settings.endpoint or self._discovery(issuer.issuer)
            if client is not None:
                fetch = self._client()
                return self.one(
                    lambda: Introspection(location, fetch, client, max_age=settings.max_age),
                    *("introspection", issuer.issuer, fingerprint(settings), client, id(fetch)),
                )
        return None

    def _requested(
        self, path: str, request: TokenRequest, kind: Callable[[TokenEndpoint], Credential]
    ) -> Credential | None:
        client = self._secret(path, request)
        with self.at(path):
            location = request.token_endpoint or self._discovery(str(request.issuer))
            if client is not None:
                fetch = self._client()
                return self.one(
                    lambda: kind(_token_endpoint(request, location, fetch, client)),
                    *(path, fingerprint(request), client, id(fetch)),
                )
        return None

    def _secret(self, path: str, settings: Secrets) -> ClientSecret | None:
        if settings.client_secret_file is not None:
            with self.at(f"{path}.client_secret_file", settings.client_secret_file):
                secret = _read_secret(settings.client_secret_file)
                return ClientSecret(settings.client_id, secret, settings.client_authentication)
        if settings.client_secret_env is not None:
            with self.at(f"{path}.client_secret_env"):
                secret = self._variable(settings.client_secret_env)
                return ClientSecret(settings.client_id, secret, settings.client_authentication)
        return None

    def _discovery(self, issuer: str) -> Discovery:
        # One for each issuer, so that its metadata is fetched once for whatever it is needed for.
        fetch = self._client()
        return self.one(lambda: Discovery(issuer, fetch), "discovery", issuer, id(fetch))

    def _client(self) -> Fetch:
        if self._fetch is None:
            raise ValueError("is to be asked over HTTP, and no fetch was given to do that")
        return self._fetch

    def _variable(self, name: str) -> str:
        value = self._environment.get(name)
        if not value:
            raise ValueError("names no variable that is set in the environment")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("is not UTF-8") from None
        return value


def _token_endpoint(
    request: TokenRequest, location: str | Discovery, fetch: Fetch, client: ClientSecret
) -> TokenEndpoint:
    return TokenEndpoint(
        location, fetch, client, scopes=request.scopes, resource=request.resource, audience=request.audience
    )


def _read_secret(path: str | Path) -> str:
    try:
        secret = Path(path).read_bytes().removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if not secret:
        raise ValueError("is empty")
    return secret
