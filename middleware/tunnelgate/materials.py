"""What a policy names and does not hold: keys, secrets, the file of records. Gathered before anything runs.

Every one that cannot be had is a fault, and all of them are named at once.
"""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunnelgate.audit import AuditFile, AuditSink
from tunnelgate.client_authentication import ClientSecret
from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.oauth import Credentials, IntrospectionClient, Issuer, OAuth, TokenRequest
from tunnelgate.credentials import Credential, ExchangedToken, OwnToken, StaticToken
from tunnelgate.discovery import Discovery
from tunnelgate.errors import ConfigurationError, ConfigurationFault
from tunnelgate.fetching import Fetch
from tunnelgate.introspection import Introspection
from tunnelgate.keys import KeySource, RemoteKeys, StaticKeys
from tunnelgate.policy import Policy
from tunnelgate.sealing import Sealer
from tunnelgate.token_requests import TokenEndpoint
from tunnelgate.verifier import TrustedIssuer

KeysOf = Callable[[Issuer], KeySource]
Secrets = IntrospectionClient | TokenRequest


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything that a gate needs besides its policy.

    ``issuers`` are by their identifiers; ``credentials`` by the names of their routes.
    """

    issuers: Mapping[str, TrustedIssuer]
    credentials: Mapping[str, Credential]
    sealer: Sealer
    audit: AuditSink


def gather(
    policy: Policy,
    *,
    fetch: Fetch | None = None,
    keys_of: KeysOf | None = None,
    sealer: Sealer | None = None,
    audit: AuditSink | None = None,
    environment: Mapping[str, str] | None = None,
) -> Materials:
    """Return what ``policy`` names.

    ``fetch`` is an HTTP client, needed where an issuer is to be asked; ``keys_of`` says where an
    issuer's keys are in place of the policy, ``sealer`` stands in for its ``sealing_keys`` and
    ``audit`` for its file. ``environment`` is the process's own unless one is given.
    Raises :class:`~tunnelgate.errors.ConfigurationError` with everything that cannot be had.
    """
    gathering = _Gathering(fetch, os.environ if environment is None else environment)
    issuers = gathering.issuers(policy.oauth, keys_of)
    credentials: dict[str, Credential] = {}
    for name, route in policy.routes.items():
        credential = gathering.credential(path_of(("routes", name, "credentials")), route.credentials)
        if credential is not None:
            credentials[name] = credential
    sealer = sealer or gathering.sealer(policy)
    opened: AuditFile | None = None
    if audit is None:
        with gathering.at("audit.file", policy.audit.file):
            audit = opened = AuditFile(policy.audit.file)
    if gathering.faults or audit is None:  # pyright: ignore[reportUnnecessaryComparison] - `at` swallows
        if opened is not None:
            opened.close()
        raise ConfigurationError("gate", gathering.faults)
    return Materials(issuers, credentials, sealer, audit)


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
    gathering = _Gathering(fetch, os.environ if environment is None else environment)
    issuers = gathering.issuers(oauth, keys_of)
    if gathering.faults:
        raise ConfigurationError("oauth", gathering.faults)
    return issuers


class _Gathering:
    def __init__(self, fetch: Fetch | None, environment: Mapping[str, str]) -> None:
        self.faults: list[ConfigurationFault] = []
        self._fetch = fetch
        self._environment = environment
        self._discoveries: dict[str, Discovery] = {}

    @contextmanager
    def at(self, path: str, value: object = None) -> Generator[None]:
        """Note as a fault of ``path`` whatever goes wrong."""
        try:
            yield
        except (OSError, ValueError) as error:
            shown = "" if value is None else repr(str(value))
            sentence = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self.faults.append(ConfigurationFault(path, shown, sentence))

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
            endpoint = self._token_endpoint(f"{path}.client_credentials", credentials.client_credentials)
            return None if endpoint is None else OwnToken(endpoint)
        if credentials.token_exchange is not None:
            endpoint = self._token_endpoint(f"{path}.token_exchange", credentials.token_exchange)
            return None if endpoint is None else ExchangedToken(endpoint)
        return None

    def sealer(self, policy: Policy) -> Sealer:
        before = len(self.faults)
        for position, file in enumerate(policy.sealing_keys):
            with self.at(path_of(("sealing_keys", position)), file):
                Sealer.from_files([file])
        is_usable = policy.sealing_keys and len(self.faults) == before
        return Sealer.from_files(policy.sealing_keys) if is_usable else Sealer.random()

    def _keys(self, issuer: Issuer) -> KeySource:
        if issuer.jwks_file is not None:
            return StaticKeys.from_file(Path(issuer.jwks_file))
        return RemoteKeys(issuer.jwks_uri or self._discovery(issuer.issuer), self._client())

    def _introspection(
        self, path: str, issuer: Issuer, settings: IntrospectionClient
    ) -> Introspection | None:
        client = self._secret(path, settings)
        with self.at(path):
            location = settings.endpoint or self._discovery(issuer.issuer)
            if client is not None:
                return Introspection(location, self._client(), client, max_age=settings.max_age)
        return None

    def _token_endpoint(self, path: str, request: TokenRequest) -> TokenEndpoint | None:
        client = self._secret(path, request)
        with self.at(path):
            location = request.token_endpoint or self._discovery(str(request.issuer))
            if client is not None:
                return TokenEndpoint(
                    location,
                    self._client(),
                    client,
                    scopes=request.scopes,
                    resource=request.resource,
                    audience=request.audience,
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
        if issuer not in self._discoveries:
            self._discoveries[issuer] = Discovery(issuer, self._client())
        return self._discoveries[issuer]

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


def _read_secret(path: str | Path) -> str:
    try:
        secret = Path(path).read_bytes().removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if not secret:
        raise ValueError("is empty")
    return secret
