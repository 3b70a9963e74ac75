"""What can be wrong with a certificate at a tunnel's end: a closed list of names."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class FaultName(StrEnum):
    """What is wrong, by the rules that Anthropic publishes for the certificates of tunnels."""

    CERTIFICATE_UNREADABLE = "certificate-unreadable"
    SEVERAL_CERTIFICATES = "several-certificates"
    INTERMEDIATE_INCLUDED = "intermediate-included"
    PRIVATE_KEY_INCLUDED = "private-key-included"
    OTHER_CONTENT_INCLUDED = "other-content-included"
    TOO_LARGE = "too-large"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    KEY_KIND_NOT_ALLOWED = "key-kind-not-allowed"
    KEY_TOO_SHORT = "key-too-short"
    SIGNATURE_HASH_NOT_ALLOWED = "signature-hash-not-allowed"
    SIGNATURE_WRONG = "signature-wrong"
    NOT_AN_AUTHORITY = "not-an-authority"
    BASIC_CONSTRAINTS_NOT_CRITICAL = "basic-constraints-not-critical"
    KEY_USAGE_WITHOUT_CERT_SIGN = "key-usage-without-cert-sign"
    SUBJECT_KEY_IDENTIFIER_MISSING = "subject-key-identifier-missing"
    AUTHORITY_UNREADABLE = "authority-unreadable"
    AUTHORITY_UNKNOWN = "authority-unknown"
    AUTHORITY_KEY_IDENTIFIER_MISSING = "authority-key-identifier-missing"
    AUTHORITY_KEY_IDENTIFIER_WRONG = "authority-key-identifier-wrong"
    NAMES_MISSING = "names-missing"
    NAME_NOT_COVERED = "name-not-covered"
    SERVER_AUTH_MISSING = "server-auth-missing"
    CRITICAL_EXTENSION_UNKNOWN = "critical-extension-unknown"
    NAME_CONSTRAINTS_EXCLUDE = "name-constraints-exclude"
    KEY_USAGE_NOT_FOR_SERVERS = "key-usage-not-for-servers"
    KEY_UNREADABLE = "key-unreadable"
    KEY_OF_ANOTHER_CERTIFICATE = "key-of-another-certificate"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a certificate; the sentences say what it is, and what to do."""

    name: FaultName
    sentence: str

    def __str__(self) -> str:
        return self.sentence
