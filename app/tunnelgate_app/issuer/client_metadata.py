"""Client metadata: what a client says about itself, in a registration or in its own document.

Authlib's own check of it takes values of any type, and no private-use scheme; the shape is
pydantic's business here, and the protocol around it Authlib's.

Specification: RFC 7591 section 2, OpenID Connect Registration section 2 for ``application_type``.
"""

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tunnelgate_app.issuer.redirects import check_redirect_uri

MAX_REDIRECT_URIS = 20
GRANT_TYPES = ("authorization_code", "refresh_token")
_MAX_NAME = 100
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and a symbol without a shape
_STACKED = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3}")

AuthenticationMethod = Literal["none", "client_secret_basic", "client_secret_post"]


def _name(name: str | None) -> str | None:
    if name is not None and any(unicodedata.category(each).startswith("C") for each in name):
        raise ValueError("has characters that cannot be seen")
    if name is not None and (_BLANK & set(name) or _STACKED.search(unicodedata.normalize("NFC", name))):
        raise ValueError("has characters that cannot be seen, or that cover others")
    return name


ClientName = Annotated[str | None, Field(max_length=_MAX_NAME), AfterValidator(_name)]
"""What users see of a client: up to a hundred characters, each of which can be seen."""

RedirectUri = Annotated[str, AfterValidator(check_redirect_uri)]
"""A URI that users may be sent to."""


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _grant_types(grant_types: tuple[str, ...]) -> tuple[str, ...]:
    if "authorization_code" not in grant_types:
        raise ValueError("must have authorization_code")
    # What we do not have is left out, which RFC 7591 section 3.2.1 allows and clients read back.
    return tuple(each for each in GRANT_TYPES if each in grant_types)


def _response_types(response_types: tuple[str, ...]) -> tuple[str, ...]:
    if "code" not in response_types:
        raise ValueError("must have code")
    return ("code",)


class ClientMetadata(BaseModel):
    """The metadata that matters here; the rest is passed over.

    Raises :class:`pydantic.ValidationError` for a value of another type or beyond its bounds.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    redirect_uris: Annotated[
        tuple[RedirectUri, ...],
        BeforeValidator(_tuple),
        Field(min_length=1, max_length=MAX_REDIRECT_URIS),
    ]
    client_name: ClientName = None
    token_endpoint_auth_method: AuthenticationMethod = "client_secret_basic"  # noqa: S105 - a method
    grant_types: Annotated[tuple[str, ...], BeforeValidator(_tuple), AfterValidator(_grant_types)] = (
        "authorization_code",
    )
    response_types: Annotated[tuple[str, ...], BeforeValidator(_tuple), AfterValidator(_response_types)] = (
        "code",
    )
    application_type: Literal["native", "web"] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the metadata as it is registered."""
        return self.model_dump(mode="json", exclude_none=True)
