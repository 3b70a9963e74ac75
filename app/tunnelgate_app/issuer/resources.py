"""Resources: what tokens are made for, with the scopes that are offered and the form of the tokens.

Specification: RFC 8707 section 2, RFC 6749 section 3.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidScopeError
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

TokenForm = Literal["jwt", "opaque"]
Options = Mapping[str, Sequence[str] | Mapping[str, object]]
ScopeName = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]


class InvalidTargetError(OAuth2Error):
    """The ``resource`` is not one that tokens are made for (RFC 8707 section 2)."""

    error = "invalid_target"
    description = "Name one resource that this issuer makes tokens for."


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource by its ``url``. ``tokens`` says whether its tokens can be read or only introspected."""

    url: str
    scopes: tuple[str, ...] = ()
    tokens: TokenForm = "jwt"

    def choose(self, asked: str | None) -> tuple[str, ...]:
        """Return the scopes in ``asked``, each once, or all that are offered where none is asked for.

        Raises :class:`authlib.oauth2.rfc6749.InvalidScopeError` for a scope that is not offered.
        """
        scopes = tuple(dict.fromkeys((asked or "").split())) or self.scopes
        if not set(scopes) <= set(self.scopes):
            raise InvalidScopeError
        return scopes


class Resources:
    """The resources of an issuer.

    ``options`` maps each URL to a list of scopes, or to ``scopes`` and ``tokens``, which is ``jwt``
    or ``opaque``. Raises :class:`ValueError` with a sentence for anything else.
    """

    def __init__(self, options: Options) -> None:
        self._resources = {url: _resource(url, option) for url, option in options.items()}
        self.scopes = tuple(sorted({scope for each in self._resources.values() for scope in each.scopes}))

    def __contains__(self, url: str) -> bool:
        return url in self._resources

    def named(self, url: str) -> Resource:
        """Return the resource with exactly this URL; raises :class:`InvalidTargetError`."""
        resource = self._resources.get(url)
        if resource is None:
            raise InvalidTargetError
        return resource


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    scopes: tuple[ScopeName, ...] = ()
    tokens: TokenForm = "jwt"


def _resource(url: str, option: Sequence[str] | Mapping[str, object]) -> Resource:
    try:
        options = _Options.model_validate(option if isinstance(option, Mapping) else {"scopes": option})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"resources {url}: {place}: {first['msg']}") from None
    return Resource(url, tuple(dict.fromkeys(options.scopes)), options.tokens)
