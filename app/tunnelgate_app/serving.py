"""What `tunnelgate serve` needs before it listens: the gateway, and how its listener speaks TLS."""

import ssl
from collections.abc import Sequence

from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls


def prepare(policy: Policy) -> tuple[Gateway, ListenerTls | None]:
    """Return the gateway for ``policy``, and its TLS where it has some.

    Raises :class:`~tunnelgate.ConfigurationError` with everything that is in the way.
    """
    faults = listener_faults(policy)
    gateway: Gateway | None = None
    tls: ssl.SSLContext | None = None
    of_gateway: Sequence[ConfigurationFault] = ()
    try:
        # First, because what it knows of the files is to be from before they are opened.
        gateway = create_gateway(policy)
    except ConfigurationError as error:
        of_gateway = error.faults
    try:
        tls = listener_tls(policy)
    except ConfigurationError as error:
        faults += error.faults
    faults += of_gateway
    if faults or gateway is None:
        raise ConfigurationError("gateway", faults)
    return gateway, None if tls is None else ListenerTls(tls)


def listener_tls(policy: Policy) -> ssl.SSLContext | None:
    """Return how the gate's own listener speaks TLS, if it does; raises as :func:`prepare` does."""
    if policy.tls is None:
        return None
    return open_tls(TlsFiles(policy.tls.cert_file, policy.tls.key_file, policy.tls.client_ca_file))


def listener_faults(policy: Policy) -> list[ConfigurationFault]:
    """Return what routes and clients need of the listener and its settings do not have."""
    return [*_of_unix_socket(policy), *_of_client_certificates(policy)]


def _of_unix_socket(policy: Policy) -> list[ConfigurationFault]:
    if not policy.clients.trust_unix_socket or policy.listen_addr.startswith("unix:"):
        return []
    sentence = "means nothing unless listen_addr is a Unix socket"
    return [ConfigurationFault("clients.trust_unix_socket", "True", sentence)]


def _of_client_certificates(policy: Policy) -> list[ConfigurationFault]:
    if policy.tls is not None and policy.tls.client_ca_file is not None:
        return []
    return [
        ConfigurationFault(
            path_of(("routes", name, "proof")),
            "'mtls'",
            "needs tls.client_ca_file: otherwise nobody asks clients for their certificates",
        )
        for name, route in policy.routes.items()
        if route.proof == "mtls"
    ]
