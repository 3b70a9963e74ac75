"""Which certificate a listener shows, and that it can be another one from now on."""

import ssl
from collections.abc import Callable

from tunnelgate.uvicorn_tls import remember_server_names


class ListenerTls:
    """The TLS of a listener; each new connection takes the :attr:`current` context.

    ``context`` is from :func:`~tunnelgate_app.listening.tls_files.open_tls`. What a client asks for by
    name is remembered on each connection: see :mod:`tunnelgate.uvicorn_tls`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        remember_server_names(context)
        self._current = context
        self._withdrawing: list[Callable[[ssl.SSLContext], object]] = []

    @property
    def current(self) -> ssl.SSLContext:
        """The context for the next connection."""
        return self._current

    def on_withdrawal(self, tell: Callable[[ssl.SSLContext], object]) -> None:
        """Let ``tell`` be called with each context by whose CAs no client is known any more."""
        self._withdrawing.append(tell)

    def replace(self, context: ssl.SSLContext, *, with_clients: bool = False) -> None:
        """Use ``context`` from the next connection on; those that are open keep theirs.

        ``with_clients`` says that it trusts other CAs of clients: who has shown a certificate is
        then to show it again, on a new connection.

        Who comes back with a session of the one before is greeted as if it came for the first time:
        each context has keys of its own for what it hands out, and a ticket by others is no error
        (RFC 8446 section 4.2.11, RFC 5077 section 3.1).
        """
        remember_server_names(context)
        before, self._current = self._current, context
        for tell in self._withdrawing if with_clients else ():
            tell(before)
