"""Reads a configuration, and notes how its files looked before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate.configuration.sources import beside, files_of, in_full, read_environment, read_yaml
from tunnelgate_app.reloading.stamps import Stamps, is_special, stamps_of


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading ``path``: a policy, or why there is none.

    ``stamps`` are those of the configuration and of each file that it names, from before anything of
    them was read: what changes later looks different.
    """

    path: Path
    stamps: Stamps
    outcome: Policy | ConfigurationError

    @property
    def policy(self) -> Policy:
        """The policy; raises :class:`~tunnelgate.ConfigurationError` where there is none."""
        if isinstance(self.outcome, ConfigurationError):
            raise self.outcome
        return self.outcome


def read_configuration(
    path: Path, environment: Mapping[str, str] | None = None, *, besides: Iterable[str] = ()
) -> Reading:
    """Read the configuration at ``path``; ``besides`` are files to note the stamps of in any case.

    ``environment`` is the process's own unless one is given.
    """
    stamps = stamps_of([str(path), *besides])
    named: Iterable[str]
    try:
        outcome: Policy | ConfigurationError = Policy.from_file(path, environment)
        named = files_of(outcome)
        faults = [ConfigurationFault(file, "", "is no regular file") for file in named if is_special(file)]
        if faults:
            outcome = ConfigurationError(str(path), faults)
    except ConfigurationError as error:
        outcome = error
        named = _named(path, environment)
    return Reading(path, {**stamps_of(named), **stamps}, outcome)


def _named(path: Path, environment: Mapping[str, str] | None) -> Iterable[str]:
    """Return what a file names that may be at fault, so that it is read again when one of them is mended."""
    try:
        data = beside(path.parent, in_full(read_yaml(path)))
        return files_of(read_environment(Policy, data, environment))
    except ConfigurationError:
        return ()
