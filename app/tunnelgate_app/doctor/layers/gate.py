"""The gate itself: its listener with its certificate, and its routes."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from tunnelgate import Policy
from tunnelgate_app.certificates.reading import UnreadableError, read_certificates
from tunnelgate_app.connector.backend import Carrying
from tunnelgate_app.connector.client import tunnel_client
from tunnelgate_app.doctor.findings import Finding, Findings, Layer, is_ok
from tunnelgate_app.doctor.judging.certificates import CertificateFiles, finding_of_shown, findings_of_files
from tunnelgate_app.doctor.judging.configuration import SecretFile, findings_of_secrets
from tunnelgate_app.doctor.judging.listener import finding_of_opening, finding_of_socket
from tunnelgate_app.doctor.judging.routes import (
    finding_of_bare_host,
    finding_of_endpoint,
    finding_of_public_path,
    finding_of_unlisted_host,
    findings_of_names,
)
from tunnelgate_app.doctor.options import Options, Surroundings, gate_address, transport_of
from tunnelgate_app.doctor.trying.certificates import read_files
from tunnelgate_app.doctor.trying.configuration import mode_of
from tunnelgate_app.doctor.trying.gate import GateTrial, RouteAnswers, headers_of_client
from tunnelgate_app.doctor.trying.listener import ListenerTrial, authorities_failure

_LISTENER = Findings(Layer.LISTENER)
_UNLISTED = "tunnelgate-doctor"


@dataclass(frozen=True, slots=True)
class Listener:
    """The findings about the listener, and whether requests can be sent to it."""

    findings: Sequence[Finding]
    is_open: bool


class Gate:
    """Examines the running gate of ``policy``."""

    def __init__(self, policy: Policy, options: Options, surroundings: Surroundings) -> None:
        self._policy = policy
        self._options = options
        self._surroundings = surroundings
        self._names = options.routes(policy)
        self._address = options.gate or gate_address(policy)
        self._transport: Carrying = transport_of(policy)
        self._files = read_files(policy, [] if options.authorities is None else [options.authorities])
        self._authorities = options.authorities or _believed(self._files)

    def client(self) -> httpx2.AsyncClient:
        """Return a client whose every request goes to the gate as through the tunnel."""
        client = tunnel_client(
            self._address,
            authorities=self._authorities,
            transport=self._transport,
            timeout=self._options.seconds,
        )
        client.headers["user-agent"] = "tunnelgate-doctor"
        client.headers.update(headers_of_client(self._policy, self._options.client_address))
        return client

    async def examine_listener(self) -> Listener:
        """Return what is shown, and whether the tunnel would believe it."""
        now = datetime.fromtimestamp(self._surroundings.clock(), UTC)
        findings = self._of_files(now)
        trial = ListenerTrial(self._address, self._transport, self._options.seconds)
        socket = finding_of_socket(str(self._address), await trial.connect())
        findings.append(socket)
        unusable = authorities_failure(self._authorities) if self._transport != "http" else ""
        if unusable:
            advice = "Name the certificate of the tunnel's CA, in PEM."
            findings.append(_LISTENER.wrong(f"--ca {self._authorities}", unusable, advice))
        if unusable or not is_ok([socket]):
            return Listener(findings, is_open=False)
        urls = [self._policy.endpoints(name)[0] for name in self._names]
        async with self.client() as client:
            opened = await trial.open(client, urls)
        shown = await trial.look(opened[0].hostname)
        findings += self._of_shown(shown.certificate)
        findings += [finding_of_opening(each, shown.version) for each in opened]
        return Listener(findings, is_open=any(not each.failure for each in opened))

    async def examine_routes(self) -> tuple[list[Finding], list[RouteAnswers]]:
        """Return where each hostname and path leads, with what was answered."""
        async with self.client() as client:
            trial = GateTrial(self._policy, client, self._options.seconds)
            unlisted, answers = await asyncio.gather(
                trial.ask_unlisted(_UNLISTED), asyncio.gather(*map(trial.ask_route, self._names))
            )
        findings: list[Finding] = []
        for each in answers:
            findings += _of_route(each)
        return [
            *findings,
            finding_of_unlisted_host(unlisted),
            *findings_of_names(self._policy, self._names),
        ], answers

    def _of_files(self, now: datetime) -> list[Finding]:
        if self._files is None:
            found = (
                "there is none, so HTTP comes in the clear; Anthropic's tunnel brings TLS, which needs one"
            )
            return [_LISTENER.skipped("the certificate of tls", found)]
        hostnames = [self._policy.hostnames(name)[0] for name in self._names]
        key = SecretFile("tls.key_file", self._files.key.name, mode_of(self._files.key.name))
        return [*findings_of_files(self._files, hostnames, now), *findings_of_secrets(_LISTENER, [key])]

    def _of_shown(self, shown: bytes) -> list[Finding]:
        if not shown or self._files is None or self._files.server.failure:
            return []
        try:
            of_file = read_certificates(self._files.server.content)[0].fingerprint
        except UnreadableError:
            return []
        fingerprints = (hashlib.sha256(shown).hexdigest(), of_file)
        return [finding_of_shown(self._files, fingerprints=fingerprints)]


def _believed(files: CertificateFiles | None) -> Path | None:
    """Return the CA beside the certificate of the gate, which stands for itself where there is none."""
    if files is None:
        return None
    return Path((*files.authorities, files.server)[0].name)


def _of_route(answers: RouteAnswers) -> list[Finding]:
    name = answers.name
    findings = [finding_of_endpoint(name, each) for each in answers.endpoints]
    if answers.bare is not None:
        findings.append(finding_of_bare_host(name, answers.bare, answers.url))
    if answers.public is not None:
        findings.append(finding_of_public_path(name, answers.public))
    if not findings:
        found = "it lists nothing and has no public path, so the gate refuses every request for it"
        findings.append(
            Findings(Layer.ROUTES).skipped(name, found, "`tunnelgate import` proposes a list of tools.")
        )
    return findings
