"""What an application is told about the TLS connection that a request came over.

::

    scope["extensions"]["tls"] = {
        "server_cert": None,
        "client_cert_chain": ("-----BEGIN CERTIFICATE-----...",),  # empty where there is none
        "client_cert_name": "CN=agent",
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1302,
        "server_name": "docs.example.com",  # None where the client asked for no name
    }

uvicorn says nothing of it, so its protocol classes learn it here. On a connection without TLS
there is no such entry, and no request can bring one. ``server_name`` is no key of the extension's
specification; it is known where the listener's context went through :func:`remember_server_names`.

Specification: https://asgi.readthedocs.io/en/latest/specs/tls.html
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from cryptography.x509 import load_der_x509_certificate

from tunnelgate.asgi import ASGIApp, Receive, Scope, Send

_VERSIONS: Mapping[str | None, int] = {
    "TLSv1": 0x0301,
    "TLSv1.1": 0x0302,
    "TLSv1.2": 0x0303,
    "TLSv1.3": 0x0304,
}

_server_names: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()


def remember_server_names(context: ssl.SSLContext) -> None:
    """Remember, from now on, which name each client of ``context`` asks for (RFC 6066 section 3).

    It takes the place of the context's ``sni_callback``.
    """
    context.sni_callback = _remember_server_name


def _remember_server_name(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    if name is not None:
        _server_names[connection] = name.lower()


def tls_extension(connection: ssl.SSLObject, now: float) -> Mapping[str, Any]:
    """Return what the extension says about ``connection``, whose handshake is complete.

    Of the client's chain there is the first certificate alone, its own. One that cannot be read, or
    is not valid at ``now``, in seconds since 1970, is an error and not in the chain: where a session
    goes on, OpenSSL does not look at the dates again.
    """
    chain, name, error = _client_certificate(connection.getpeercert(binary_form=True), now)
    return {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": error,
        "tls_version": _VERSIONS.get(connection.version()),
        "cipher_suite": _cipher_suite(connection),
        "server_name": _server_names.get(connection),
    }


def _client_certificate(
    certificate: bytes | None, now: float
) -> tuple[tuple[str, ...], str | None, str | None]:
    if certificate is None:
        return (), None, None
    try:
        parsed = load_der_x509_certificate(certificate)
        name = parsed.subject.rfc4514_string()
        valid_from, valid_to = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    except ValueError as error:  # it has a signature, and still need not be what we can read
        return (), None, f"cannot be read: {error}"
    if now < valid_from.timestamp():
        return (), None, f"is not valid before {valid_from.isoformat()}"
    if now > valid_to.timestamp():
        return (), None, f"is not valid after {valid_to.isoformat()}"
    return (ssl.DER_cert_to_PEM_cert(certificate),), name, None


def _cipher_suite(connection: ssl.SSLObject) -> int | None:
    name, *_ = connection.cipher() or (None,)
    numbers = (each["id"] for each in connection.context.get_ciphers() if each["name"] == name)
    return next((number & 0xFFFF for number in numbers), None)


class TlsExtension(asyncio.Protocol):
    """Goes before a protocol class of uvicorn among the bases, and adds the extension to its scopes.

    What it says is found out when a connection begins.
    """

    app: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection, whose handshake is complete where it has TLS."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app = _with_tls(self.app, tls_extension(connection, time.time()))


def _with_tls(app: ASGIApp, tls: Mapping[str, Any]) -> ASGIApp:
    def with_tls(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["extensions"] = {**scope.get("extensions", {}), "tls": dict(tls)}
        return app(scope, receive, send)

    return with_tls
