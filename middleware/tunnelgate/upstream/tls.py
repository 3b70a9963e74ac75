"""How the gate speaks TLS to upstreams: whose certificates it believes, and which one it shows.

The name in the URL must be one of the certificate's subject alternative names; a common name is
not looked at.

Specification: RFC 9110 section 4.3.4, RFC 9525 section 6.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from tunnelgate.errors import ConfigurationError, ConfigurationFault
from tunnelgate.tls_files import TlsFileLoader, new_context


@dataclass(frozen=True, slots=True)
class ClientTlsFiles:
    """Whose certificates are believed, and the certificate that is shown to who demands one.

    ``ca_file`` has certificates of CAs; ``include_system_cas`` believes those of the system as well,
    or of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. ``cert_file`` has the gate's certificate, then those
    that lead to its CA; ``key_file`` has its private key, without a password. All in PEM.
    """

    ca_file: str | Path | None = None
    include_system_cas: bool = False
    cert_file: str | Path | None = None
    key_file: str | Path | None = None


def open_client_tls(
    files: ClientTlsFiles, *, path: str = "upstream.tls", clock: Callable[[], float] = time.time
) -> ssl.SSLContext:
    """Return what a client needs to speak TLS 1.2 and 1.3 with these files.

    ``path`` is where they stand in the configuration. A certificate that is out of date by ``clock``,
    in seconds since 1970, is logged and used, and so is a private key among the CAs.
    Raises :class:`~tunnelgate.ConfigurationError` with every fault that the files have.
    """
    context = new_context(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    loader = TlsFileLoader(context)
    if files.ca_file is not None:
        loader.load_authorities(f"{path}.ca_file", files.ca_file)
    if files.cert_file is not None and files.key_file is not None:
        loader.load_own(f"{path}.cert_file", files.cert_file, f"{path}.key_file", files.key_file)
    faults = loader.faults + _missing(files, path)
    if faults:
        raise ConfigurationError(path, faults)
    if files.include_system_cas:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    loader.warn(datetime.fromtimestamp(clock(), UTC))
    return context


@cache
def system_tls() -> ssl.SSLContext:
    """Return what a client needs that believes the system's CAs alone, as for issuers.

    Reading them takes some 50 ms, so it is done once.
    """
    return open_client_tls(ClientTlsFiles(include_system_cas=True))


def _missing(files: ClientTlsFiles, path: str) -> list[ConfigurationFault]:
    faults: list[ConfigurationFault] = []
    if files.ca_file is None and not files.include_system_cas:
        sentence = "believes no certificate: name a ca_file, or set include_system_cas: true"
        faults.append(ConfigurationFault(path, "", sentence))
    if files.key_file is None and files.cert_file is not None:
        sentence = "is missing: a certificate cannot be shown without its key"
        faults.append(ConfigurationFault(f"{path}.key_file", "", sentence))
    if files.cert_file is None and files.key_file is not None:
        sentence = "is missing: a key alone shows nothing"
        faults.append(ConfigurationFault(f"{path}.cert_file", "", sentence))
    return faults
