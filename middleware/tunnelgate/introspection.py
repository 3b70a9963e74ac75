"""Introspection: asks an issuer what an opaque token stands for.

An active token is one of which the issuer says ``true``, and nothing else that a program might take
for it. Whom it was made for and until when is judged by our own rules afterwards: an issuer says
the same to everybody who asks.

Specification: RFC 7662 sections 2 and 4.
"""

import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from tunnelgate.client_authentication import ClientSecret
from tunnelgate.discovery import Discovery, locate
from tunnelgate.errors import IssuerUnavailable
from tunnelgate.fetching import OK, Fetch, read_object
from tunnelgate.reading.fault import Fault
from tunnelgate.remembering import Remembered
from tunnelgate.single_flight import SingleFlight
from tunnelgate.verdict import Reason

MAX_ASKING = 64  # questions at once; who comes then is told to come back
MAX_AGE = 30.0  # seconds
MAX_ANSWER = 16384  # octets; as many are remembered as there are tokens, and no claim needs more
_REMEMBERED_REFUSALS = 4096
_SAID_BEFORE = "as the issuer said a moment ago"
_BAD_REQUEST = 400
# RFC 7009 section 2.2.1; what oidc-provider says of its own JWTs, and so of what a caller chose to send.
_NOT_ITS_KIND = "unsupported_token_type"


class Introspection:
    """What one issuer says about opaque tokens.

    ``location`` is the endpoint, or the metadata that names it. ``client`` is how the gate
    authenticates there. ``fetch`` is an HTTP client, see :mod:`tunnelgate.fetching`.
    ``max_age`` is how many seconds an answer is used for, and so for how long a revoked token may
    still pass; ``clock`` returns seconds that only ever grow.
    """

    def __init__(
        self,
        location: str | Discovery,
        fetch: Fetch,
        client: ClientSecret,
        *,
        max_age: float = MAX_AGE,
        max_asking: int = MAX_ASKING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_age = max_age
        self._location = location
        self._fetch = fetch
        self._client = client
        self._max_asking = max_asking
        self._clock = clock
        self._asking = SingleFlight[Mapping[str, Any] | None]()
        self._inactive = Remembered[str](_REMEMBERED_REFUSALS)

    async def ask(self, token: bytes) -> Mapping[str, Any]:
        """Return what the issuer says about an active token.

        Requests with the same token share one question.
        Raises :class:`~tunnelgate.reading.fault.Fault` (``token-inactive``) for any other token and
        :class:`~tunnelgate.errors.IssuerUnavailable` when the issuer does not say.
        """
        digest = sha256(token).digest()
        said_before = self._inactive.get(digest, self._clock())
        if said_before is not None:
            raise Fault(Reason.TOKEN_INACTIVE, said_before)
        if digest not in self._asking and len(self._asking) >= self._max_asking:
            raise IssuerUnavailable(f"more than {self._max_asking} tokens to ask about at once")
        said = await self._asking.run(digest, lambda: self._ask(token, digest))
        if said is None:
            raise Fault(Reason.TOKEN_INACTIVE, "")
        return said

    async def _ask(self, token: bytes, digest: bytes) -> Mapping[str, Any] | None:
        try:
            said = await self._request(token)
        except (OSError, ValueError) as error:
            raise IssuerUnavailable(f"introspection: {error}") from None
        if said["active"] is True:
            return said
        self._inactive.put(digest, _SAID_BEFORE, self._clock() + self.max_age)
        return None

    async def _request(self, token: bytes) -> Mapping[str, Any]:
        url = await locate(self._location, "introspection_endpoint")
        form, headers = self._client.authenticate(
            {"token": token.decode("ascii"), "token_type_hint": "access_token"}
        )
        fetched = await self._fetch(url, form=form, headers=headers)
        if fetched.status not in (OK, _BAD_REQUEST):
            raise OSError(f"status {fetched.status}")
        if fetched.media_type != "application/json":
            raise ValueError("an answer that is not application/json")
        if len(fetched.body) > MAX_ANSWER:
            raise ValueError(f"an answer of more than {MAX_ANSWER} octets")
        said = read_object(fetched.body)
        if fetched.status == _BAD_REQUEST and said.get("error") == _NOT_ITS_KIND:
            return {"active": False}
        if fetched.status != OK:
            raise OSError(f"status {fetched.status}")
        if not isinstance(said.get("active"), bool):
            raise ValueError("an answer that does not say whether the token is active")
        return said
