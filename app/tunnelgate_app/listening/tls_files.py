"""Opens the files with which a listener speaks TLS."""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tunnelgate import ConfigurationError
from tunnelgate.tls_files import TlsFileLoader, new_context


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a TLS listener, all in PEM.

    ``cert_file`` has the listener's certificate, then those that lead to its CA; ``key_file`` has the
    private key, without a password. Where there is a ``client_ca_file``, each client is asked for a
    certificate by one of the CAs in it, and may come without one.
    """

    cert_file: str | Path
    key_file: str | Path
    client_ca_file: str | Path | None = None


def open_tls(files: TlsFiles, *, clock: Callable[[], float] = time.time) -> ssl.SSLContext:
    """Return what a listener needs to speak TLS 1.2 and 1.3 with these files.

    A client that offers protocols without ``http/1.1`` is taken all the same, and none is agreed on.

    A certificate that is out of date by ``clock``, in seconds since 1970, is logged and used.
    Raises :class:`~tunnelgate.ConfigurationError` with every fault that the files have.
    """
    context = new_context(ssl.PROTOCOL_TLS_SERVER)
    loader = TlsFileLoader(context)
    loader.load_own("tls.cert_file", files.cert_file, "tls.key_file", files.key_file)
    if files.client_ca_file is not None:
        loader.load_authorities("tls.client_ca_file", files.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        # Who resumes a session has not shown a certificate that is still valid.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    if loader.faults:
        raise ConfigurationError("tls", loader.faults)
    loader.warn(datetime.fromtimestamp(clock(), UTC))
    return context
