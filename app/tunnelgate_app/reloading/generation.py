"""A generation of the gate: everything that one policy needs, of which the next one takes what it can."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunnelgate import AuditSink, ConfigurationError, ConfigurationFault, Policy
from tunnelgate.asgi import Receive, Scope, Send
from tunnelgate.audit import AuditFile
from tunnelgate.calls import Calls
from tunnelgate.chain import Gate, build_gate
from tunnelgate.configuration.faults import path_of
from tunnelgate.configuration.sources import files_of
from tunnelgate.fetching import Fetch
from tunnelgate.fingerprints import fingerprint
from tunnelgate.materials import Materials, gather
from tunnelgate.replays import ReplayWindows
from tunnelgate.upstream.dialling import Resolve
from tunnelgate.upstream.opening import open_fetch, open_upstream
from tunnelgate.upstream.proxy import UpstreamProxy
from tunnelgate_app.lifespans import Stateful
from tunnelgate_app.mounting import Factory, MountError, find_factory, make_application
from tunnelgate_app.reloading.changes import Contents, contents_of, effective_rules, revision_of
from tunnelgate_app.reloading.usage import Usage


@dataclass(frozen=True, slots=True)
class Target:
    """What stands behind a route, and a fingerprint of what it was opened from."""

    app: Stateful | UpstreamProxy
    opened_from: str


@dataclass(frozen=True, slots=True)
class Lasting:
    """What all generations of a gate share: calls, seen proofs, and what they were given from outside."""

    resolve: Resolve
    audit: AuditSink | None
    calls: Calls = field(default_factory=Calls)
    replays: ReplayWindows = field(default_factory=ReplayWindows)


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """One policy at work.

    ``contents`` are fingerprints of its files, and ``rules`` of what decides about each route.
    ``resources`` are what tokens are made for. ``fetch`` is how issuers are asked, and ``fetch_from`` a
    fingerprint of where that may go.
    """

    policy: Policy
    revision: str
    contents: Contents
    rules: Mapping[str, str]
    warnings: tuple[str, ...]
    resources: frozenset[str]
    gate: Gate
    targets: Mapping[str, Target]
    materials: Materials
    fetch: Fetch
    fetch_from: str
    usage: Usage = field(default_factory=Usage)


class Opening:
    """A generation on its way, in three steps, of which the first and the last may run in a thread.

    :meth:`make` calls the factories of mounted applications, and does so in the thread of the event
    loop, as a server does that imports applications itself.
    """

    def __init__(self, policy: Policy, lasting: Lasting, before: Generation | None = None) -> None:
        self.policy = policy
        self.faults: list[ConfigurationFault] = []
        self._lasting = lasting
        self._before = before
        self._contents: Contents = {}
        self._rules: Mapping[str, str] = {}
        self._revision = ""
        self._targets: dict[str, Target] = {}
        self._factories: dict[str, tuple[Factory, str]] = {}
        self._materials: Materials | None = None
        self._fetch_from = fingerprint(
            None if policy.oauth is None else policy.oauth.allowed_ips, policy.upstream.allow_wrapped
        )
        self._fetch: Fetch | None = None

    def begin(self) -> bool:
        """Look into the files of the policy; return whether anything differs from the generation before."""
        # Before they are opened, so that what changes in between is seen as a change.
        self._contents = contents_of(self.policy)
        self._rules = effective_rules(self.policy, self._contents)
        self._revision = revision_of(self.policy, self._contents, self._rules)
        before = self._before
        if before is None or before.revision != self._revision:
            return True
        audit = before.materials.audit
        return isinstance(audit, AuditFile) and not audit.is_in_place

    def open(self) -> None:
        """Open what the policy names; what cannot be had is among the faults."""
        before = self._before
        if before is not None and before.fetch_from == self._fetch_from:
            self._fetch = before.fetch
        else:
            self._fetch = open_fetch(self.policy, resolve=self._lasting.resolve)
        for name in self.policy.routes:
            try:
                self._open_target(name)
            except MountError as error:
                self._note(name, error)
            except ConfigurationError as error:
                self.faults += [each for each in error.faults if each not in self.faults]
        try:
            self._materials = gather(
                self.policy,
                fetch=self._fetch,
                audit=self._lasting.audit,
                before=None if before is None else before.materials,
            )
        except ConfigurationError as error:
            self.faults += error.faults

    def make(self) -> None:
        """Make the applications that were not there before; what does not start is among the faults."""
        for name, (factory, opened_from) in self._factories.items():
            try:
                app = Stateful(make_application(factory, self.policy.routes[name]))
                self._targets[name] = Target(app, opened_from)
            except MountError as error:
                self._note(name, error)

    def join(self) -> Generation:
        """Return the generation; raises :class:`~tunnelgate.ConfigurationError` with every fault."""
        if self.faults or self._materials is None or self._fetch is None:
            raise ConfigurationError("gateway", self.faults)
        targets = {name: self._targets[name] for name in self.policy.routes}
        gate = build_gate(
            self.policy,
            {name: target.app for name, target in targets.items()},
            _nothing_to_start,
            self._materials,
            calls=self._lasting.calls,
            replays=self._lasting.replays,
        )
        return Generation(
            policy=self.policy,
            revision=self._revision,
            contents=self._contents,
            rules=self._rules,
            warnings=self.policy.warnings,
            resources=frozenset(map(self.policy.resource, self.policy.routes)),
            gate=gate,
            targets=targets,
            materials=self._materials,
            fetch=self._fetch,
            fetch_from=self._fetch_from,
        )

    def discard(self) -> None:
        """Close what was opened for this generation alone."""
        audit = None if self._materials is None else self._materials.audit
        if isinstance(audit, AuditFile) and (
            self._before is None or audit is not self._before.materials.audit
        ):
            audit.close()

    def _open_target(self, name: str) -> None:
        route = self.policy.routes[name]
        if route.upstream is None:
            opened_from = fingerprint(route.mount, route.options)
            if not self._keep(name, opened_from):
                self._factories[name] = (find_factory(route), opened_from)
            return
        opened_from = self._upstream_fingerprint(name)
        if not self._keep(name, opened_from):
            app = open_upstream(self.policy, name, resolve=self._lasting.resolve)
            self._targets[name] = Target(app, opened_from)

    def _keep(self, name: str, opened_from: str) -> bool:
        kept = None if self._before is None else self._before.targets.get(name)
        if kept is None or kept.opened_from != opened_from:
            return False
        self._targets[name] = kept
        return True

    def _upstream_fingerprint(self, name: str) -> str:
        policy = self.policy
        parts = {"upstream": policy.upstream, "routes": {name: {"upstream": policy.routes[name].upstream}}}
        files = [self._contents[file] for file in files_of(parts)]
        return fingerprint(parts, files, policy.public_scheme, policy.limits.body_bytes)

    def _note(self, name: str, error: MountError) -> None:
        mount = self.policy.routes[name].mount
        self.faults.append(ConfigurationFault(path_of(("routes", name, "mount")), repr(mount), str(error)))


async def _nothing_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand where a chain has an application to start; those of a gateway start by themselves."""
