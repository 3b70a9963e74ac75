"""How the pods of the chart begin, live and end."""

import re
import socket
import subprocess
import sys

import pytest

from tests.helm.manifests import container, containers, gate_pod, of_kind, only, volumes
from tests.helm.tools import EXAMPLES, render
from tests.support.processes import free_port

BY_NAME = {each.name.removesuffix("-values.yaml"): each for each in EXAMPLES}
MINIMAL, EVERYTHING, APART = BY_NAME["minimal"], BY_NAME["everything"], BY_NAME["connector-apart"]


def test_the_gate_listens_before_its_connector_brings_requests_and_until_it_has_brought_the_last() -> None:
    """A container that begins before the others and stays is ended after them."""
    pod = gate_pod(render(MINIMAL))

    (gate,) = pod["initContainers"]
    (connector,) = pod["containers"]
    assert (gate["name"], gate["restartPolicy"]) == ("gate", "Always")
    assert gate["startupProbe"]
    assert connector["name"] == "cloudflared"


def test_a_gate_by_itself_stays_until_nobody_sends_requests_to_it_any_more() -> None:
    (gate,) = gate_pod(render(APART))["containers"]

    assert gate["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


@pytest.mark.parametrize(
    ("said", "connector", "whole"),
    [
        pytest.param(None, 30, 70, id="the default"),
        pytest.param("30s", 30, 70, id="the default in words"),
        pytest.param("2m", 120, 250, id="minutes"),
        pytest.param("1m30s", 90, 190, id="minutes and seconds"),
        pytest.param("1h", 180, 3790, id="more than cloudflared takes"),
        pytest.param("1h2m3s", 180, 3913, id="hours, minutes and seconds"),
        pytest.param(45, 45, 100, id="a number"),
        pytest.param(1.5, 2, 14, id="a number with a part of a second"),
        pytest.param(0, 0, 10, id="at once"),
        pytest.param("0s", 0, 10, id="at once in words"),
    ],
)
def test_a_pod_may_take_as_long_to_end_as_the_connector_and_the_gate_in_turn(
    said: str | float | None, connector: int, whole: int
) -> None:
    changes = {} if said is None else {"config.shutdown_timeout": said}
    manifests = render(MINIMAL, changes)

    assert f"--grace-period={connector}s" in container(manifests, "cloudflared")["args"]
    assert gate_pod(manifests)["terminationGracePeriodSeconds"] == whole


def test_a_gate_by_itself_may_take_as_long_as_it_was_told_and_somewhat_longer() -> None:
    assert gate_pod(render(APART))["terminationGracePeriodSeconds"] == 60


def test_a_changed_configuration_replaces_no_pod() -> None:
    """The gate takes it up by itself, and pods that are replaced would end every stream."""
    before, after = (
        render(MINIMAL, {"config.routes.wiki.tools": tools}) for tools in (["search"], ["search", "read"])
    )

    assert only(before, "ConfigMap")["data"] != only(after, "ConfigMap")["data"]
    assert only(before, "Deployment") == only(after, "Deployment")


def test_what_a_gate_cannot_change_while_it_runs_replaces_its_pod() -> None:
    before, after = (
        only(render(MINIMAL, {"config.transport": transport}), "Deployment")
        for transport in ("tls", "tunnel")
    )

    assert before["spec"]["template"] != after["spec"]["template"]


def test_a_new_version_of_the_chart_alone_replaces_no_pod() -> None:
    labels = only(render(EVERYTHING), "Deployment")["spec"]["template"]["metadata"]["labels"]

    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & {*labels}


def test_the_gates_arguments_are_those_of_its_command() -> None:
    gate = container(render(MINIMAL), "gate")
    ran = subprocess.run(
        [sys.executable, "-m", "tunnelgate_app", *gate["args"]],
        text=True,
        capture_output=True,
        check=False,
    )

    assert ran.returncode == 2
    assert "/etc/mcp-gateway/config.yaml: cannot be read" in ran.stderr.replace("\n", " ")


def test_the_file_that_the_gate_is_told_of_is_the_one_that_is_mounted() -> None:
    manifests = render(MINIMAL)
    gate = container(manifests, "gate")
    mounted = {each["name"]: each["mountPath"] for each in gate["volumeMounts"]}

    assert volumes(gate_pod(manifests))["configuration"]["configMap"]["name"] == "gate-tunnelgate"
    (file,) = only(manifests, "ConfigMap")["data"]
    assert gate["args"][-1] == f"{mounted['configuration']}/{file}"


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_probe_asks_whether_somebody_listens(probe: str) -> None:
    command = container(render(MINIMAL), "gate")[probe]["exec"]["command"]
    assert command[0] == "python"

    port = free_port()
    asked = [sys.executable, *(each.replace("8080", str(port)) for each in command[1:])]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 1

    with socket.create_server(("127.0.0.1", port)):
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_gate_that_listens_for_the_pods_address_is_asked_by_the_kubelet(probe: str) -> None:
    gate = container(render(APART), "gate")

    assert gate[probe]["tcpSocket"] == {"port": "gate"}


def test_the_connector_takes_its_token_from_a_file_and_passes_all_it_gets_to_the_gate() -> None:
    connector = container(render(MINIMAL), "cloudflared")

    assert connector["args"] == [
        "tunnel",
        "--no-autoupdate",
        "--metrics=127.0.0.1:20241",
        "--grace-period=30s",
        "run",
        "--token-file=/etc/cloudflared/token/tunnel-token",
        "--url=http://127.0.0.1:8080",
    ]
    assert connector["volumeMounts"][0]["mountPath"] == "/etc/cloudflared/token"


def test_what_the_connector_counts_is_open_to_others_only_where_that_was_asked_for() -> None:
    assert "ports" not in container(render(MINIMAL), "cloudflared")

    manifests = render(EVERYTHING)
    connector, service = container(manifests, "cloudflared"), only(manifests, "Service")
    assert "--metrics=:20241" in connector["args"]
    assert connector["ports"] == [{"name": "metrics", "containerPort": 20241}]
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 20241, "targetPort": "metrics"}]


