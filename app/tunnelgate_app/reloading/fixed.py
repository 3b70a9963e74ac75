"""The settings that a gate cannot change while it runs."""

from collections.abc import Iterator

from tunnelgate import ConfigurationFault, Policy

_FIXED = ("listen_addr", "socket_mode", "transport", "shutdown_timeout")
_SENTENCE = "cannot change while the gate runs; restart it"


def fixed_faults(before: Policy, after: Policy) -> list[ConfigurationFault]:
    """Return a fault for each setting that differs and that a running gate cannot take up."""
    return [ConfigurationFault(name, value, _SENTENCE) for name, value in _differing(before, after)]


def _differing(before: Policy, after: Policy) -> Iterator[tuple[str, str]]:
    for name in _FIXED:
        value: object = getattr(after, name)
        if value != getattr(before, name):
            yield name, f"0o{value:o}" if name == "socket_mode" and isinstance(value, int) else repr(value)
    if (before.tls is None) != (after.tls is None):
        yield "tls", ""
