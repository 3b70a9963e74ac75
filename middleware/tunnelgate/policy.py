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
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ValidationError

from tunnelgate.configuration import fields
from tunnelgate.configuration.across import faults_across, hostnames_of
from tunnelgate.configuration.faults import faults_of
from tunnelgate.configuration.oauth import (
    Credentials,
    Dpop,
    IntrospectionClient,
    Issuer,
    OAuth,
    TokenRequest,
)
from tunnelgate.configuration.routes import Route, RouteOrUrl, Rule
from tunnelgate.configuration.sources import beside, in_full, read_environment, read_yaml
from tunnelgate.configuration.types import (
    FileMode,
    FileName,
    Frozen,
    FrozenMapping,
    HostName,
    NetworkText,
    NotEmpty,
    Octets,
    Port,
    Seconds,
    Section,
)
from tunnelgate.configuration.upstreams import RouteUpstream, Upstreams, UpstreamTls
from tunnelgate.configuration.warnings import warnings_of
from tunnelgate.errors import ConfigurationError

_THIS_MACHINE = ("127.0.0.0/8", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Clients(Section):
    """Where clients may come from.

    ``address_from`` says what counts as a client's address: the other end of the socket, or what a
    header says that one of the ``trusted_proxies`` sent. ``trust_unix_socket`` makes a proxy of
    whoever connects to the gate's own Unix socket.
    """

    allowed_ips: Annotated[Sequence[NetworkText], Frozen, NotEmpty]
    allow_wide_networks: bool = False
    address_from: Literal["peer", "cf-connecting-ip", "x-forwarded-for", "forwarded"] = "peer"
    trusted_proxies: Annotated[Sequence[NetworkText], Frozen] = ()
    trust_wide_networks: bool = False
    trust_unix_socket: bool = False


class Tls(Section):
    """The certificate that the gate shows, and by whom those must be that clients show."""

    cert_file: FileName
    key_file: FileName
    client_ca_file: FileName | None = None


class Audit(Section):
    """Where decisions are written down; ``-`` is standard output."""

    file: str = "-"


class Limits(Section):
    """The most octets of a request's body, of its head, and of one answer or event."""

    body_bytes: Octets = 1024 * 1024
    header_bytes: Octets = 32 * 1024
    answer_bytes: Octets = 8 * 1024 * 1024


class Policy(Section):
    """The whole configuration of a gate.

    ``listen_addr``, ``socket_mode``, ``log_level`` and ``shutdown_timeout`` concern the gateway alone,
    and so does ``transport``: what is spoken on its port. Unless it is said, that is HTTP in the clear
    without ``tls``, and with it both TLS and WebSockets that carry TLS, as a tunnel delivers them.
    ``clients`` may be left out only where no route lists anything, and so none can be used.
    ``upstream`` is where it may connect to.
    ``public_scheme`` and ``public_port`` are how clients reach the gate, which may differ from how
    it listens; they are part of the resources that tokens are made for.
    ``sealing_keys`` are files of secrets that replicas share; the first seals, all of them open.
    ``host_ports`` are ports that ``Host`` may name besides 80, 443 and the one connected to.

    Raises :class:`~tunnelgate.errors.ConfigurationError` with every fault there is.
    """

    listen_addr: Annotated[str, AfterValidator(fields.listen_address)] = "127.0.0.1:8080"
    socket_mode: FileMode = 0o600
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    shutdown_timeout: Seconds = 30.0
    tunnel_domain: HostName | None = None
    public_scheme: Literal["http", "https"] = "https"
    public_port: Port | None = None
    host_ports: Annotated[Sequence[Port], Frozen] = ()
    transport: Literal["http", "tls", "tunnel"] | None = None
    tls: Tls | None = None
    clients: Clients = Clients(allowed_ips=_THIS_MACHINE)
    oauth: OAuth | None = None
    dpop: Dpop = Dpop()
    upstream: Upstreams = Upstreams()
    limits: Limits = Limits()
    routes: Annotated[Mapping[HostName, RouteOrUrl], FrozenMapping, NotEmpty]
    audit: Audit = Audit()
    sealing_keys: Annotated[Sequence[FileName], Frozen] = ()

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
        data = beside(file.parent, in_full(read_yaml(file)))
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
        resources = {name: self.resource(name) for name, route in self.routes.items() if route.speaks_mcp}
        return warnings_of(self, resources)

    def resource(self, name: str) -> str:
        """Return the URL that tokens for a route are made for."""
        route = self.routes[name]
        if route.resource is not None:
            return route.resource
        return self.endpoints(name)[0]

    def endpoints(self, name: str) -> tuple[str, ...]:
        """Return the URLs at which clients reach a route's MCP endpoint, one for each hostname.

        The ``resource`` is one of them too when it is on a hostname of the route: where the gate is
        mounted below a path, nobody else says which.
        """
        is_default = self.public_port in (None, _DEFAULT_PORTS[self.public_scheme])
        port = "" if is_default else f":{self.public_port}"
        path = self.routes[name].path
        urls = [f"{self.public_scheme}://{each}{port}{path}" for each in self.hostnames(name)]
        resource = self.routes[name].resource
        if resource is not None and urlsplit(resource).hostname in self.hostnames(name):
            urls.append(resource)
        return tuple(dict.fromkeys(urls))

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
        ("client_credentials", TokenRequest),
        ("clients", Clients),
        ("credentials", Credentials),
        ("dpop", Dpop),
        ("introspection", IntrospectionClient),
        ("issuers", Issuer),
        ("limits", Limits),
        ("oauth", OAuth),
        ("routes", Route),
        ("routes.tls", UpstreamTls),
        ("routes.upstream", RouteUpstream),
        ("prompts", Rule),
        ("resources", Rule),
        ("tls", Tls),
        ("token_exchange", TokenRequest),
        ("tools", Rule),
        ("upstream", Upstreams),
        ("upstream.tls", UpstreamTls),
    )
}
