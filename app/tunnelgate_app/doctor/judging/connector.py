"""The connector's state: what cloudflared says of itself, and what that means."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from tunnelgate_app.doctor.findings import Finding, Findings, Layer

EXPECTED_CONNECTIONS: Final = 4

_SAY = Findings(Layer.CONNECTOR)
_HA_CONNECTIONS = "cloudflared_tunnel_ha_connections"
_REQUEST_ERRORS = "cloudflared_tunnel_request_errors"
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^}]*)\})? +(?P<value>[0-9.eE+-]+)\b")
_VERSION = re.compile(r'[{,]version="(?P<version>[\w.+-]{1,40})"')
_NOT_FOUND = (
    "Start it as docs/runbook.md says, or name its metrics: --connector-metrics URL. In containers it "
    "listens where the gate does, because they share a network namespace."
)
_NO_CONNECTION = (
    "Its token is missing, truncated or rotated, or port 7844 is blocked, which the edge above shows. A "
    "connector that works logs `Registered tunnel connection` four times."
)
_FEW_CONNECTIONS = (
    "It is still registering, or a region of the edge cannot be reached. During a rolling update some calls "
    "are answered 502."
)
_ERRORS = (
    "Its log says `Unable to reach the origin service` for each. Let --url be the gate's listen_addr, as in "
    "--url http://localhost:8080, and let both share a network namespace. A 500 at the caller and "
    "`No ingress rules were defined` in the log mean that --url is missing."
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was answered at the metrics of a connector: the status of ``/ready``, and both texts."""

    url: str
    ready_status: int
    ready: str
    metrics: str


@dataclass(frozen=True, slots=True)
class NoMetrics:
    """Nobody answered at any of ``urls``; ``is_named`` says that somebody said where to look."""

    urls: Sequence[str]
    failure: str
    is_named: bool


def findings_of_connector(came: Metrics | NoMetrics) -> Iterator[Finding]:
    """Yield what the metrics of cloudflared say, or what it means that there are none."""
    if isinstance(came, NoMetrics):
        yield _missing(came)
        return
    samples = _samples(came.metrics)
    if _HA_CONNECTIONS not in samples:
        found = f"answers {came.ready_status}, and has no {_HA_CONNECTIONS}: it is no cloudflared"
        yield _SAY.wrong(f"{came.url}/metrics", found, _NOT_FOUND)
        return
    yield _of_connections(came, int(samples[_HA_CONNECTIONS]))
    failed = int(samples.get(_REQUEST_ERRORS, 0))
    if failed:
        found = f"{failed} of its requests did not reach the gate since it started"
        yield _SAY.warning(f"{came.url}/metrics", found, _ERRORS)


def _missing(came: NoMetrics) -> Finding:
    if came.is_named:
        return _SAY.wrong(f"{came.urls[0]}/ready", came.failure, _NOT_FOUND)
    first, last = came.urls[0], came.urls[-1].rpartition(":")[2]
    return _SAY.warning(f"{first} to {last}", "no cloudflared answers on its usual ports here", _NOT_FOUND)


def _of_connections(came: Metrics, connections: int) -> Finding:
    tried = f"{came.url}/ready"
    version = _VERSION.search(came.metrics) if "build_info{" in came.metrics else None
    named = f"cloudflared {version['version']}" if version else "cloudflared"
    if not connections:
        found = f"{named} runs and has no connection to the edge, status {came.ready_status}"
        return _SAY.wrong(tried, found, _NO_CONNECTION)
    found = f"{named} has {connections} of {EXPECTED_CONNECTIONS} connections to the edge"
    if connections < EXPECTED_CONNECTIONS:
        return _SAY.warning(tried, found, _FEW_CONNECTIONS)
    return _SAY.fine(tried, found)


def _samples(text: str) -> dict[str, float]:
    """Return the samples without labels by their names, of the text format of Prometheus."""
    samples: dict[str, float] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match["labels"]:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if isfinite(value):
            samples[match["name"]] = value
    return samples
