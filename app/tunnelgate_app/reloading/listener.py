"""What a gate's listener takes up of a new configuration, and what it cannot."""

import logging
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate.configuration.sources import files_of
from tunnelgate_app.certificates.expiry import expiry_warnings
from tunnelgate_app.certificates.rules import faults_for_clients
from tunnelgate_app.gateway import Gateway
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.reloading.changes import content_of
from tunnelgate_app.reloading.fixed import fixed_faults
from tunnelgate_app.serving import listener_faults, listener_tls

logger = logging.getLogger("tunnelgate")


class Listener(Protocol):
    """What a gate listens with, as far as a policy says anything about it."""

    def open(self, policy: Policy) -> Callable[[], None]:
        """Return what puts ``policy`` to use; may be called in a thread.

        Raises :class:`~tunnelgate.ConfigurationError` with everything that is in the way.
        """
        ...

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what is to be said of the listener's certificates at ``now``."""
        ...


class OwnListener:
    """The listener of this process, which shows ``tls``; what it began with is the policy of ``gateway``."""

    def __init__(self, gateway: Gateway, tls: ListenerTls | None) -> None:
        self._policy = gateway.policy
        self._tls = tls
        # From before the files were opened: what was written since is then seen as a change.
        self._contents = {file: gateway.contents[file] for file in _files(gateway.policy)}

    def open(self, policy: Policy) -> Callable[[], None]:
        """Return what puts ``policy`` to use.

        Raises :class:`~tunnelgate.ConfigurationError` with every setting that cannot change while the
        gate runs, and every file that cannot be used.
        """
        faults = [*fixed_faults(self._policy, policy), *listener_faults(policy)]
        contents = {file: content_of(file) for file in _files(policy)}
        context: ssl.SSLContext | None = None
        try:
            if contents != self._contents or policy.tls != self._policy.tls:
                context = listener_tls(policy)
        except ConfigurationError as error:
            faults += error.faults
        if faults:
            raise ConfigurationError("gateway", faults)

        with_clients = _clients(policy, contents) != _clients(self._policy, self._contents)

        def use() -> None:
            self._policy, self._contents = policy, contents
            if self._tls is not None and context is not None:
                self._tls.replace(context, with_clients=with_clients)
                logger.info("new connections are shown the certificate that is in tls.cert_file now")

        return use

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return what is to be said of the listener's certificates at ``now``."""
        tls = self._policy.tls
        if tls is None:
            return
        names = [name for route in self._policy.routes for name in self._policy.hostnames(route)]
        yield from _warnings(str(tls.cert_file), now, names)
        if tls.client_ca_file is not None:
            yield from _warnings(str(tls.client_ca_file), now)


class ForeignListener:
    """The listener of another server, to which a policy has nothing to say."""

    def open(self, policy: Policy) -> Callable[[], None]:
        """Return what puts ``policy`` to use; raises :class:`~tunnelgate.ConfigurationError` for TLS."""
        if policy.tls is not None:
            sentence = "is for `tunnelgate serve`; this server has its own options, such as --ssl-certfile"
            raise ConfigurationError("gateway", [ConfigurationFault("tls", "", sentence)])
        return _nothing

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return nothing: its certificates are not ours."""
        return ()


def _clients(policy: Policy, contents: Mapping[str, str]) -> str | None:
    """Return a fingerprint of the CAs whose clients are trusted."""
    file = None if policy.tls is None else policy.tls.client_ca_file
    return None if file is None else contents[str(file)]


def _files(policy: Policy) -> tuple[str, ...]:
    return files_of({"tls": policy.tls})


def _warnings(file: str, now: datetime, names: Sequence[str] | None = None) -> Iterator[str]:
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        yield f"{file} cannot be read: {error.strerror}"
        return
    yield from expiry_warnings(content, file, now)
    for fault in () if names is None else faults_for_clients(content, names):
        yield f"{file}: clients will not take it ({fault.name}). {fault.sentence}"


def _nothing() -> None:
    pass
