"""What every pod and container of the chart is denied."""

import pytest

from tests.helm.manifests import Manifests, containers, gate_pod, of_kind, only, pods, volumes
from tests.helm.tools import EXAMPLES, render

EVERYTHING = next(each for each in EXAMPLES if each.name.startswith("everything"))
USER = 65532
# The restricted profile of the Pod Security Standards.
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "projected", "secret"}
FORBIDDEN = ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace")


def test_no_pod_runs_as_root_or_with_calls_that_containers_need_not_make(manifests: Manifests) -> None:
    for name, pod in pods(manifests):
        context = pod["spec"]["securityContext"]

        assert context["runAsNonRoot"] is True, name
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (USER, USER, USER), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name


def test_no_container_is_without_the_hardening(manifests: Manifests) -> None:
    for _, pod in pods(manifests):
        for each in containers(pod):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, each["name"]


def test_no_pod_shares_anything_with_its_node(manifests: Manifests) -> None:
    for name, pod in pods(manifests):
        assert not {*FORBIDDEN} & {*pod["spec"]}, name
        for each in pod["spec"]["volumes"]:
            assert {*each} - {"name"} <= ALLOWED_VOLUMES, name
        for each in containers(pod):
            assert all("hostPort" not in port for port in each.get("ports", [])), name


def test_every_container_says_what_it_needs_and_cannot_take_all_memory(manifests: Manifests) -> None:
    for _, pod in pods(manifests):
        for each in containers(pod):
            assert {*each["resources"]["requests"]} >= {"cpu", "memory"}, each["name"]
            assert "memory" in each["resources"]["limits"], each["name"]


def test_only_the_pods_of_the_renewal_have_a_token_of_the_cluster(manifests: Manifests) -> None:
    for name, pod in pods(manifests):
        assert pod["spec"]["automountServiceAccountToken"] is name.endswith("-renewal")
    for account in of_kind(manifests, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_services_of_the_namespace_put_no_variables_into_the_gate(manifests: Manifests) -> None:
    """A Service named tunnelgate would make TUNNELGATE_PORT, which is no setting: no gate would start."""
    for name, pod in pods(manifests):
        assert pod["spec"]["enableServiceLinks"] is False, name
        assert all("env" not in each and "envFrom" not in each for each in containers(pod)), name


def test_files_are_mounted_so_that_only_the_user_and_its_group_read_them(manifests: Manifests) -> None:
    for name, pod in pods(manifests):
        for each in pod["spec"]["volumes"]:
            source = each.get("secret") or each["configMap"]
            assert source["defaultMode"] == 0o440, name
            assert all("mode" not in item for item in source.get("items", ())), name
        for each in containers(pod):
            assert all(mount["readOnly"] is True for mount in each["volumeMounts"]), each["name"]


def test_no_mount_hides_that_what_is_mounted_has_changed(manifests: Manifests) -> None:
    for _, pod in pods(manifests):
        for each in containers(pod):
            assert all("subPath" not in mount for mount in each["volumeMounts"]), each["name"]


def test_no_single_container_has_both_the_token_and_the_key_that_together_make_an_impostor() -> None:
    pod = {"spec": gate_pod(render(EVERYTHING))}
    mounted = {each["name"]: {mount["name"] for mount in each["volumeMounts"]} for each in containers(pod)}

    assert mounted["cloudflared"] == {"tunnel-token"}
    assert "certificate" in mounted["gate"]
    assert "tunnel-token" not in mounted["gate"]


@pytest.mark.parametrize("secret", ["certificate", "tunnel-token"])
def test_of_a_secret_that_has_more_in_it_only_what_is_needed_is_mounted(secret: str) -> None:
    """The Secret of Anthropic's chart has the certificate, its key, the token and the key of the CA."""
    items = volumes(gate_pod(render(EVERYTHING)))[secret]["secret"]["items"]

    expected = {"certificate": {"tls.crt", "tls.key"}, "tunnel-token": {"tunnel-token"}}
    assert {each["key"] for each in items} == {each["path"] for each in items} == expected[secret]


def test_the_key_of_the_ca_is_in_the_pods_of_the_renewal_and_in_no_others() -> None:
    having = {
        name
        for name, pod in pods(render(EVERYTHING))
        for each in pod["spec"]["volumes"]
        if each.get("secret", {}).get("secretName") == "tunnel-authority"
    }

    assert having == {"gate-renewal"}


def test_the_renewal_may_read_and_write_one_secret_and_nothing_else() -> None:
    manifests = render(EVERYTHING)
    role, binding = only(manifests, "Role"), only(manifests, "RoleBinding")

    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["gate-certificate"],
            "verbs": ["get", "update"],
        }
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "gate-renewal"}]
    assert not of_kind(manifests, "ClusterRole")


def test_the_gate_has_no_rights_in_the_cluster() -> None:
    manifests = render(EVERYTHING)
    account = gate_pod(manifests)["serviceAccountName"]

    bound = [each for role in of_kind(manifests, "RoleBinding") for each in role["subjects"]]
    assert account not in {each["name"] for each in bound}


def test_images_can_be_pinned_by_their_digests() -> None:
    images = {each["name"]: each["image"] for _, pod in pods(render(EVERYTHING)) for each in containers(pod)}

    assert all("@sha256:" in image for image in images.values())
    assert images["gate"] == images["renewal"]


def test_no_manifest_has_a_secret_in_it(manifests: Manifests) -> None:
    assert not of_kind(manifests, "Secret")