def test_prometheus_finds_the_service_whose_port_it_is_told() -> None:
    manifests = render(EVERYTHING)
    monitor, service = only(manifests, "ServiceMonitor"), only(manifests, "Service")

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize("name", ["everything", "connector-apart"])
def test_a_service_finds_the_gates_pods_and_no_others(name: str) -> None:
    manifests = render(BY_NAME[name])
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]

    (service,) = of_kind(manifests, "Service")
    assert service["spec"]["selector"].items() <= labels.items()
    for job in of_kind(manifests, "CronJob"):
        others = job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert not service["spec"]["selector"].items() <= others.items()


def test_a_gate_with_its_connector_beside_it_has_no_service() -> None:
    assert not of_kind(render(MINIMAL), "Service")


def test_pods_are_counted_by_the_deployment_or_by_the_autoscaler() -> None:
    assert only(render(MINIMAL), "Deployment")["spec"]["replicas"] == 2

    manifests = render(EVERYTHING)
    scaler = only(manifests, "HorizontalPodAutoscaler")
    assert "replicas" not in only(manifests, "Deployment")["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == only(manifests, "Deployment")["metadata"]["name"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 8)


def test_all_pods_can_be_stopped() -> None:
    assert only(render(MINIMAL, {"replicas": 0}), "Deployment")["spec"]["replicas"] == 0


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_pods_that_are_chosen_by_a_budget_or_a_constraint_are_the_gates(name: str) -> None:
    manifests = render(BY_NAME[name])
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        only(manifests, "Deployment")["spec"]["selector"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"],
        *(each["labelSelector"] for each in gate_pod(manifests)["topologySpreadConstraints"]),
    ]

    assert len(selectors) == 4
    assert all(each["matchLabels"].items() <= labels for each in selectors)


@pytest.mark.parametrize("changes", [{"replicas": 1}, {"podDisruptionBudget.enabled": False}])
def test_there_is_no_budget_where_it_would_hold_up_maintenance_or_was_not_wanted(
    changes: dict[str, object],
) -> None:
    assert not of_kind(render(MINIMAL, changes), "PodDisruptionBudget")


def test_the_renewal_signs_the_secret_that_the_gate_shows() -> None:
    manifests = render(EVERYTHING)
    job = container(manifests, "renewal")

    secret = volumes(gate_pod(manifests))["certificate"]["secret"]["secretName"]
    assert job["args"] == [
        "certs",
        "renew",
        f"--output=k8s-secret:{secret}",
        "--authority=/etc/tunnelgate/authority",
        "--renew-before=720h",
        "--cert-duration=2160h",
    ]
    assert job["volumeMounts"] == [
        {"name": "authority", "mountPath": "/etc/tunnelgate/authority", "readOnly": True}
    ]
    assert only(manifests, "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def test_releases_in_one_namespace_have_nothing_in_common() -> None:
    one, other = render(MINIMAL, name="one"), render(MINIMAL, name="other")

    names = [{(each["kind"], each["metadata"]["name"]) for each in manifests} for manifests in (one, other)]
    assert not names[0] & names[1]
    selector = only(one, "Deployment")["spec"]["selector"]["matchLabels"]
    labels = only(other, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= labels.items()


def test_where_pods_are_put_is_said_for_all_of_them() -> None:
    for each in ("Deployment", "CronJob"):
        spec = only(render(EVERYTHING), each)["spec"]
        pod = (spec if each == "Deployment" else spec["jobTemplate"]["spec"])["template"]["spec"]

        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["tolerations"][0]["value"] == "tools"
        assert pod["affinity"]["nodeAffinity"]
        assert pod["priorityClassName"] == "tools"


def test_images_have_a_version() -> None:
    images = [each["image"] for each in containers({"spec": gate_pod(render(MINIMAL))})]

    assert all(re.search(r":\d", each) for each in images)
