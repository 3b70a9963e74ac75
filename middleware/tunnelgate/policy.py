"""The configuration: what a gate is told, checked whole before anything runs.

A policy is read from one YAML file, with environment variables over it, or built in code::

    Policy(
        tunnel_domain="tunnel.example.com",
        clients=Clients(allowed_ips=["10.0.0.0/8"]),
        oauth=OAuth(issuers=[Issuer(issuer="https://login.example.com/", jwks_file="jwks.json")]),
        routes={"docs": Route(scopes=["docs:read"], tools=["search_docs", "read_doc"])},
    )

Either way every fault is reported at once, and a policy never changes afterwards.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
)

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration import fields
from tunnelgate.configuration.across import faults_across, hostnames_of
from tunnelgate.configuration.faults import EVERYTHING_TAG, LIST_TAG, MAPPING_TAG, faults_of, path_of
from tunnelgate.configuration.sources import beside, read_environment, read_yaml
from tunnelgate.errors import ConfigurationError
from tunnelgate.keys import ALGORITHMS
from tunnelgate.requirements import ClaimValue, Requirement


def _listed_tag(value: object) -> str:
    if value == EVERYTHING:
        return EVERYTHING_TAG
    return MAPPING_TAG if isinstance(value, Mapping) else LIST_TAG


_Frozen = AfterValidator(tuple)
_FrozenMapping = AfterValidator(fields.frozen_mapping)
_NotEmpty = AfterValidator(fields.not_empty)
HostName = Annotated[str, AfterValidator(fields.hostname)]
NetworkText = Annotated[str, AfterValidator(fields.network)]
Scope = Annotated[str, AfterValidator(fields.scope)]
Name = Annotated[str, AfterValidator(fields.name)]
ResourceUri = Annotated[str, AfterValidator(fields.resource)]
MethodName = Annotated[str, AfterValidator(fields.method)]
ClaimName = Annotated[str, Field(min_length=1)]
# Plain, so that a bad value is one fault and not one for each type that it might have had.
RequiredClaims = Annotated[
    Mapping[ClaimName, Annotated[ClaimValue | Sequence[ClaimValue], PlainValidator(fields.claim)]],
    _FrozenMapping,
]
FileName = Annotated[str | Path, PlainValidator(fields.file)]
UrlPath = Annotated[str, AfterValidator(fields.url_path)]
Url = Annotated[str, AfterValidator(fields.url)]
Origin = Annotated[str, AfterValidator(fields.origin)]
HeaderName = Annotated[str, AfterValidator(fields.forwarded_header)]
Algorithm = Annotated[str, AfterValidator(fields.algorithm)]
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
Port = Annotated[int, Field(ge=1, le=65535)]
Octets = Annotated[int, Field(ge=1024, le=1024**3)]
Seconds = Annotated[float, BeforeValidator(fields.duration), Field(ge=0, le=86400, allow_inf_nan=False)]


_DEFAULT_PORTS = {"http": 80, "https": 443}


def _list_or_mapping(value: object) -> str:
    return MAPPING_TAG if isinstance(value, Mapping) else LIST_TAG


def _no_claims() -> Mapping[str, Any]:
    return MappingProxyType({})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Clients(_Section):
    """Where clients may come from. ``address_from`` says what counts as a client's address."""

    allowed_ips: Annotated[Sequence[NetworkText], _Frozen, _NotEmpty]
    address_from: Literal["peer"] = "peer"


class RouteClients(_Section):
    """Where clients of one route may come from, within what the gate allows."""

    allowed_ips: Annotated[Sequence[NetworkText], _Frozen, _NotEmpty]


class Issuer(_Section):
    """An authorization server that is trusted, and where its keys are: a file or a URL."""

    issuer: Url
    jwks_file: FileName | None = None
    jwks_uri: Url | None = None
    algorithms: Annotated[Sequence[Algorithm], _Frozen, _NotEmpty] = tuple(sorted(ALGORITHMS))


class OAuth(_Section):
    """Whose tokens are accepted."""

    issuers: Annotated[Sequence[Issuer], _Frozen, _NotEmpty]


