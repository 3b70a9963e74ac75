"""Clients: who may ask this issuer for tokens, and how each of them says who it is.

Specification: RFC 6749 section 2, RFC 7591 section 2.
"""

# pyright: reportIncompatibleMethodOverride=false
# The published types of Authlib's models say less than its documentation does.

import hmac
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from authlib.oauth2.rfc6749 import ClientMixin

from tunnelgate_app.issuer.client_metadata import ClientMetadata
from tunnelgate_app.issuer.documents import ClientDocuments
from tunnelgate_app.issuer.ledger import Authorization
from tunnelgate_app.issuer.redirects import is_same_redirect
from tunnelgate_app.issuer.stores import Clock, Store

SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
PUBLIC_METHOD = "none"
CLIENT_CREDENTIALS = "client_credentials"
MAX_REGISTERED = 1000  # clients; the one that was registered first makes room


@dataclass(frozen=True)
class Client(ClientMixin):
    """A client as it was configured, registered or described by itself.

    ``methods`` are its ways to authenticate. ``authorization`` is what the request at hand is
    about, and unset until that is known. Only a client that ``may_introspect`` may ask about tokens.
    ``exchange_from`` are the resources whose tokens it may exchange for others.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)  # Authlib logs its clients
    name: str = ""
    methods: tuple[str, ...] = (PUBLIC_METHOD,)
    grant_types: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    is_native: bool = True
    may_introspect: bool = False
    exchange_from: frozenset[str] = frozenset()
    authorization: Authorization | None = None

    @classmethod
    def configured(cls, client_id: str, client_secret: str) -> "Client":
        """Return the client of the configuration, which asks for itself."""
        return cls(
            client_id,
            client_secret,
            methods=tuple(SECRET_METHODS),
            grant_types=(CLIENT_CREDENTIALS,),
            may_introspect=True,
        )

    @classmethod
    def described(
        cls, client_id: str, metadata: ClientMetadata, client_secret: str | None = None
    ) -> "Client":
        """Return a client that users send to us, by what it says about itself."""
        return cls(
            client_id,
            client_secret,
            name=metadata.client_name or "",
            methods=(metadata.token_endpoint_auth_method,),
            grant_types=metadata.grant_types,
            redirect_uris=metadata.redirect_uris,
            is_native=metadata.application_type != "web",
        )

    def with_authorization(self, authorization: Authorization) -> "Client":
        """Return the client as it is in the request that is about ``authorization``."""
        return replace(self, authorization=authorization)

    def get_client_id(self) -> str:
        """Return the ``client_id``."""
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is right; no secret is right for a client that has none."""
        ours = self.client_secret
        return ours is not None and hmac.compare_digest(ours.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether the client may authenticate in this way at this endpoint."""
        return method in self.methods and (endpoint != "introspection" or self.may_introspect)

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the client may use this grant."""
        return grant_type in self.grant_types

    def check_response_type(self, response_type: str) -> bool:
        """Return whether the client may ask for this at the authorization endpoint."""
        return response_type == "code" and "authorization_code" in self.grant_types

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether users may be sent there."""
        return any(
            is_same_redirect(each, redirect_uri, any_port=self.is_native) for each in self.redirect_uris
        )

    def get_default_redirect_uri(self) -> str:
        """Return where users are sent when the request does not say: the only URI that there is."""
        return self.redirect_uris[0] if len(self.redirect_uris) == 1 else ""

    def get_allowed_scope(self, scope: Collection[str] | str | None) -> str:
        """Return the scopes in ``scope``, or all that the request at hand is about.

        Before that is known, what is offered is for the resource to say, and the grant asks it.
        Raises :class:`authlib.oauth2.rfc6749.InvalidScopeError` for any scope beyond these.
        """
        asked = scope if isinstance(scope, str) else " ".join(scope or ())
        if self.authorization is None:
            return asked
        return " ".join(replace(self.authorization.resource, scopes=self.authorization.scopes).choose(asked))


class ClientRegistry:
    """Every client there is: those of the configuration, and those that came by themselves."""

    def __init__(self, configured: Iterable[Client], documents: ClientDocuments, clock: Clock) -> None:
        self._configured = {client.client_id: client for client in configured}
        self._documents = documents
        self._registered: Store[Client] = Store(limit=MAX_REGISTERED, lifetime=math.inf, clock=clock)

    async def prepare(self, client_id: str) -> None:
        """Get the client's own document where its ``client_id`` is the URL of one.

        Raises :class:`~tunnelgate_app.issuer.documents.DocumentError`.
        """
        if self._documents.is_document_url(client_id):
            await self._documents.load(client_id)

    def register(self, client: Client) -> None:
        """Remember a client."""
        self._registered.put(client.client_id, client)

    def find(self, client_id: str) -> Client | None:
        """Return the client with this ``client_id``; one with a document has to be prepared before."""
        if client_id in self._configured:
            return self._configured[client_id]
        metadata = self._documents.find(client_id)
        if metadata is not None:
            return Client.described(client_id, metadata)
        return self._registered.get(client_id)
