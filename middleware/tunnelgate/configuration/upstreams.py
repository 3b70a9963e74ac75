"""The sections about upstreams: remote MCP servers, where they may be, and how they are asked."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from tunnelgate.configuration import fields
from tunnelgate.configuration.types import (
    Count,
    FileName,
    Frozen,
    MetadataText,
    NetworkText,
    NotEmpty,
    Section,
    Timeout,
    WrappedText,
)
from tunnelgate.upstream.addresses import RFC1918


class UpstreamTls(Section):
    """Whose certificates are believed of ``https`` upstreams, and the one that the gate shows them."""

    ca_file: FileName | None = None
    include_system_cas: bool = False
    cert_file: FileName | None = None
    key_file: FileName | None = None


class Upstreams(Section):
    """Where the gate may connect to, for all routes.

    An upstream's name is looked up for each connection, and every address that it has must be
    inside ``allowed_ips``. ``disable_ip_validation`` allows every address, and even then those of
    metadata services and those that carry other addresses must be named in ``allow_metadata`` and
    ``allow_wrapped``.
    """

    allowed_ips: Annotated[Sequence[NetworkText], Frozen, NotEmpty] = RFC1918
    disable_ip_validation: bool = False
    allow_wide_networks: bool = False
    allow_metadata: Annotated[Sequence[MetadataText], Frozen] = ()
    allow_wrapped: Annotated[Sequence[WrappedText], Frozen] = ()
    tls: UpstreamTls = UpstreamTls()


class RouteUpstream(Section):
    """A remote MCP server: where it is, and how it is asked.

    ``allowed_ips`` narrows the gate's, ``tls`` stands in place of the gate's.
    ``preserve_host`` sends it the hostname that the client used in place of its own.
    ``oauth_discovery`` serves the metadata of an authorization server that it is itself.
    ``connect_timeout`` is for lookup, connection and TLS together, ``read_timeout`` for the head of
    an answer and between two parts of it, ``idle_timeout`` between two events of a stream, and
    ``total_timeout`` for a whole call or stream.
    After ``max_failures`` in a row it is not asked for ``retry_after``.
    """

    url: Annotated[str, AfterValidator(fields.upstream_url)]
    allowed_ips: Annotated[Sequence[NetworkText], Frozen, NotEmpty] | None = None
    tls: UpstreamTls | None = None
    preserve_host: bool = False
    forward_cookies: bool = False
    oauth_discovery: bool = False
    connect_timeout: Timeout = 5.0
    read_timeout: Timeout = 120.0
    idle_timeout: Timeout = 600.0
    total_timeout: Timeout = 3600.0
    max_calls: Count = 100
    max_streams: Count = 1000
    max_failures: Count = 5
    retry_after: Timeout = 5.0


def _with_url(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


RouteUpstreamOrUrl = Annotated[RouteUpstream, BeforeValidator(_with_url)]
