"""The image of the gate is built by its own steps, and runs as an engine would run it."""

import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deploy.composing import FOLDER, services
from tests.deploy.dockerfile import read_stages
from tests.image.building import Layers
from tests.image.containers import Container, Mount, mounted, serving

GATE = read_stages()["gate"]
ENTRYPOINT = GATE.last("ENTRYPOINT").exec_form
COMMAND = [*ENTRYPOINT, *GATE.last("CMD").exec_form]
HEALTH = GATE.last("HEALTHCHECK").exec_form
READY = "Application startup complete"
DOMAIN = "abcd1234.tunnel.anthropic.com"
NOBODY = (65532, 65532)


def give(path: Path) -> Path:
    os.chown(path, *NOBODY)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Make what a person makes beside the Compose file; the certificates are made by the image."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.name.startswith("pytest"):
            folder.chmod(0o755)
    (tmp_path / "data").mkdir()
    (tmp_path / "secrets").mkdir(mode=0o711)
    give(tmp_path / "secrets")
    shutil.copytree(FOLDER / "config", tmp_path / "config")
    for name, content in {"sealing-key": "0123456789abcdef" * 4, "gate-client-secret": "secret"}.items():
        file = give_file(tmp_path / "secrets" / name, content)
        file.chmod(0o400)
    return tmp_path


def give_file(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return give(path)


@pytest.fixture
def with_certificate(outside: Path, gate_image: Layers, place: Path) -> Path:
    """Make the certificates as the documentation says: by the service `certs` of the Compose file."""
    service = services()["certs"]
    folder = Mount(outside / "data", "/work/data", read_only=False)
    with mounted(gate_image, place.with_suffix(".certs"), [folder]) as root:
        keeper = Container(
            root, GATE.environment, service["user"], service["cap_add"], service["working_dir"]
        )
        options = ["--domain", DOMAIN, "--output", "data", "--owner", "65532:65532"]
        done = keeper.run(*service["entrypoint"], "init", *options)
        assert done.returncode == 0, done.stderr
    return outside


@pytest.fixture
def container(with_certificate: Path, gate_image: Layers, place: Path) -> Generator[Container]:
    service = services()["gate"]
    mounts = [Mount((with_certificate / each["source"]), each["target"]) for each in service["volumes"]] + [
        Mount(with_certificate / "secrets" / name, f"/run/secrets/{name}") for name in service["secrets"]
    ]
    with mounted(gate_image, place, mounts) as root:
        yield Container(root, GATE.environment, service["user"])


def test_the_gate_listens_is_healthy_and_stops_within_its_time(container: Container) -> None:
    with serving(container, COMMAND, READY) as gate:
        healthy = gate.run(*HEALTH)
        gate.process.send_signal(signal.SIGTERM)
        code = gate.process.wait(30)

    assert healthy.returncode == 0, healthy.stderr
    assert code == 0, gate.output
    assert '"level": "warning"' not in gate.output, "a health check is nothing to be warned of"
    assert f"route configured: docs.{DOMAIN} to http://docs:9000" in gate.output


def test_a_gate_that_does_not_listen_is_not_healthy(container: Container) -> None:
    assert container.run(*HEALTH).returncode != 0


def test_the_gate_reads_its_key_and_not_that_of_the_ca(container: Container) -> None:
    read = "import pathlib, sys; pathlib.Path(sys.argv[1]).read_bytes()"

    assert container.run("python", "-Ic", read, "/data/tls.key").returncode == 0
    refused = container.run("python", "-Ic", read, "/data/ca.key")
    assert "PermissionError" in refused.stderr


@pytest.mark.parametrize(
    "path",
    ["/opt/tunnelgate/bin/written", "/etc/mcp-gateway/written", "/data/written", "/tmp/written", "/written"],
)
def test_what_runs_in_the_image_can_write_nowhere(container: Container, path: str) -> None:
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('')"

    refused = container.run("python", "-Ic", write, path)

    assert "Read-only file system" in refused.stderr or "Permission denied" in refused.stderr


def test_there_is_no_shell_where_none_is_needed(container: Container) -> None:
    assert container.run("/bin/sh", "-c", "true").returncode != 0


def test_all_that_is_installed_can_be_read_and_nothing_changed_by_the_user(gate_image: Layers) -> None:
    folder = gate_image.inside("/opt/tunnelgate")
    status = {path: path.lstat() for path in folder.rglob("*") if not path.is_symlink()}

    assert len(status) > 1000
    assert [path for path, each in status.items() if not each.st_mode & 0o004] == []
    assert [path for path, each in status.items() if each.st_mode & 0o022 or each.st_uid == NOBODY[0]] == []


def test_modules_are_compiled_when_the_image_is_built(gate_image: Layers) -> None:
    packages = next(gate_image.inside("/opt/tunnelgate/lib").glob("python3.*/site-packages"))

    for package in ("tunnelgate", "tunnelgate_app", "uvicorn"):
        sources = {path.stem for path in (packages / package).glob("*.py")}
        compiled = {
            path.name.partition(".")[0] for path in (packages / package / "__pycache__").glob("*.pyc")
        }
        assert sources
        assert sources == compiled


def test_it_starts_as_the_proxy_does_whose_place_it_takes(container: Container) -> None:
    options = ["-config", "/etc/mcp-gateway/config.yaml", "-tunnel-domain", "other.tunnel.anthropic.com"]

    with serving(container, [*ENTRYPOINT, *options], READY) as gate:
        assert "route configured: docs.other.tunnel.anthropic.com" in gate.output


@pytest.mark.parametrize("command", ["certs", "connector", "doctor", "import", "tunnel"])
def test_every_command_of_the_runbook_has_in_the_image_what_it_imports(
    container: Container, command: str
) -> None:
    done = container.run(*ENTRYPOINT, command, "--help")

    assert done.returncode == 0, done.stderr
