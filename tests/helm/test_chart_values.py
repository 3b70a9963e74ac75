"""Which values are refused, and that each of them is described."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tests.helm.tools import CHART, EXAMPLES, ChartError, render
from tunnelgate.reading.strict_json import is_object

BY_NAME = {each.name.removesuffix("-values.yaml"): each for each in EXAMPLES}
MINIMAL, EVERYTHING, APART = BY_NAME["minimal"], BY_NAME["everything"], BY_NAME["connector-apart"]
EVERYBODY: dict[str, Any] = {}
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
README = (CHART / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"replica": 2}, "additional properties 'replica'", id="a key that does not exist"),
        pytest.param({"image.name": "x"}, "additional properties 'name'", id="nor does this one"),
        pytest.param({"connector.token": "x"}, "additional properties 'token'", id="a secret in the values"),
        pytest.param({"image.repository": ""}, "/image/repository", id="no image"),
        pytest.param({"image.repository": "Gate"}, "/image/repository", id="an image in capitals"),
        pytest.param({"image.repository": "a/gate:1"}, "/image/repository", id="an image with its tag"),
        pytest.param({"image.tag": ":1"}, "/image/tag", id="a tag with its colon"),
        pytest.param({"image.digest": "sha256:12"}, "/image/digest", id="a digest that is too short"),
        pytest.param({"image.digest": "6" * 64}, "/image/digest", id="a digest without its algorithm"),
        pytest.param({"image.pullPolicy": "always"}, "/image/pullPolicy", id="a policy in small letters"),
        pytest.param({"connector.image.tag": ""}, "/connector/image/tag", id="a connector of any version"),
        pytest.param({"replicas": "2"}, "/replicas", id="a number as a text"),
        pytest.param({"replicas": -1}, "/replicas", id="less than no pods"),
        pytest.param({"replicas": 1.5}, "/replicas", id="a pod and a half"),
        pytest.param({"config.routes": {}}, "/config/routes", id="no routes"),
        pytest.param({"config": {}}, "/config/routes", id="no configuration"),
        pytest.param({"config.routes": ["docs"]}, "/config/routes", id="routes as a list"),
        pytest.param({"config.audit": {"file": "/a.jsonl"}}, "/config/audit/file", id="records in a file"),
        pytest.param({"config.shutdown_timeout": "soon"}, "/config/shutdown_timeout", id="no duration"),
        pytest.param({"config.shutdown_timeout": -1}, "/config/shutdown_timeout", id="a time before now"),
        pytest.param({"config.upstream": {"allowed_ips": "10.0.0.0/8"}}, "allowed_ips", id="no list"),
        pytest.param({"files": [{"name": "a"}]}, "/files/0", id="files of nothing"),
        pytest.param(
            {"files": [{"name": "a", "secretName": "a", "configMapName": "a"}]}, "/files/0", id="files of two"
        ),
        pytest.param({"files": [{"name": "../a", "secretName": "a"}]}, "/files/0/name", id="files elsewhere"),
        pytest.param({"certificate.secretName": "A_b"}, "/certificate/secretName", id="no name of a Secret"),
        pytest.param({"renewal.renewBefore": "30d"}, "/renewal/renewBefore", id="a duration in days"),
        pytest.param({"renewal.certDuration": ""}, "/renewal/certDuration", id="no duration at all"),
        pytest.param({"renewal.schedule": "daily"}, "/renewal/schedule", id="no schedule of cron"),
        pytest.param({"renewal.apiServer.ports": []}, "/renewal/apiServer/ports", id="no port of the API"),
        pytest.param({"sealingKeys.keys": []}, "/sealingKeys/keys", id="no sealing key"),
        pytest.param({"sealingKeys.keys": ["../a"]}, "/sealingKeys/keys/0", id="a sealing key elsewhere"),
        pytest.param({"autoscaling.minReplicas": 0}, "/autoscaling/minReplicas", id="scaled down to nothing"),
        pytest.param(
            {"autoscaling.targetCPUUtilizationPercentage": 101},
            "/autoscaling/targetCPUUtilizationPercentage",
            id="busier than busy",
        ),
        pytest.param(
            {"podDisruptionBudget.maxUnavailable": 0},
            "/podDisruptionBudget/maxUnavailable",
            id="a budget that holds up all maintenance",
        ),
        pytest.param(
            {"topologySpread.whenUnsatisfiable": "Never"},
            "/topologySpread/whenUnsatisfiable",
            id="no such word",
        ),
        pytest.param({"networkPolicy.edge.cidrs": []}, "/networkPolicy/edge/cidrs", id="no edge"),
        pytest.param(
            {"networkPolicy.edge.cidrs": ["198.41.192.1"]}, "/networkPolicy/edge/cidrs/0", id="no network"
        ),
        pytest.param({"networkPolicy.upstreamPorts": [0]}, "/networkPolicy/upstreamPorts/0", id="port 0"),
        pytest.param({"networkPolicy.dns.ports": [65536]}, "/networkPolicy/dns/ports/0", id="port 65536"),
        pytest.param({"networkPolicy.dns.peers": [EVERYBODY]}, "/networkPolicy/dns/peers/0", id="everybody"),
        pytest.param(
            {"networkPolicy.dns.peers": [{"podselector": EVERYBODY}]},
            "additional properties 'podselector'",
            id="a typo",
        ),
        pytest.param({"service.port": "http"}, "/service/port", id="a port by its name"),
        pytest.param({"podLabels": {"team": 7}}, "/podLabels/team", id="a label that is no text"),
        pytest.param({"resources.limit": {}}, "additional properties 'limit'", id="resources with a typo"),
        pytest.param(
            {"metrics.serviceMonitor.interval": "30"},
            "/metrics/serviceMonitor/interval",
            id="no unit of time",
        ),
        pytest.param({"fullnameOverride": "Gate!"}, "/fullnameOverride", id="a name that Kubernetes refuses"),
        pytest.param({"fullnameOverride": "g" * 41}, "/fullnameOverride", id="a name that would be cut off"),
    ],
)
def test_a_wrong_value_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ChartError, match=re.escape(sentence)):
        render(MINIMAL, changes)


@pytest.mark.parametrize(
    ("example", "changes", "sentence"),
    [
        pytest.param(
            MINIMAL, {"connector.tokenSecretName": ""}, "connector.tokenSecretName is empty", id="no token"
        ),
        pytest.param(
            MINIMAL, {"certificate.secretName": ""}, "certificate.secretName is empty", id="no certificate"
        ),
        pytest.param(
            MINIMAL,
            {"networkPolicy.connectorPeers": [{"podSelector": EVERYBODY}]},
            "networkPolicy.connectorPeers means nothing",
            id="somebody else may connect beside the connector",
        ),
        pytest.param(
            APART, {"networkPolicy.connectorPeers": []}, "so nobody could connect", id="nobody may connect"
        ),
        pytest.param(APART, {"config.clients": {}}, "config.clients is missing", id="no client is let in"),
        pytest.param(
            APART, {"metrics.enabled": True}, "metrics.enabled is about cloudflared", id="metrics of nobody"
        ),
        pytest.param(
            EVERYTHING,
            {"renewal.authoritySecretName": ""},
            "renewal.authoritySecretName is empty",
            id="no CA",
        ),
        pytest.param(
            APART,
            {"renewal.enabled": True, "renewal.authoritySecretName": "ca"},
            "renewal.enabled needs certificate.secretName",
            id="renewal of nothing",
        ),
        pytest.param(
            MINIMAL,
            {"sealingKeys.secretName": ""},
            "sealingKeys.secretName is empty",
            id="replicas that cannot open what the others sealed",
        ),
        pytest.param(
            EVERYTHING,
            {"sealingKeys.secretName": "", "replicas": 1},
            "sealingKeys.secretName is empty",
            id="replicas that the autoscaler will make",
        ),
        pytest.param(
            MINIMAL, {"config.sealing_keys": ["/k"]}, "which one is meant?", id="sealing keys said twice"
        ),
        pytest.param(
            EVERYTHING,
            {"autoscaling.minReplicas": 9},
            "autoscaling.minReplicas is more",
            id="no number of pods",
        ),
        pytest.param(EVERYTHING, {"metrics.peers": []}, "metrics.peers is empty", id="metrics for nobody"),
        pytest.param(
            MINIMAL,
            {"metrics.serviceMonitor.enabled": True},
            "metrics.serviceMonitor.enabled needs metrics.enabled",
            id="a monitor of nothing",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused(
    example: Any, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ChartError, match="these values do not fit together") as refused:
        render(example, changes)

    assert sentence in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    names = ("connector.tokenSecretName", "certificate.secretName", "sealingKeys.secretName")
    with pytest.raises(ChartError) as refused:
        render(MINIMAL, dict.fromkeys(names, ""))

    assert all(f"{name} is empty" in str(refused.value) for name in names)


def test_a_single_pod_needs_no_shared_keys() -> None:
    assert render(MINIMAL, {"sealingKeys.secretName": "", "replicas": 1})


def test_a_chart_above_this_one_may_have_its_own_values() -> None:
    """Helm hands `global` to every chart below another."""
    assert render(MINIMAL, {"global": {"region": "eu"}})


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_no_section_takes_keys_that_it_does_not_have() -> None:
    """But for the gate's configuration, which the gate checks itself."""
    for path, schema in _sections(SCHEMA, ""):
        if "properties" in schema and not path.startswith("/config"):
            assert schema["additionalProperties"] is False, path


