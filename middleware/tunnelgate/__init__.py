"""tunnelgate: the gate at the private end of an MCP tunnel, as pure ASGI middleware.

``protect`` puts the whole chain around an application; each layer is ordinary middleware as well.
"""

from tunnelgate.audit import AuditFile, AuditLog, AuditSink
from tunnelgate.bearer import BearerAuthentication, TrustedIssuer
from tunnelgate.chain import protect
from tunnelgate.clients import ClientAllowlist
from tunnelgate.errors import (
    AuditUnavailable,
    ConfigurationError,
    ConfigurationFault,
    KeysUnavailable,
    TunnelgateError,
    Unavailable,
)
from tunnelgate.exchange import Principal, principal_of
from tunnelgate.handover import Handover
from tunnelgate.hosts import HostAllowlist
from tunnelgate.hygiene import RequestHygiene
from tunnelgate.keys import KeySource, RemoteKeys, StaticKeys
from tunnelgate.origins import OriginAllowlist
from tunnelgate.policy import (
    Audit,
    Clients,
    Issuer,
    Limits,
    OAuth,
    Policy,
    Route,
    RouteClients,
    Rule,
)
from tunnelgate.requirements import Requirement
from tunnelgate.sealing import Sealer
from tunnelgate.tools import ToolAllowlist
from tunnelgate.verdict import Allow, Broken, Deny, NeedsScopes, Reason, Verdict

__all__ = [
    "Allow",
    "Audit",
    "AuditFile",
    "AuditLog",
    "AuditSink",
    "AuditUnavailable",
    "BearerAuthentication",
    "Broken",
    "ClientAllowlist",
    "Clients",
    "ConfigurationError",
    "ConfigurationFault",
    "Deny",
    "Handover",
    "HostAllowlist",
    "Issuer",
    "KeySource",
    "KeysUnavailable",
    "Limits",
    "NeedsScopes",
    "OAuth",
    "OriginAllowlist",
    "Policy",
    "Principal",
    "Reason",
    "RemoteKeys",
    "RequestHygiene",
    "Requirement",
    "Route",
    "RouteClients",
    "Rule",
    "Sealer",
    "StaticKeys",
    "ToolAllowlist",
    "TrustedIssuer",
    "TunnelgateError",
    "Unavailable",
    "Verdict",
    "principal_of",
    "protect",
]
