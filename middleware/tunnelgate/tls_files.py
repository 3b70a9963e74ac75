"""Reads the files that TLS needs: certificates, the key of the first one, and authorities."""

import logging
import re
import ssl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from tunnelgate.errors import ConfigurationFault

logger = logging.getLogger("tunnelgate")

_OF_ANOTHER_KEY = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")


def new_context(protocol: int) -> ssl.SSLContext:
    """Return a context that speaks HTTP/1.1 over TLS 1.2 and 1.3, and knows no certificates yet.

    ``protocol`` is :data:`ssl.PROTOCOL_TLS_SERVER` or :data:`ssl.PROTOCOL_TLS_CLIENT`.
    """
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsFileLoader:
    """Loads files into ``context``, and collects the faults that they have.

    Each file comes with its path in the configuration, such as ``tls.cert_file``.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.faults: list[ConfigurationFault] = []
        self._context = context
        self._certificates: list[tuple[str, str | Path, Certificate]] = []
        self._with_keys: list[tuple[str, str | Path]] = []

    def load_own(self, cert_path: str, cert_file: str | Path, key_path: str, key_file: str | Path) -> None:
        """Load the certificate to show, with those that lead to its CA, and its private key."""
        certificates = self._read_certificates(cert_path, cert_file)
        if not self._is_key(key_path, key_file) or not certificates:
            return
        try:
            # OpenSSL would otherwise ask at the terminal for a password.
            self._context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason in _OF_ANOTHER_KEY:
                self._add(key_path, key_file, f"is not the key of the first certificate in {cert_file}")
            else:
                self._add(cert_path, cert_file, f"cannot be used: {_reason(error)}")

    def load_authorities(self, path: str, file: str | Path) -> None:
        """Load the certificates of CAs; each of them counts without the CA above it."""
        if not self._read_certificates(path, file, is_public=True):
            return
        try:
            self._context.load_verify_locations(file)
        except ssl.SSLError as error:
            self._add(path, file, f"cannot be used: {_reason(error)}")
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    def warn(self, now: datetime) -> None:
        """Log which certificates are out of date, and where a private key is that nobody needs there."""
        for path, file in self._with_keys:
            logger.warning("%s = %r: has a private key in it, which does not belong there", path, str(file))
        for path, file, certificate in self._certificates:
            if now > certificate.not_valid_after_utc:
                last = certificate.not_valid_after_utc.isoformat()
                logger.warning("%s = %r: a certificate in it expired at %s", path, str(file), last)
            if now < certificate.not_valid_before_utc:
                first = certificate.not_valid_before_utc.isoformat()
                logger.warning("%s = %r: a certificate in it begins only at %s", path, str(file), first)

    def _read_certificates(
        self, path: str, file: str | Path, *, is_public: bool = False
    ) -> Sequence[Certificate]:
        content = self._read(path, file)
        if content is None:
            return ()
        try:
            certificates = load_pem_x509_certificates(content)
        except ValueError:
            self._add(path, file, "has no certificate in PEM, or one that cannot be read")
            return ()
        self._certificates += [(path, file, each) for each in certificates]
        if is_public and _PRIVATE_KEY.search(content) is not None:
            self._with_keys.append((path, file))
        return certificates

    def _is_key(self, path: str, file: str | Path) -> bool:
        content = self._read(path, file)
        if content is None:
            return False
        try:
            load_pem_private_key(content, password=None)
        except TypeError:
            self._add(path, file, "has a password; a gate that starts by itself needs a key without")
            return False
        except (ValueError, UnsupportedAlgorithm):
            self._add(path, file, "has no private key in PEM, or one that cannot be read")
            return False
        return True

    def _read(self, path: str, file: str | Path) -> bytes | None:
        try:
            return Path(file).read_bytes()
        except OSError as error:
            self._add(path, file, f"cannot be read: {error.strerror}")
            return None

    def _add(self, path: str, file: str | Path, sentence: str) -> None:
        self.faults.append(ConfigurationFault(path, repr(str(file)), sentence))


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "OpenSSL does not say why").lower().replace("_", " ")
