"""Helm, which scripts/go_tool builds once below .state/, and what it makes of the chart."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml

from tests.support.npm import UnusableError

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tunnelgate"
EXAMPLES = tuple(sorted(CHART.glob("ci/*-values.yaml")))
STATE = ROOT / ".state" / "helm"

OLDEST_KUBERNETES = "1.30.0"
_VERSION = "v4.3.1"
_PROGRAM = ROOT / ".state" / "go" / f"helm-{_VERSION}"
_GO_TOOL = (str(ROOT / "scripts" / "go_tool"), "helm", "helm.sh/helm/v4/cmd/helm", _VERSION)
_GO_PATH = ("/usr/local/go/bin", str(ROOT / ".state" / "go" / "toolchain" / "go" / "bin"))
_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_OPERATOR_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
_MONITORS = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
_MONITOR_FILE = STATE / f"servicemonitors-{_OPERATOR.rpartition('@')[2]}.yaml"
_LIMIT = 60  # seconds that helm may take for anything


class ChartError(Exception):
    """Helm refused the chart with these values; the text is what it said."""


def install() -> None:
    """Install what the checks need, once; raises :class:`UnusableError` where that does not work."""
    if not _PROGRAM.exists() and subprocess.run(_GO_TOOL, stdout=sys.stderr, check=False).returncode:
        raise UnusableError("Helm could not be built.")
    if not _MONITOR_FILE.exists():
        STATE.mkdir(parents=True, exist_ok=True)
        _MONITOR_FILE.write_bytes((_operator_sources() / _MONITORS).read_bytes())


def service_monitor_schema() -> Mapping[str, Any]:
    """Return the schema of a ServiceMonitor, from the resource definition of its operator."""
    definition = yaml.safe_load(_MONITOR_FILE.read_text("utf-8"))
    (version,) = (each for each in definition["spec"]["versions"] if each["name"] == "v1")
    return cast("Mapping[str, Any]", version["schema"]["openAPIV3Schema"])


def lint(values: Path) -> str:
    """Return what ``helm lint --strict`` says; raises :class:`ChartError` where it is not content."""
    return _helm("lint", "--strict", str(CHART), "--values", str(values))


def render(
    values: Path, changes: Mapping[str, Any] = MappingProxyType({}), *, name: str = "gate"
) -> list[dict[str, Any]]:
    """Return the manifests that the chart makes of a file of values, and of changes by their dotted paths.

    Raises :class:`ChartError`.
    """
    return [*yaml.safe_load_all(template(values, _settings(changes), name=name))]


@cache
def template(
    values: Path, settings: tuple[str, ...] = (), *, name: str = "gate", kubernetes: str = OLDEST_KUBERNETES
) -> str:
    """Return the text that ``helm template`` makes; raises :class:`ChartError`."""
    files = ["--values", str(values), *settings]
    return _helm("template", name, str(CHART), "--kube-version", kubernetes, "--namespace", "mcp", *files)


def notes(values: Path, changes: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return what a person is told after an installation."""
    arguments = ["install", "gate", str(CHART), "--dry-run=client", "--namespace", "mcp"]
    said = _helm(*arguments, "--values", str(values), *_settings(changes))
    return said.partition("NOTES:\n")[2]


def _settings(changes: Mapping[str, Any]) -> tuple[str, ...]:
    pairs = (("--set-json", f"{path}={json.dumps(value)}") for path, value in changes.items())
    return tuple(part for pair in pairs for part in pair)


def _helm(*arguments: str) -> str:
    folders = {f"HELM_{each}_HOME": str(STATE / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
    ran = subprocess.run(
        [str(_PROGRAM), *arguments],
        env={**os.environ, **folders, "KUBECONFIG": os.devnull},
        text=True,
        capture_output=True,
        timeout=_LIMIT,
        check=False,
    )
    if ran.returncode:
        raise ChartError(f"{ran.stdout}{ran.stderr}")
    return ran.stdout


def _operator_sources() -> Path:
    go = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", ""), *_GO_PATH)))
    if go is None:
        raise UnusableError("There is no Go, which scripts/go_tool should have fetched.")
    command = [go, "mod", "download", "-json", _OPERATOR]
    ran = subprocess.run(command, cwd=STATE, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        raise UnusableError(f"Go could not fetch the sources of {_OPERATOR}.")
    said = json.loads(ran.stdout)
    if said["Sum"] != _OPERATOR_SUM:
        raise UnusableError(f"{_OPERATOR} has the checksum {said['Sum']}, and not {_OPERATOR_SUM}.")
    return Path(said["Dir"])
