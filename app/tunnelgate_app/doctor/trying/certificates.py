"""Reads the files of the gate's certificate, and of the CAs of its tunnel."""

from collections.abc import Sequence
from pathlib import Path

from tunnelgate import Policy
from tunnelgate_app.doctor.judging.certificates import CertificateFiles, File

# Where `tunnelgate certs` puts the CAs, beside the certificate that they sign.
_AUTHORITIES = ("ca.crt", "ca-next.crt")


def read_files(policy: Policy, authorities: Sequence[Path]) -> CertificateFiles | None:
    """Return what the gate's listener reads, or none where it has no TLS.

    ``authorities`` are the certificates of CAs; those beside the gate's own where none is named.
    """
    if policy.tls is None:
        return None
    beside = Path(policy.tls.cert_file).parent
    found = authorities or [beside / name for name in _AUTHORITIES if (beside / name).exists()]
    return CertificateFiles(_read(policy.tls.cert_file), _read(policy.tls.key_file), tuple(map(_read, found)))


def _read(file: str | Path) -> File:
    try:
        return File(str(file), Path(file).read_bytes())
    except OSError as error:
        return File(str(file), failure=(error.strerror or str(error)).lower())
