"""What a new configuration changes, route by route, and a short name for each configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunnelgate import Policy
from tunnelgate.configuration.sources import files_of
from tunnelgate.fingerprints import file_fingerprint, fingerprint

# Settings that say nothing about who may use what of a route, or not the same for each.
_APART = frozenset(
    {
        "audit",
        "listen_addr",
        "log_level",
        "oauth",
        "routes",
        "shutdown_timeout",
        "socket_mode",
        "tls",
        "transport",
        "upstream",
    }
)
_REVISION = 12  # hexadecimal digits

Contents = Mapping[str, str]


def contents_of(policy: Policy) -> Contents:
    """Return a fingerprint for each file that ``policy`` names, an empty one for what cannot be read."""
    return {file: content_of(file) for file in files_of(policy)}


def revision_of(policy: Policy, contents: Contents, rules: Mapping[str, str]) -> str:
    """Return 12 hexadecimal digits that stand for all settings and for what is in the files they name.

    ``rules`` are those of :func:`effective_rules`.
    """
    sections = {name: getattr(policy, name) for name in sorted(_APART - {"routes"})}
    return fingerprint(sections, contents, rules)[:_REVISION]


def effective_rules(policy: Policy, contents: Contents) -> dict[str, str]:
    """Return for each route a fingerprint of all that decides about its requests."""

    def with_files(parts: Mapping[str, object]) -> str:
        return fingerprint(parts, [contents[file] for file in files_of(parts)])

    sections = type(policy).model_fields
    common = with_files({name: getattr(policy, name) for name in sections if name not in _APART})
    upstreams = with_files({"upstream": policy.upstream})
    issuers = {
        each.issuer: with_files({"oauth": {"issuers": [each]}})
        for each in (policy.oauth.issuers if policy.oauth else ())
    }
    allowed_ips = None if policy.oauth is None else policy.oauth.allowed_ips
    client_cas = (
        None if policy.tls is None else with_files({"tls": {"client_ca_file": policy.tls.client_ca_file}})
    )
    return {
        name: fingerprint(
            common,
            with_files({"routes": {name: route}}),
            [issuers[each.issuer] for each in policy.issuers(name)],
            allowed_ips,
            upstreams if route.upstream is not None else None,
            client_cas if route.proof == "mtls" else None,
        )
        for name, route in policy.routes.items()
    }


@dataclass(frozen=True, slots=True)
class Changes:
    """The routes that a new policy has and the one before has not, the other way round, and that differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: frozenset[str]

    def __str__(self) -> str:
        changed = len(self.changed)
        routes = "route" if changed == 1 else "routes"
        return f"{changed} {routes} changed, {len(self.added)} added, {len(self.removed)} removed"


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """Return what differs between two results of :func:`effective_rules`."""
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=frozenset(name for name in after if name in before and before[name] != after[name]),
    )


def content_of(file: str) -> str:
    """Return a fingerprint of what is in ``file``, an empty one where it cannot be read."""
    try:
        return file_fingerprint(Path(file))
    except OSError:
        return ""