def test_every_value_is_described() -> None:
    for path, schema in _sections(SCHEMA, ""):
        for name, value in schema.get("properties", {}).items():
            assert value["description"].endswith("."), f"{path}/{name}"


def test_every_default_is_in_the_schema_and_everything_in_the_schema_has_a_default() -> None:
    """But for what only charts above this one have."""
    assert {*_leaves(DEFAULTS)} == {*_leaves_of_schema(SCHEMA)} - {"global"}


def test_the_manual_has_every_value_and_no_other() -> None:
    described = {*re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)}

    assert described == {*_leaves(DEFAULTS)}


def _sections(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Return the schema and each one inside it, with where it stands."""
    if not is_object(schema):
        return
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from _sections(value, f"{path}/{name}")
    if "items" in schema:
        yield from _sections(schema["items"], f"{path}/*")
    for name, value in schema.get("definitions", {}).items():
        yield from _sections(value, f"{path}#{name}")


# What is passed on as it is: these have no keys of their own.
_WHOLE = {"affinity", "config", "nodeSelector", "podAnnotations", "podLabels", "tolerations"}


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    is_whole = path in _WHOLE or path.rpartition(".")[2] in {"annotations", "labels", "resources"}
    if is_whole or not is_object(value):
        yield path
        return
    for name, each in value.items():
        yield from _leaves(each, f"{path}.{name}".removeprefix("."))


def _leaves_of_schema(schema: Any, path: str = "") -> Iterator[str]:
    if path in _WHOLE or "properties" not in schema:
        yield path
        return
    for name, each in schema["properties"].items():
        yield from _leaves_of_schema(each, f"{path}.{name}".removeprefix("."))
