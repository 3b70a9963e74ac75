"""The sections about routes: what stands behind a hostname, and who may use what of it."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from tunnelgate.catalogue import EVERYTHING
from tunnelgate.configuration import fields
from tunnelgate.configuration.faults import EVERYTHING_TAG, LIST_TAG, MAPPING_TAG
from tunnelgate.configuration.oauth import Credentials
from tunnelgate.configuration.types import (
    Frozen,
    FrozenMapping,
    HeaderName,
    LogLevel,
    MethodName,
    Name,
    NetworkText,
    NotEmpty,
    Origin,
    PublicPath,
    RequiredClaims,
    ResourceUri,
    Scope,
    Section,
    Url,
    UrlPath,
    no_claims,
)
from tunnelgate.configuration.upstreams import RouteUpstreamOrUrl
from tunnelgate.requirements import Requirement

# Where RFC 8414 section 3 and OpenID Connect Discovery section 4 look for an authorization server.
_DISCOVERY = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")


def _listed_tag(value: object) -> str:
    if value == EVERYTHING:
        return EVERYTHING_TAG
    return MAPPING_TAG if isinstance(value, Mapping) else LIST_TAG


def _list_or_mapping(value: object) -> str:
    return MAPPING_TAG if isinstance(value, Mapping) else LIST_TAG


class RouteClients(Section):
    """Where clients of one route may come from, within what the gate allows."""

    allowed_ips: Annotated[Sequence[NetworkText], Frozen, NotEmpty]
    allow_wide_networks: bool = False


class Rule(Section):
    """What a caller needs besides what the route needs to use one tool, prompt or resource."""

    scopes: Annotated[Sequence[Scope], Frozen] = ()
    claims: RequiredClaims = Field(default_factory=no_claims)

    @property
    def requirement(self) -> Requirement:
        """The same, compiled."""
        return Requirement(self.scopes, self.claims)


Tools = Annotated[
    Annotated[Sequence[Name], Frozen, NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[Name, Rule | None], FrozenMapping, NotEmpty, Tag(MAPPING_TAG)]
    | Annotated[Literal["*"], Tag(EVERYTHING_TAG)],
    Discriminator(_listed_tag),
]
Prompts = Annotated[
    Annotated[Sequence[Name], Frozen, NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[Name, Rule | None], FrozenMapping, NotEmpty, Tag(MAPPING_TAG)],
    Discriminator(_list_or_mapping),
]
Resources = Annotated[
    Annotated[Sequence[ResourceUri], Frozen, NotEmpty, Tag(LIST_TAG)]
    | Annotated[Mapping[ResourceUri, Rule | None], FrozenMapping, NotEmpty, Tag(MAPPING_TAG)],
    Discriminator(_list_or_mapping),
]


class Route(Section):
    """One hostname and what stands behind it.

    ``mount`` names a factory of an ASGI application, ``module:function``, called with ``options``;
    ``upstream`` is a remote server in its place.
    ``path`` is the MCP endpoint; ``public_paths`` are served without a token, as they come.
    ``resource`` is what tokens are made for, by default the endpoint's URL.
    ``issuers`` narrows the gate's issuers; ``scopes`` and ``claims`` are needed by every request.
    ``proof`` is what shows that a token was not stolen; ``require_user`` refuses those that a client
    has for itself. ``credentials`` are what the application gets in place of the caller's.
    ``tools``, ``prompts`` and ``resources`` exist for callers, and ``methods`` besides those that
    MCP has. ``client_log_level`` is the least severe level of log messages that clients get.
    ``forward_headers`` reach the application besides those that MCP has.
    """

    mount: Annotated[str, AfterValidator(fields.factory)] | None = None
    options: Annotated[Mapping[str, Any], BeforeValidator(deepcopy), FrozenMapping] = Field(
        default_factory=lambda: MappingProxyType(dict[str, Any]())
    )
    upstream: RouteUpstreamOrUrl | None = None
    path: UrlPath = "/mcp"
    resource: Url | None = None
    issuers: Annotated[Sequence[str], Frozen, NotEmpty] | None = None
    scopes: Annotated[Sequence[Scope], Frozen] = ()
    claims: RequiredClaims = Field(default_factory=no_claims)
    proof: Literal["none", "dpop", "mtls"] = "none"
    require_user: bool = False
    credentials: Credentials | None = None
    tools: Tools | None = None
    allow_all_tools: bool = False
    prompts: Prompts | None = None
    resources: Resources | None = None
    methods: Annotated[Sequence[MethodName], Frozen] = ()
    client_log_level: LogLevel | None = None
    tasks: bool = False
    clients: RouteClients | None = None
    origins: Annotated[Sequence[Origin], Frozen] = ()
    public_paths: Annotated[Sequence[PublicPath], Frozen] = ()
    forward_headers: Annotated[Sequence[HeaderName], Frozen] = ()

    @property
    def speaks_mcp(self) -> bool:
        """Whether the route has an MCP endpoint."""
        return bool(self.tools or self.prompts or self.resources or self.methods)

    @property
    def discovery_paths(self) -> tuple[str, ...]:
        """Where the metadata of the authorization server is that the upstream is itself."""
        if self.upstream is None or not self.upstream.oauth_discovery:
            return ()
        inserted = [f"{well_known}{path}" for well_known in _DISCOVERY for path in ("", self.path)]
        return (*inserted, f"{self.path}{_DISCOVERY[-1]}")

    @property
    def open_paths(self) -> tuple[str, ...]:
        """The paths that are served without a token."""
        return tuple(dict.fromkeys((*self.public_paths, *self.discovery_paths)))

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


def _with_upstream(value: object) -> object:
    return {"upstream": value} if isinstance(value, str) else value


RouteOrUrl = Annotated[Route, BeforeValidator(_with_upstream)]