class Rule(_Section):
    """What a caller needs besides what the route needs to use one tool, prompt or resource."""

    scopes: Annotated[Sequence[Scope], _Frozen] = ()
    claims: RequiredClaims = Field(default_factory=_no_claims)

    @property
    def requirement(self) -> Requirement:
        """The same, compiled."""
        return Requirement(self.scopes, self.claims)


Tools = Annotated[
    Annotated[Sequence[Name], _Frozen, _NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[Name, Rule | None], _FrozenMapping, _NotEmpty, Tag(MAPPING_TAG)]
    | Annotated[Literal["*"], Tag(EVERYTHING_TAG)],
    Discriminator(_listed_tag),
]
Prompts = Annotated[
    Annotated[Sequence[Name], _Frozen, _NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[Name, Rule | None], _FrozenMapping, _NotEmpty, Tag(MAPPING_TAG)],
    Discriminator(_list_or_mapping),
]
Resources = Annotated[
    Annotated[Sequence[ResourceUri], _Frozen, _NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[ResourceUri, Rule | None], _FrozenMapping, _NotEmpty, Tag(MAPPING_TAG)],
    Discriminator(_list_or_mapping),
]


class Route(_Section):
    """One hostname and what stands behind it.

    ``mount`` names a factory of an ASGI application, ``module:function``, called with ``options``.
    ``path`` is the MCP endpoint; ``public_paths`` are served without a token, as they come.
    ``resource`` is what tokens are made for, by default the endpoint's URL.
    ``issuers`` narrows the gate's issuers; ``scopes`` and ``claims`` are needed by every request.
    ``tools``, ``prompts`` and ``resources`` exist for callers, and ``methods`` besides those that
    MCP has. ``client_log_level`` is the least severe level of log messages that clients get.
    ``forward_headers`` reach the application besides those that MCP has.
    """

    mount: Annotated[str, AfterValidator(fields.factory)] | None = None
    options: Annotated[Mapping[str, Any], BeforeValidator(deepcopy), _FrozenMapping] = Field(
        default_factory=lambda: MappingProxyType(dict[str, Any]())
    )
    path: UrlPath = "/mcp"
    resource: Url | None = None
    issuers: Annotated[Sequence[str], _Frozen, _NotEmpty] | None = None
    scopes: Annotated[Sequence[Scope], _Frozen] = ()
    claims: RequiredClaims = Field(default_factory=_no_claims)
    tools: Tools | None = None
    allow_all_tools: bool = False
    prompts: Prompts | None = None
    resources: Resources | None = None
    methods: Annotated[Sequence[MethodName], _Frozen] = ()
    client_log_level: LogLevel | None = None
    tasks: bool = False
    clients: RouteClients | None = None
    origins: Annotated[Sequence[Origin], _Frozen] = ()
    public_paths: Annotated[Sequence[UrlPath], _Frozen] = ()
    forward_headers: Annotated[Sequence[HeaderName], _Frozen] = ()

    @property
    def speaks_mcp(self) -> bool:
        """Whether the route has an MCP endpoint."""
        return bool(self.tools or self.prompts or self.resources or self.methods)

    @property
    def tool_requirements(self) -> Mapping[str, Requirement] | Literal["*"]:
        """The tools that exist for callers, with what each requires besides the route's own."""
        return EVERYTHING if self.tools == EVERYTHING else _requirements(self.tools)

    @property
    def prompt_requirements(self) -> Mapping[str, Requirement]:
        """The prompts that exist for callers, likewise."""
        return _requirements(self.prompts)

    @property
    def resource_requirements(self) -> Mapping[str, Requirement]:
        """The URIs and URI templates of the resources that exist for callers, likewise."""
        return _requirements(self.resources)


def _requirements(
    listed: Sequence[str] | Mapping[str, Rule | None] | None,
) -> Mapping[str, Requirement]:
    if isinstance(listed, Mapping):
        return {name: rule.requirement if rule else Requirement() for name, rule in listed.items()}
    return dict.fromkeys(listed or (), Requirement())


class Audit(_Section):
    """Where decisions are written down; ``-`` is standard output."""

    file: str = "-"


class Limits(_Section):
    """The most octets of a request's body, of its head, and of one answer or event."""

    body_bytes: Octets = 1024 * 1024
    header_bytes: Octets = 32 * 1024
    answer_bytes: Octets = 8 * 1024 * 1024


