"""Requests and replies of the issuer, in our form and in that of Authlib."""

# pyright: reportIncompatibleMethodOverride=false, reportUnknownMemberType=false
# The published types of Authlib's server say less than its documentation does.

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2 import JsonRequest, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload, JsonPayload


@dataclass(frozen=True)
class ClientRequest:
    """A request of a client: the form that was posted or the query, and the headers."""

    fields: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    method: str = "POST"


@dataclass
class Reply:
    """What is answered. Authlib's extensions may still change its ``location``."""

    status: int
    body: Mapping[str, Any]
    headers: dict[str, str]

    @property
    def location(self) -> str:
        """Where the user is sent, or nothing."""
        return self.headers.get("Location", "")

    @location.setter
    def location(self, location: str) -> None:
        self.headers["Location"] = location


class AuthlibRequest(OAuth2Request):
    """A request as Authlib reads it."""

    def __init__(self, request: ClientRequest) -> None:
        # Authlib lets plain HTTP pass for this name; who is served is decided by the connection.
        super().__init__(request.method, "http://localhost/", headers=request.headers)
        self.payload = BasicOAuth2Payload(dict(request.fields))
        self._form = dict(request.fields)

    @property
    def form(self) -> dict[str, str]:
        """The fields again, where Authlib looks for those of a form."""
        return self._form


class AuthlibRegistration(JsonRequest):
    """A registration as Authlib reads it."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        super().__init__("POST", "")
        self.payload = _Metadata(metadata)


class _Metadata(JsonPayload):
    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = dict(metadata)

    @property
    def data(self) -> dict[str, Any]:
        return self._metadata
