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
    Tag,
    ValidationError,
)

from tunnelgate.configuration import fields
from tunnelgate.configuration.across import faults_across, hostnames_of
from tunnelgate.configuration.faults import LIST_TAG, MAPPING_TAG, faults_of
from tunnelgate.configuration.sources import beside, read_environment, read_yaml
from tunnelgate.errors import ConfigurationError
from tunnelgate.keys import ALGORITHMS


def _tools_tag(value: object) -> str:
    return MAPPING_TAG if isinstance(value, Mapping) else LIST_TAG


_Frozen = AfterValidator(tuple)
_FrozenMapping = AfterValidator(fields.frozen_mapping)
_NotEmpty = AfterValidator(fields.not_empty)
HostName = Annotated[str, AfterValidator(fields.hostname)]
NetworkText = Annotated[str, AfterValidator(fields.network)]
Scope = Annotated[str, AfterValidator(fields.scope)]
ToolName = Annotated[str, AfterValidator(fields.tool_name)]
UrlPath = Annotated[str, AfterValidator(fields.url_path)]
Url = Annotated[str, AfterValidator(fields.url)]
Origin = Annotated[str, AfterValidator(fields.origin)]
HeaderName = Annotated[str, AfterValidator(fields.forwarded_header)]
Algorithm = Annotated[str, AfterValidator(fields.algorithm)]
Port = Annotated[int, Field(ge=1, le=65535)]
Octets = Annotated[int, Field(ge=1024, le=1024**3)]
Seconds = Annotated[float, BeforeValidator(fields.duration), Field(ge=0, le=86400, allow_inf_nan=False)]


_DEFAULT_PORTS = {"http": 80, "https": 443}


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
    jwks_file: Annotated[str | Path, AfterValidator(fields.file)] | None = None
    jwks_uri: Url | None = None
    algorithms: Annotated[Sequence[Algorithm], _Frozen, _NotEmpty] = tuple(sorted(ALGORITHMS))


class OAuth(_Section):
    """Whose tokens are accepted."""

    issuers: Annotated[Sequence[Issuer], _Frozen, _NotEmpty]


class ToolRule(_Section):
    """What a caller needs besides the route's scopes to use one tool."""

    scopes: Annotated[Sequence[Scope], _Frozen] = ()


Tools = Annotated[
    Annotated[Sequence[ToolName], _Frozen, _NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[ToolName, ToolRule | None], _FrozenMapping, _NotEmpty, Tag(MAPPING_TAG)],
    Discriminator(_tools_tag),
]


class Route(_Section):
    """One hostname and what stands behind it.

    ``mount`` names a factory of an ASGI application, ``module:function``, called with ``options``.
    ``path`` is the MCP endpoint; ``public_paths`` are served without a token, as they come.
    ``resource`` is what tokens are made for, by default the endpoint's URL.
    ``issuers`` narrows the gate's issuers; ``scopes`` are needed by every request.
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
    tools: Tools | None = None
    clients: RouteClients | None = None
    origins: Annotated[Sequence[Origin], _Frozen] = ()
    public_paths: Annotated[Sequence[UrlPath], _Frozen] = ()
    forward_headers: Annotated[Sequence[HeaderName], _Frozen] = ()

    @property
    def tool_scopes(self) -> Mapping[str, tuple[str, ...]]:
        """The listed tools and the scopes that each needs besides the route's."""
        if isinstance(self.tools, Mapping):
            return {name: tuple(rule.scopes) if rule else () for name, rule in self.tools.items()}
        return dict.fromkeys(self.tools or (), ())


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
        ("tools", ToolRule),
    )
}