class Policy(_Section):
    """The whole configuration of a gate.

    ``listen_addr``, ``log_level`` and ``shutdown_timeout`` concern the gateway alone.
    ``public_scheme`` and ``public_port`` are how clients reach the gate, which may differ from how
    it listens; they are part of the resources that tokens are made for.
    ``sealing_keys`` are files of secrets that replicas share; the first seals, all of them open.
    ``host_ports`` are ports that ``Host`` may name besides 80, 443 and the one connected to.

    Raises :class:`~tunnelgate.errors.ConfigurationError` with every fault there is.
    """

    listen_addr: Annotated[str, AfterValidator(fields.listen_address)] = "127.0.0.1:8080"
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    shutdown_timeout: Seconds = 30.0
    tunnel_domain: HostName | None = None
    public_scheme: Literal["http", "https"] = "https"
    public_port: Port | None = None
    host_ports: Annotated[Sequence[Port], _Frozen] = ()
    clients: Clients
    oauth: OAuth | None = None
    limits: Limits = Limits()
    routes: Annotated[Mapping[HostName, Route], _FrozenMapping, _NotEmpty]
    audit: Audit = Audit()
    sealing_keys: Annotated[Sequence[FileName], _Frozen] = ()

    if not TYPE_CHECKING:  # the fields above are the signature that type checkers see

        def __init__(self, /, **data: Any) -> None:
            faults = faults_across(data)
            try:
                super().__init__(**data)
            except ValidationError as error:
                faults = faults_of(error, _KEYS) + faults
            if faults:
                raise ConfigurationError("policy", faults)

    @classmethod
    def from_file(cls, path: str | Path, environment: Mapping[str, str] | None = None) -> "Policy":
        """Return the policy in a YAML file, with ``TUNNELGATE_…`` variables over it.

        ``environment`` is the process's own unless one is given. Files that the file names are
        looked for beside it; what ``options`` holds is the mounted application's own business.
        Raises :class:`~tunnelgate.errors.ConfigurationError` for whatever is wrong.
        """
        file = Path(path)
        data = beside(file.parent, read_yaml(file))
        return cls.from_mapping(read_environment(cls, data, environment), str(file))

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], source: str = "policy") -> "Policy":
        """Return the policy that ``data`` describes; ``source`` is named when something is wrong."""
        try:
            return cls(**data)
        except ConfigurationError as error:
            raise ConfigurationError(source, error.faults) from None

    def hostnames(self, name: str) -> tuple[str, ...]:
        """Return the hostnames that lead to a route, the one that its URLs are made of first."""
        return hostnames_of(name, self.tunnel_domain)

    @property
    def accepted_ports(self) -> tuple[int, ...]:
        """The ports that ``Host`` may name besides 80, 443 and the one connected to."""
        public = () if self.public_port is None else (self.public_port,)
        return (*self.host_ports, *public)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed by an explicit word, and what a reviewer should know, each as a sentence."""
        return tuple(
            f"{path_of(('routes', name, 'tools'))}: every tool is allowed, also those that the server "
            "will have tomorrow"
            for name, route in self.routes.items()
            if route.tools == EVERYTHING
        )

    def resource(self, name: str) -> str:
        """Return the URL that tokens for a route are made for."""
        route = self.routes[name]
        if route.resource is not None:
            return route.resource
        is_default = self.public_port in (None, _DEFAULT_PORTS[self.public_scheme])
        port = "" if is_default else f":{self.public_port}"
        return f"{self.public_scheme}://{self.hostnames(name)[0]}{port}{route.path}"

    def issuers(self, name: str) -> tuple[Issuer, ...]:
        """Return the issuers whose tokens a route accepts."""
        everyone = () if self.oauth is None else self.oauth.issuers
        chosen = self.routes[name].issuers
        return tuple(each for each in everyone if chosen is None or each.issuer in chosen)


_KEYS: Mapping[str, tuple[str, ...]] = {
    parent: tuple(section.model_fields)
    for parent, section in (
        ("", Policy),
        ("audit", Audit),
        ("clients", Clients),
        ("issuers", Issuer),
        ("limits", Limits),
        ("oauth", OAuth),
        ("routes", Route),
        ("prompts", Rule),
        ("resources", Rule),
        ("tools", Rule),
    )
}
