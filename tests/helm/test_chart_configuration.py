"""What the gate reads in the file that the chart makes."""

from pathlib import Path
from typing import Any

import pytest

from tests.helm.manifests import Manifests, configuration, gate_pod, only, volumes
from tests.helm.tools import EXAMPLES, render
from tunnelgate import Policy
from tunnelgate.reading.strict_json import is_array, is_object

BY_NAME = {each.name.removesuffix("-values.yaml"): each for each in EXAMPLES}
MINIMAL = BY_NAME["minimal"]
CERTIFICATE = {
    "cert_file": "/etc/tunnelgate/certificate/tls.crt",
    "key_file": "/etc/tunnelgate/certificate/tls.key",
}


def test_the_gate_takes_the_file(manifests: Manifests, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(only(manifests, "ConfigMap")["data"]["config.yaml"], "utf-8")

    assert Policy.from_file(file, {}) == Policy.from_mapping(configuration(manifests))


def test_every_file_that_the_configuration_names_is_mounted(manifests: Manifests) -> None:
    """But not the other way round: what is in a Secret, the chart cannot know."""
    pod = gate_pod(manifests)
    (gate,) = (
        each for each in [*pod.get("initContainers", []), *pod["containers"]] if each["name"] == "gate"
    )
    folders = {mount["mountPath"] for mount in gate["volumeMounts"]}

    named = [each for each in _texts(configuration(manifests)) if each.startswith("/etc/")]
    assert named
    assert {str(Path(each).parent) for each in named} <= folders


def test_every_mount_has_its_volume_and_every_volume_its_mount(manifests: Manifests) -> None:
    pod = gate_pod(manifests)
    mounted = {
        mount["name"]
        for each in [*pod.get("initContainers", []), *pod["containers"]]
        for mount in each["volumeMounts"]
    }

    assert mounted == {*volumes(pod)}


def test_beside_its_connector_the_gate_listens_where_nobody_else_can_connect() -> None:
    assert configuration(render(MINIMAL))["listen_addr"] == "127.0.0.1:8080"


def test_without_one_beside_it_the_gate_listens_for_the_pods_address() -> None:
    assert configuration(render(BY_NAME["connector-apart"]))["listen_addr"] == ":8080"


@pytest.mark.parametrize("listen_addr", [":9999", "unix:/run/gate.sock"])
def test_where_the_gate_listens_is_the_charts_to_say(listen_addr: str) -> None:
    """The values of Anthropic's chart may have these settings, and it sets them all the same."""
    assert (
        configuration(render(MINIMAL, {"config.listen_addr": listen_addr}))["listen_addr"] == "127.0.0.1:8080"
    )


def test_which_certificate_the_gate_shows_is_the_charts_to_say() -> None:
    given = {"cert_file": "/data/tls.crt", "key_file": "/data/tls.key", "client_ca_file": "/x/ca.crt"}

    made = configuration(render(MINIMAL, {"config.tls": given}))
    assert made["tls"] == CERTIFICATE | {"client_ca_file": "/x/ca.crt"}


def test_a_gate_without_a_certificate_speaks_http_in_the_clear() -> None:
    manifests = render(BY_NAME["connector-apart"], {"config.tls": CERTIFICATE})

    assert "tls" not in configuration(manifests)
    assert "certificate" not in volumes(gate_pod(manifests))


def test_beside_its_connector_the_gate_lets_in_the_connector_unless_it_is_told_otherwise() -> None:
    assert configuration(render(MINIMAL))["clients"] == {"allowed_ips": ["127.0.0.1"]}
    assert configuration(render(BY_NAME["everything"]))["clients"] == {"allowed_ips": ["127.0.0.1", "::1"]}


def test_the_first_sealing_key_that_is_named_is_the_first_in_the_file() -> None:
    assert configuration(render(BY_NAME["everything"]))["sealing_keys"] == [
        "/etc/tunnelgate/sealing-keys/new.key",
        "/etc/tunnelgate/sealing-keys/old.key",
    ]


def test_sealing_keys_in_other_files_are_left_as_they_are() -> None:
    files = {"sealingKeys.secretName": "", "config.sealing_keys": ["/etc/tunnelgate/files/keys/a"]}
    manifests = render(MINIMAL, {"files": [{"name": "keys", "secretName": "keys"}], **files})

    assert configuration(manifests)["sealing_keys"] == ["/etc/tunnelgate/files/keys/a"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1048576, id="a whole number that is printed with an exponent by careless templates"),
        pytest.param(123456789012, id="a larger one"),
        pytest.param(0, id="nought"),
        pytest.param(True, id="a truth value"),
        pytest.param("no", id="a text that YAML takes for a truth value"),
        pytest.param("0123", id="a text that YAML takes for a number"),
        pytest.param("1e3", id="a text that looks like a number with an exponent"),
        pytest.param("2026-11-23", id="a text that YAML takes for a date"),
        pytest.param("{{ .Release.Name }}", id="a text that looks like a template"),
        pytest.param("a: b # c\n- d", id="a text that looks like YAML"),
        pytest.param("ä €", id="a text that is not ASCII"),
    ],
)
def test_what_values_say_arrives_in_the_file_as_it_is(value: object) -> None:
    made = configuration(render(MINIMAL, {"config.routes.wiki.claims": {"tenant": value}}))

    arrived = made["routes"]["wiki"]["claims"]["tenant"]
    assert (arrived, type(arrived)) == (value, type(value))


def _texts(value: Any) -> list[str]:
    if is_object(value):
        return [text for each in value.values() for text in _texts(each)]
    if is_array(value):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
