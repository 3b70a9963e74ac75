"""What every grant looks up in the request that it answers."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# The published types of Authlib's server say less than its documentation does.

from typing import TYPE_CHECKING, cast

from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import BaseGrant

from tunnelgate_app.issuer.clients import Client
from tunnelgate_app.issuer.resources import Resource

if TYPE_CHECKING:
    from tunnelgate_app.issuer.server import DevelopmentServer


def server_of(grant: BaseGrant) -> "DevelopmentServer":
    """Return the server that a grant is one of."""
    return cast("DevelopmentServer", grant.server)


def client_of(request: OAuth2Request) -> Client:
    """Return the client that authenticated."""
    return cast("Client", request.client)


def payload_of(request: OAuth2Request) -> dict[str, str]:
    """Return the fields of a request."""
    return request.payload.data if request.payload else {}


def resource_of(grant: BaseGrant) -> Resource:
    """Return the resource that a request names.

    Raises :class:`~tunnelgate_app.issuer.resources.InvalidTargetError`.
    """
    return server_of(grant).resources.named(payload_of(grant.request).get("resource", ""))
