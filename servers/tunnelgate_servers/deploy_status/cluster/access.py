"""A way to a cluster: where it is, how it is asked, and whom to believe; and the one that every pod has.

Specification: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes.client import Configuration
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from tunnelgate.tls_files import new_context
from tunnelgate_servers.hosting import OptionsError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod has the token of its account, and the certificate of its cluster's authority."""

MAX_FILE_BYTES: Final = 1024 * 1024
"""The size of the largest kubeconfig, certificate or key, in bytes."""


@dataclass(frozen=True, slots=True)
class Access:
    """A way to a cluster: the client's configuration, whom to believe, and the name in the certificate.

    `server_name` is `None` where it is the host of the URL.
    """

    configuration: Configuration
    tls: ssl.SSLContext
    server_name: str | None = None


def in_cluster_access(account: Path = ACCOUNT, environment: Mapping[str, str] | None = None) -> Access:
    """Return the way of a pod's account, whose files are in `account`; raises `OptionsError`.

    `environment` says where the cluster is; it is that of the process unless it is given.
    """
    configuration = new_configuration("")
    loader: Any = InClusterConfigLoader(  # type: ignore[no-untyped-call]
        str(account / "token"),
        str(account / "ca.crt"),
        environ=os.environ if environment is None else environment,
    )
    try:
        loader.load_and_set(configuration)
    except (ConfigException, OSError, ValueError) as error:
        raise OptionsError(f"The account of the pod cannot be used: {str(error).rstrip('.')}.") from None
    return Access(configuration, believing(read_file(account / "ca.crt")))


def new_configuration(host: str) -> Configuration:
    """Return a configuration of the official client for the cluster at a URL."""
    # An empty proxy keeps the client from looking for one in the environment.
    return Configuration(host=host, proxy="", no_proxy="")


def believing(authority: bytes | None) -> ssl.SSLContext:
    """Return what a client needs that believes these certificates (PEM), or those of the system.

    Raises `OptionsError` for certificates that cannot be used.
    """
    context = new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    if authority is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cadata=authority.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise OptionsError("The certificate of the cluster's authority cannot be used.") from None
    return context


def show_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Let a client show a certificate (PEM) with its key; raises `OptionsError` where they cannot be used."""
    # OpenSSL takes files only; they are gone again before anything is asked.
    with tempfile.TemporaryDirectory() as private:
        files = Path(private, "certificate.pem"), Path(private, "key.pem")
        files[0].write_bytes(certificate)
        files[1].touch(mode=0o600)
        files[1].write_bytes(key)
        try:
            # It would otherwise ask at the terminal for a password.
            context.load_cert_chain(*files, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise OptionsError("The kubeconfig's client certificate and key cannot be used.") from None


def read_file(file: Path) -> bytes:
    """Return the content of a file that the operator named; raises `OptionsError`."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise OptionsError(f"The file {file} cannot be read: {error.strerror}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise OptionsError(f"The file {file} is larger than {MAX_FILE_BYTES} bytes.")
    return content
