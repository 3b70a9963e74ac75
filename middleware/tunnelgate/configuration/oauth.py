"""The sections about issuers and tokens."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from tunnelgate.configuration.types import (
    Algorithm,
    AnswerAge,
    ClaimName,
    EndpointUrl,
    FileName,
    Frozen,
    NetworkText,
    NotEmpty,
    ProofAge,
    Scope,
    Seconds,
    Section,
    TokenType,
    Url,
    VariableName,
)
from tunnelgate.jwks import DEFAULT_ALGORITHMS
from tunnelgate.tokens import ACCESS_TOKEN_TYPE, TokenProfile


class _Client(Section):
    """How the gate authenticates where it is a client itself: by a secret in a file or a variable."""

    client_id: Annotated[str, Field(min_length=1)]
    client_secret_file: FileName | None = None
    client_secret_env: VariableName | None = None
    client_authentication: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"


class IntrospectionClient(_Client):
    """Where the gate asks about opaque tokens, unless the issuer's metadata says it, and as whom.

    ``max_age`` is for how long an answer is used.
    """

    endpoint: EndpointUrl | None = None
    max_age: AnswerAge = 30.0


class Issuer(Section):
    """An authorization server that is trusted, where its keys are, and how it writes its tokens.

    The keys are in a file, at a URL, or where the issuer's metadata says.
    """

    issuer: Url
    jwks_file: FileName | None = None
    jwks_uri: EndpointUrl | None = None
    algorithms: Annotated[Sequence[Algorithm], Frozen, NotEmpty] = tuple(sorted(DEFAULT_ALGORITHMS))
    token_formats: Annotated[Sequence[Literal["jwt", "opaque"]], Frozen, NotEmpty] = ("jwt",)
    token_types: Annotated[Sequence[TokenType], Frozen, NotEmpty] = (ACCESS_TOKEN_TYPE,)
    scope_claims: Annotated[Sequence[ClaimName], Frozen] = ()
    client_id_claim: ClaimName = "client_id"
    token_id_claim: ClaimName = "jti"  # noqa: S105 - a name
    max_token_lifetime: Seconds = 86400.0
    introspection: IntrospectionClient | None = None

    @property
    def profile(self) -> TokenProfile:
        """How its tokens are written."""
        return TokenProfile(
            algorithms=frozenset(self.algorithms),
            types=frozenset(self.token_types),
            scope_claims=tuple(self.scope_claims),
            client_id_claim=self.client_id_claim,
            token_id_claim=self.token_id_claim,
            max_lifetime=self.max_token_lifetime,
        )


class OAuth(Section):
    """Whose tokens are accepted.

    ``allowed_ips`` are where issuers may be asked; by default that is everywhere but on this machine,
    at metadata services and on link-local networks. ``upstream.allow_wrapped`` holds for them too.
    """

    issuers: Annotated[Sequence[Issuer], Frozen, NotEmpty]
    allowed_ips: Annotated[Sequence[NetworkText], Frozen, NotEmpty] | None = None


class Dpop(Section):
    """What DPoP proofs must be like: how old, and whether with a nonce that the gate gave."""

    max_age: ProofAge = 60.0
    require_nonce: bool = False


class TokenRequest(_Client):
    """Where the gate gets tokens for what stands behind it, as whom, and what they are for.

    The endpoint is the one of an ``issuer``'s metadata, or ``token_endpoint``.
    """

    issuer: Url | None = None
    token_endpoint: EndpointUrl | None = None
    scopes: Annotated[Sequence[Scope], Frozen] = ()
    resource: Url | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None


class Credentials(Section):
    """What the application behind a route gets as ``Authorization``; one of these."""

    bearer_file: FileName | None = None
    bearer_env: VariableName | None = None
    client_credentials: TokenRequest | None = None
    token_exchange: TokenRequest | None = None
