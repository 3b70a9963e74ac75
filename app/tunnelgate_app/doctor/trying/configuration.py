"""Reads the configuration and everything that it names, as `tunnelgate serve` would, and starts nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate.materials import Materials, gather
from tunnelgate.upstream.opening import open_fetch
from tunnelgate.upstream.resolving import Resolve
from tunnelgate_app.doctor.judging.configuration import SecretFile
from tunnelgate_app.serving import listener_faults

_PERMISSIONS = 0o7777


@dataclass(frozen=True, slots=True)
class Read:
    """A policy with what it names; without ``materials`` something of that cannot be had."""

    policy: Policy
    materials: Materials | None
    faults: tuple[ConfigurationFault, ...]


def read_configuration(file: Path, environment: Mapping[str, str], resolve: Resolve) -> Read:
    """Return the policy in ``file`` with what it names.

    Raises :class:`~tunnelgate.ConfigurationError` where there is no policy in it.
    """
    policy = Policy.from_file(file, environment)
    faults = listener_faults(policy)
    materials: Materials | None = None
    try:
        fetch = open_fetch(policy, resolve=resolve)
        # Without the file of records: whoever runs the doctor would own it.
        materials = gather(policy, fetch=fetch, audit=_Nowhere(), environment=environment)
    except ConfigurationError as error:
        faults += error.faults
    return Read(policy, materials, tuple(faults))


def secret_files(policy: Policy) -> list[SecretFile]:
    """Return the files of secrets that ``policy`` names, but for the key of its listener."""
    return [SecretFile(path, str(file), mode_of(file)) for path, file in _named(policy) if file is not None]


def mode_of(file: str | Path) -> int | None:
    """Return the permissions of a file, or none where it cannot be looked at."""
    try:
        return Path(file).stat().st_mode & _PERMISSIONS
    except OSError:
        return None


def _named(policy: Policy) -> Iterator[tuple[str, str | Path | None]]:
    for position, file in enumerate(policy.sealing_keys):
        yield path_of(("sealing_keys", position)), file
    yield "upstream.tls.key_file", policy.upstream.tls.key_file
    for position, issuer in enumerate(policy.oauth.issuers if policy.oauth else ()):
        if issuer.introspection is not None:
            path = f"oauth.issuers[{position}].introspection.client_secret_file"
            yield path, issuer.introspection.client_secret_file
    for name, route in policy.routes.items():
        if route.upstream is not None and route.upstream.tls is not None:
            yield path_of(("routes", name, "upstream", "tls", "key_file")), route.upstream.tls.key_file
        if route.credentials is not None:
            path = path_of(("routes", name, "credentials"))
            yield f"{path}.bearer_file", route.credentials.bearer_file
            for kind, request in (
                ("client_credentials", route.credentials.client_credentials),
                ("token_exchange", route.credentials.token_exchange),
            ):
                if request is not None:
                    yield f"{path}.{kind}.client_secret_file", request.client_secret_file


class _Nowhere:
    """Takes records of decisions that nobody makes."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Do nothing."""
