"""DPoP: a token passes only with a fresh proof, made for this request by the key it is bound to.

::

    Authorization: DPoP <token with cnf.jkt>
    DPoP: <JWT by that key: htm POST, htu https://docs.example.com/mcp, iat now, jti new, ath of the token>

    the same again                      401, DPoP error="invalid_dpop_proof"
    Authorization: Bearer <that token>  401, DPoP error="invalid_token"

With nonces a proof is also one that was made after we said something that nobody could know before.

Specification: RFC 9449 sections 4.3, 7.1, 8.2 and 9.
"""

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from urllib.parse import urlsplit

from joserfc import jws
from joserfc.errors import JoseError

from tunnelgate.asgi import Scope
from tunnelgate.exchange import Clock, Exchange, Principal
from tunnelgate.identifiers import check_url
from tunnelgate.jwks import ALGORITHMS, SignatureRegistry, has_private_part, read_public_key
from tunnelgate.proofs import SchemeName, confirmation
from tunnelgate.reading.dpop import MAX_PROOF, UnverifiedProof, read_proof
from tunnelgate.reading.fault import Fault
from tunnelgate.replays import ReplayWindow
from tunnelgate.sealing import Sealer
from tunnelgate.verdict import Reason

MAX_AGE = 60.0  # seconds that a proof may be old
LEEWAY = 30.0  # seconds that a client's clock may be ahead of ours
NONCE_LIFETIME = 300.0  # seconds

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"[\x21-\x7e]+")
_NONCE = b"dpop-nonce"


class Nonces:
    """Nonces that hold when they were made, so that none has to be remembered.

    Every gate with the same ``sealer`` takes them, and only those for the same ``audience``.
    """

    def __init__(self, sealer: Sealer, audience: str) -> None:
        self._sealer = sealer
        self._context = (_NONCE, audience.encode())

    def make(self, now: float) -> str:
        """Return the nonce of the moment ``now``, in seconds since the epoch."""
        return self._sealer.seal(b"%d" % now, self._context)

    def age(self, nonce: str, now: float) -> float | None:
        """Return how many seconds ago a nonce was made, or ``None`` for what is none of ours."""
        made = self._sealer.open(nonce, self._context)
        return None if made is None else now - int(made)


class DPoP:
    """Takes tokens with `cnf.jkt`, each time with a new proof by that key.

    ``urls`` are those of the one endpoint behind this, as clients write it: that a proof names one
    of them is checked, and not which path the request has. ``replays`` remembers the proofs;
    ``nonces`` are demanded where they are given. ``max_age`` is how many seconds a proof may be
    old; ``clock`` returns seconds since the epoch.
    Raises :class:`ValueError` for a URL that is none, and for what would take no proof or one twice.
    """

    scheme: SchemeName = "dpop"

    def __init__(
        self,
        urls: Iterable[str],
        *,
        replays: ReplayWindow | None = None,
        nonces: Nonces | None = None,
        max_age: float = MAX_AGE,
        clock: Clock = time.time,
    ) -> None:
        self._urls: set[str | None] = set()  # of texts: what check_url takes has a normal form
        for url in urls:
            check_url(url)
            self._urls.add(_normal(url))
        if not self._urls:
            raise ValueError("there are no urls, so every proof would be refused")
        if not max_age > 0:
            raise ValueError(f"max_age {max_age!r} is no time, so every proof would be refused")
        self._max_age = max_age
        self._replays = replays or ReplayWindow(max_age + LEEWAY)
        if self._replays.seconds < max_age + LEEWAY:
            raise ValueError(f"replays forgets a proof that may be shown for {max_age + LEEWAY:g} seconds")
        self._nonces = nonces
        self._clock = clock
        self._algorithms = tuple(sorted(ALGORITHMS))
        self._registry = SignatureRegistry(ALGORITHMS, MAX_PROOF)

    def prepare(self, exchange: Exchange) -> None:
        """Note which algorithms a proof may be signed with."""
        exchange.proof_algorithms = self._algorithms

    def check(self, scope: Scope, exchange: Exchange, token: bytes, principal: Principal) -> None:
        """Check the proof in ``DPoP``; raises ``Fault`` and ``ReplayWindowFull``."""
        thumbprint = confirmation(principal.claims, "jkt")
        if b"dpop" in exchange.head.duplicated:
            raise Fault(Reason.HEADER_DUPLICATED, "dpop")
        raw = exchange.head.fields.pop(b"dpop", None)
        if raw is None:
            raise Fault(Reason.PROOF_MISSING, "")
        proof = read_proof(raw)
        self._check_signature(raw, proof, thumbprint)
        now = self._clock()
        self._check_request(proof, exchange.head.method, token, now)
        self._check_nonce(proof, exchange, now)
        owner = f"{principal.issuer}\0{principal.subject}\0{principal.client_id}"
        if not self._replays.is_new(thumbprint, proof.id, now, owner):
            raise Fault(Reason.PROOF_REPLAYED, "")

    def _check_signature(self, raw: bytes, proof: UnverifiedProof, thumbprint: str) -> None:
        if has_private_part(proof.key):
            raise Fault(Reason.PROOF_MALFORMED, "jwk has a private part")
        try:
            key = read_public_key(proof.key)
        except ValueError as error:
            raise Fault(Reason.PROOF_MALFORMED, f"jwk {error}"[:200]) from None
        if proof.algorithm not in key.algorithms:
            raise Fault(Reason.PROOF_MALFORMED, "the key is for another algorithm")
        if not compare_digest(key.key.thumbprint().encode(), thumbprint.encode()):
            raise Fault(Reason.PROOF_WRONG, "the token is bound to another key")
        try:
            jws.deserialize_compact(raw, key.key, registry=self._registry)
        except (JoseError, ValueError, TypeError) as error:
            raise Fault(Reason.PROOF_WRONG, type(error).__name__) from None

    def _check_request(self, proof: UnverifiedProof, method: str, token: bytes, now: float) -> None:
        token_hash = urlsafe_b64encode(sha256(token).digest()).rstrip(b"=")
        if proof.method != method:
            raise Fault(Reason.PROOF_WRONG, "htm")
        url = _normal(proof.url)
        if url is None or url not in self._urls:
            raise Fault(Reason.PROOF_WRONG, "htu")
        if not -LEEWAY <= now - proof.issued_at <= self._max_age:
            raise Fault(Reason.PROOF_WRONG, "iat")
        if not compare_digest(proof.token_hash.encode(), token_hash):
            raise Fault(Reason.PROOF_WRONG, "ath")

    def _check_nonce(self, proof: UnverifiedProof, exchange: Exchange, now: float) -> None:
        if self._nonces is None:
            return
        age = None if proof.nonce is None else self._nonces.age(proof.nonce, now)
        if age is None or not -LEEWAY <= age <= NONCE_LIFETIME / 2:
            exchange.dpop_nonce = self._nonces.make(now)
        if age is None or not -LEEWAY <= age <= NONCE_LIFETIME:
            raise Fault(Reason.PROOF_NONCE_WRONG, "")


def _normal(url: str) -> str | None:
    """Return a URL in the form in which two spellings of one are equal, without query and fragment."""
    if _URL.fullmatch(url) is None:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if "@" in parts.netloc or not parts.hostname or parts.scheme not in _DEFAULT_PORTS:
        return None
    shown = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{shown}{parts.path or '/'}"
