"""tunnelgate: the gate at the private end of an MCP tunnel, as pure ASGI middleware.

``protect`` puts the whole chain around an application; each layer is ordinary middleware as well.
"""

from tunnelgate.audit import AuditFile, AuditLog, AuditSink
from tunnelgate.bearer import BearerAuthentication
from tunnelgate.certificates import CertificateBinding
from tunnelgate.chain import protect
from tunnelgate.client_authentication import ClientSecret
from tunnelgate.clients import ClientAllowlist
from tunnelgate.configuration.oauth import (
    Credentials,
    Dpop,
    IntrospectionClient,
    Issuer,
    OAuth,
    TokenRequest,
)
from tunnelgate.configuration.routes import Route, RouteClients, Rule
from tunnelgate.configuration.upstreams import RouteUpstream, Upstreams, UpstreamTls
from tunnelgate.credentials import Credential, ExchangedToken, OwnToken, StaticToken, UpstreamCredentials
from tunnelgate.discovery import Discovery
from tunnelgate.dpop import DPoP, Nonces
from tunnelgate.errors import (
    AuditUnavailable,
    ConfigurationError,
    ConfigurationFault,
    CredentialUnavailable,
    IssuerUnavailable,
    KeysUnavailable,
    ReplayWindowFull,
    TunnelgateError,
    Unavailable,
    UpstreamFailed,
)
from tunnelgate.exchange import Principal, principal_of
from tunnelgate.fetching import Fetch, Fetched
from tunnelgate.handover import Handover
from tunnelgate.hosts import HostAllowlist
from tunnelgate.hygiene import RequestHygiene
from tunnelgate.introspection import Introspection
from tunnelgate.keys import KeySource, RemoteKeys, StaticKeys
from tunnelgate.origins import OriginAllowlist
from tunnelgate.policy import Audit, Clients, Limits, Policy, Tls
from tunnelgate.proofs import NoProof, ProofOfPossession
from tunnelgate.requirements import Requirement
from tunnelgate.sealing import Sealer
from tunnelgate.token_requests import TokenEndpoint
from tunnelgate.tokens import TokenProfile
from tunnelgate.tools import ToolAllowlist
from tunnelgate.verdict import Allow, Broken, Deny, NeedsScopes, Reason, Verdict
from tunnelgate.verifier import TrustedIssuer

__all__ = [
    "Allow",
    "Audit",
    "AuditFile",
    "AuditLog",
    "AuditSink",
    "AuditUnavailable",
    "BearerAuthentication",
    "Broken",
    "CertificateBinding",
    "ClientAllowlist",
    "ClientSecret",
    "Clients",
    "ConfigurationError",
    "ConfigurationFault",
    "Credential",
    "CredentialUnavailable",
    "Credentials",
    "DPoP",
    "Deny",
    "Discovery",
    "Dpop",
    "ExchangedToken",
    "Fetch",
    "Fetched",
    "Handover",
    "HostAllowlist",
    "Introspection",
    "IntrospectionClient",
    "Issuer",
    "IssuerUnavailable",
    "KeySource",
    "KeysUnavailable",
    "Limits",
    "NeedsScopes",
    "NoProof",
    "Nonces",
    "OAuth",
    "OriginAllowlist",
    "OwnToken",
    "Policy",
    "Principal",
    "ProofOfPossession",
    "Reason",
    "RemoteKeys",
    "ReplayWindowFull",
    "RequestHygiene",
    "Requirement",
    "Route",
    "RouteClients",
    "RouteUpstream",
    "Rule",
    "Sealer",
    "StaticKeys",
    "StaticToken",
    "Tls",
    "TokenEndpoint",
    "TokenProfile",
    "TokenRequest",
    "ToolAllowlist",
    "TrustedIssuer",
    "TunnelgateError",
    "Unavailable",
    "UpstreamCredentials",
    "UpstreamFailed",
    "UpstreamTls",
    "Upstreams",
    "Verdict",
    "principal_of",
    "protect",
]
