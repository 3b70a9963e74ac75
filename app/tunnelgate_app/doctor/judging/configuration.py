"""The configuration: its faults, its warnings, and who may read the secrets that it names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunnelgate import ConfigurationFault, Policy
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.wording import listed

_SAY = Findings(Layer.CONFIGURATION)
_OTHERS_READ, _OTHERS_WRITE, _GROUP_WRITES = 0o004, 0o002, 0o020


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file with a secret in it, where the configuration names it, and who may do what with it.

    ``mode`` is none where there is no such file.
    """

    path: str
    file: str
    mode: int | None


def findings_of_faults(file: str, faults: Sequence[ConfigurationFault]) -> Iterator[Finding]:
    """Yield what keeps the gate from starting."""
    for fault in faults:
        found = f"{fault.value}: {fault.sentence}" if fault.value else fault.sentence
        advice = (
            f"The gate does not start with it. Correct it; `tunnelgate check --config {file}` reads it again."
        )
        yield _SAY.wrong(fault.path or file, found, advice)


def findings_of_policy(file: str, policy: Policy) -> Iterator[Finding]:
    """Yield that a configuration is one, and what it allows that somebody should know."""
    count = len(policy.routes)
    routes = "1 route" if count == 1 else f"{count} routes"
    yield _SAY.fine(file, f"{routes}: {listed(policy.routes)}")
    for warning in policy.warnings:
        path, _, sentence = warning.partition(": ")
        yield _SAY.warning(
            path, sentence, "Leave it if it is meant; docs/configuration.md says what it allows."
        )


def findings_of_secrets(findings: Findings, secrets: Sequence[SecretFile]) -> Iterator[Finding]:
    """Yield which secrets others than the gate may read or replace."""
    for secret in secrets:
        if secret.mode is None:
            continue
        bits = secret.mode & (_OTHERS_READ | _OTHERS_WRITE | _GROUP_WRITES)
        if bits:
            verb = "read" if bits & _OTHERS_READ else "replace"
            who = "its group" if bits == _GROUP_WRITES else "everybody on this machine"
            yield findings.warning(
                f"{secret.path} = {secret.file}",
                f"{who} may {verb} it, mode {secret.mode:04o}",
                f"chmod 600 {secret.file}, and chown it to the user that the gate runs as.",
            )
