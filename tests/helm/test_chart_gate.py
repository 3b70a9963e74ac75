"""The gate itself, with what the chart gives it, in folders as the kubelet makes them."""

import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests.helm.manifests import configuration, container, gate_pod, only, volumes
from tests.helm.tools import EXAMPLES, render
from tests.support.certificates import Authority
from tests.support.leaks import wait_until
from tests.support.processes import Running, environment, free_port, running
from tests.support.tokens import jwks

MINIMAL = next(each for each in EXAMPLES if each.name.startswith("minimal"))
VALUES = {
    "config.oauth.issuers": [
        {"issuer": "https://login.example.com/", "jwks_file": "/etc/tunnelgate/files/issuer/jwks.json"}
    ],
    "files": [{"name": "issuer", "configMapName": "issuer-keys"}],
}
DOMAIN = "abcd1234.tunnel.anthropic.com"
LIMIT = 30  # seconds that anything may take


@dataclass
class Pod:
    """What a node has of a pod: the root of its files, and the port in place of 8080."""

    root: Path
    port: int

    def mount(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Put files where a container has them, or others in their place, as the kubelet does."""
        there = self.root / folder.removeprefix("/")
        there.mkdir(parents=True, exist_ok=True)
        version = Path(tempfile.mkdtemp(prefix="..", dir=there))
        for name, content in files.items():
            (version / name).write_bytes(content)
            (version / name).chmod(0o440)
        (there / "..new").symlink_to(version.name)
        (there / "..new").replace(there / "..data")
        for name in files:
            if not (there / name).is_symlink():
                (there / name).symlink_to(Path("..data", name))

    def here(self, text: str) -> str:
        """Return what a manifest says as it is on this machine."""
        return text.replace("/etc/", f"{self.root}/etc/").replace("8080", str(self.port))

    def configuration(self, **tools: str) -> bytes:
        """Return the gate's file with tools of its route."""
        changes = {f"config.routes.wiki.{name}": value.split() for name, value in tools.items()}
        text: str = only(render(MINIMAL, {**VALUES, **changes}), "ConfigMap")["data"]["config.yaml"]
        return self.here(text).encode()


@pytest.fixture
def authority() -> Authority:
    """Return the CA that the tunnel knows."""
    return Authority("a tunnel's")


@pytest.fixture
def pod(tmp_path: Path, authority: Authority) -> Pod:
    """Return a pod with everything that the chart mounts into it."""
    pod = Pod(tmp_path, free_port())
    shown = authority.issue_for_server(DOMAIN, f"*.{DOMAIN}")
    contents = {
        "configuration": {"config.yaml": pod.configuration()},
        "certificate": {"tls.crt": shown.pem.encode(), "tls.key": shown.key_pem().encode()},
        "sealing-keys": {"sealing.key": b"6" * 64},
        "file-issuer": {"jwks.json": jwks("ES256")},
    }
    manifests = render(MINIMAL, VALUES)
    mounts = container(manifests, "gate")["volumeMounts"]
    assert {each["name"] for each in mounts} == {*contents} < {*volumes(gate_pod(manifests))}
    for each in mounts:
        pod.mount(each["mountPath"], contents[each["name"]])
    return pod


@pytest.fixture
def gate(pod: Pod, tmp_path: Path) -> Generator[Running]:
    """Run the gate as its container does."""
    arguments = [pod.here(each) for each in container(render(MINIMAL, VALUES), "gate")["args"]]
    command = [sys.executable, "-m", "tunnelgate_app", *arguments]
    with running(command, environment(tmp_path), ready="listening on") as gate:
        yield gate


def probe(pod: Pod) -> int:
    """Return the exit code of what the kubelet runs to see whether the gate lives."""
    command = container(render(MINIMAL, VALUES), "gate")["livenessProbe"]["exec"]["command"]
    asked = [sys.executable, *map(pod.here, command[1:])]
    return subprocess.run(asked, capture_output=True, timeout=LIMIT, check=False).returncode


def names_shown(pod: Pod, authority: Authority) -> set[str]:
    """Return the names in the certificate that the gate shows; it must be one of the tunnel's CA."""
    context = ssl.create_default_context(cadata=authority.pem)
    host = f"wiki.{DOMAIN}"
    with (
        socket.create_connection(("127.0.0.1", pod.port), LIMIT) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    names = x509.load_der_x509_certificate(shown or b"").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return {*names.value.get_values_for_type(x509.DNSName)}


def test_the_gate_serves_what_the_chart_gives_it(pod: Pod, gate: Running, authority: Authority) -> None:
    assert f"route configured: wiki.{DOMAIN} to http://wiki.tools.svc.cluster.local:9000" in gate.output
    assert names_shown(pod, authority) == {DOMAIN, f"*.{DOMAIN}"}


def test_the_gate_needs_no_other_file_than_those_that_are_mounted(pod: Pod) -> None:
    manifests = render(MINIMAL, VALUES)

    assert pod.here(configuration(manifests)["tls"]["cert_file"]).startswith(str(pod.root))
    assert all(Path(pod.here(each)).exists() for each in configuration(manifests)["sealing_keys"])


def test_the_probe_finds_a_gate_that_runs_and_makes_it_say_nothing(pod: Pod, gate: Running) -> None:
    before = gate.output

    assert [probe(pod) for _ in range(5)] == [0] * 5
    assert gate.output == before


def test_the_probe_finds_no_gate_where_none_runs(pod: Pod) -> None:
    assert probe(pod) == 1


def test_a_variable_that_a_service_named_tunnelgate_would_make_keeps_the_gate_from_starting(
    pod: Pod, tmp_path: Path
) -> None:
    """Which is why the pods have no such variables."""
    arguments = [pod.here(each) for each in container(render(MINIMAL, VALUES), "gate")["args"]]
    ran = subprocess.run(
        [sys.executable, "-m", "tunnelgate_app", *arguments],
        env=environment(tmp_path, TUNNELGATE_PORT="tcp://10.96.0.7:8080"),
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )

    assert ran.returncode == 2
    assert "TUNNELGATE_PORT" in ran.stderr


def test_a_changed_configmap_is_taken_up_without_a_restart(pod: Pod, gate: Running) -> None:
    pod.mount("/etc/mcp-gateway", {"config.yaml": pod.configuration(tools="search read_page")})

    wait_until(lambda: "configuration reloaded" in gate.output, "reloaded")
    assert probe(pod) == 0


def test_a_configmap_with_a_fault_changes_nothing_and_is_said(
    pod: Pod, gate: Running, authority: Authority
) -> None:
    pod.mount("/etc/mcp-gateway", {"config.yaml": pod.configuration(toools="search")})

    wait_until(lambda: "toools" in gate.output, "refused")
    assert names_shown(pod, authority)
    assert gate.process.poll() is None


def test_a_renewed_certificate_is_shown_without_a_restart(
    pod: Pod, gate: Running, authority: Authority
) -> None:
    renewed = authority.issue_for_server(f"wiki.{DOMAIN}")
    files = {"tls.crt": renewed.pem.encode(), "tls.key": renewed.key_pem().encode()}
    pod.mount("/etc/tunnelgate/certificate", files)

    wait_until(lambda: names_shown(pod, authority) == {f"wiki.{DOMAIN}"}, "renewed")


def test_the_gate_ends_by_itself_well_before_the_kubelet_would_end_it(pod: Pod, gate: Running) -> None:
    gate.process.terminate()

    assert gate.process.wait(LIMIT) in {0, -15}
    assert probe(pod) == 1
