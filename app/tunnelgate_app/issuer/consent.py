"""What keeps a form of ours from being posted by anybody but the person who sees it.

The form carries the request that it shows, signed, for ten minutes, and bound to a cookie. The
cookie cannot have the prefix `__Host-` on plain HTTP, so another application below the same domain
could plant one of its own; what stops that is `Origin`, which is compared as well.

Specification: RFC 9700 section 4.7, RFC 6265bis section 4.1.3, RFC 6454 section 7.
"""

import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from tunnelgate_app.issuer.stores import Clock, fingerprint

LIFETIME = 600  # seconds
_ALGORITHM = "HS256"
_BROWSER = re.compile(r"[A-Za-z0-9_\-]{43}")


class ConsentForms:
    """Seals the requests that forms carry, and opens them again for the same browser."""

    def __init__(self, issuer: str, clock: Clock) -> None:
        url = urlsplit(issuer)
        is_secure = url.scheme == "https"
        default_port = ":443" if is_secure else ":80"  # which browsers leave out
        self.origin = f"{url.scheme}://{url.netloc.lower().removesuffix(default_port)}"
        self.cookie = "__Host-tunnelgate_login" if is_secure else "tunnelgate_login"
        self._secure = "; Secure" if is_secure else ""
        self._clock = clock
        self._key = OctKey.generate_key(256)

    def browser(self, cookies: Mapping[str, str]) -> str:
        """Return the name that a browser has with us, or a new one; two forms may be open at once."""
        name = cookies.get(self.cookie, "")
        return name if _BROWSER.fullmatch(name) else secrets.token_urlsafe(32)

    def set_cookie(self, browser: str) -> str:
        """Return the value of `Set-Cookie` for this browser."""
        return f"{self.cookie}={browser}; Path=/; HttpOnly; SameSite=Lax{self._secure}"

    def seal(self, request: Mapping[str, str], browser: str) -> str:
        """Return the request as its form carries it to this browser."""
        claims = {
            "exp": int(self._clock()) + LIFETIME,
            "browser": fingerprint(browser),
            "request": dict(request),
        }
        return jwt.encode({"alg": _ALGORITHM}, claims, self._key, algorithms=[_ALGORITHM])

    def open(self, sealed: str, cookies: Mapping[str, str], origin: str | None) -> dict[str, str]:
        """Return the request that a form carried.

        Raises :class:`ValueError` with a sentence unless we made the form for this browser, less
        than ten minutes ago, and it was posted from our own page.
        """
        if origin != self.origin:
            raise ValueError("The form was not sent from the page of this issuer.")
        try:
            claims = jwt.decode(sealed, self._key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError):
            raise ValueError("The form was not made by this issuer since it was started.") from None
        if self._clock() >= claims["exp"]:
            raise ValueError("The form is more than ten minutes old.")
        if claims["browser"] != fingerprint(cookies.get(self.cookie, "")):
            raise ValueError("The form was not made for this browser, or the browser takes no cookies.")
        request: dict[str, str] = claims["request"]
        return request
