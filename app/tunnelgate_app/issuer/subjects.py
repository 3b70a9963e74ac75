"""Subjects: who tokens can speak for, and what they say about them besides what every token says.

Specification: RFC 7519 section 4, RFC 9068 section 2.2
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import read_json

USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\-]{0,63}")
"""What the name of a user looks like."""

MAX_CLAIMS: Final = 4096
"""How many octets the claims of a subject may have as JSON: twice as many made a token that no gate reads."""

RESERVED: Final = frozenset(
    {
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti"),  # RFC 7519 section 4.1
        *("client_id", "scope", "auth_time", "acr", "amr"),  # RFC 9068 section 2.2
        *("active", "token_type", "username"),  # RFC 7662 section 2.2
        *("act", "may_act"),  # RFC 8693 section 4
        "cnf",  # RFC 7800 section 3.1
        "authorization_details",  # RFC 9396 section 9
    }
)
"""The names of claims that specifications give a meaning in access tokens, and that nobody configures."""

_TYPE: Final = TypeAdapter(dict[str, dict[str, JsonValue]])


def check_users(users: Sequence[str], clients: Collection[str]) -> None:
    """Raise :class:`ValueError` unless ``users`` is a list of names, none of which is that of a client."""
    if isinstance(users, str) or not users:
        raise ValueError(f"users: {users!r} is not a list of names")
    for user in users:
        if USER.fullmatch(user) is None or user in clients:
            raise ValueError(f"users: {user!r} cannot be the name of a user")


class SubjectClaims:
    """The claims of the subjects that have some.

    ``options`` are claims by the subject's name, which is that of a user or of one of ``clients``.
    Raises :class:`ValueError` with a sentence for a name that is reserved, for what is not JSON, and for
    claims of more than :data:`MAX_CLAIMS` octets.
    """

    def __init__(self, options: object, clients: Collection[str]) -> None:
        try:
            claims = _TYPE.validate_python(options)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(("claims", *(str(part) for part in first["loc"][:2])))
            raise ValueError(f"{place}: {first['msg']}") from None
        for subject in claims:
            if subject not in clients and USER.fullmatch(subject) is None:
                raise ValueError(f"claims: {subject!r} is the name of no user and no client")
        self._claims = {subject: _checked(subject, each) for subject, each in claims.items()}

    def of(self, subject: str) -> Mapping[str, Any]:
        """Return the claims of a subject."""
        return self._claims.get(subject, {})


def _checked(subject: str, claims: Mapping[str, JsonValue]) -> Mapping[str, Any]:
    reserved = sorted(RESERVED & claims.keys())
    if reserved:
        raise ValueError(f"claims.{subject}.{reserved[0]}: is what the issuer itself says in a token")
    try:
        octets = json.dumps(claims, allow_nan=False).encode()
        read, _ = read_json(octets)  # as strictly as a gate will
    except (Fault, ValueError):
        raise ValueError(f"claims.{subject}: is not JSON that a gate would read") from None
    if len(octets) > MAX_CLAIMS:
        raise ValueError(f"claims.{subject}: has more than {MAX_CLAIMS} octets")
    return dict(read)
