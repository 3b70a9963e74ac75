"""What a person reads of the chart: its manual, the manifests without Helm, and its notes."""

from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.helm.manifests import configuration, only
from tests.helm.plain import FILE, plain, shown_values
from tests.helm.tools import CHART, EXAMPLES, notes, render
from tunnelgate import Policy

BY_NAME = {each.name.removesuffix("-values.yaml"): each for each in EXAMPLES}


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """Return the file of values that the manual shows."""
    file = tmp_path / "values.yaml"
    file.write_text(shown_values(), "utf-8")
    return file


def test_the_values_that_the_manual_shows_make_a_gate(shown: Path) -> None:
    policy = Policy.from_mapping(configuration(render(shown)))

    assert [*policy.routes] == ["wiki"]


def test_the_manifests_without_helm_are_what_the_chart_makes() -> None:
    assert FILE.read_text("utf-8") == plain(), "run: .venv/bin/python -m tests.helm.plain"


def test_the_manifests_without_helm_are_taken_by_kubernetes(shown: Path) -> None:
    manifests = [*yaml.safe_load_all(FILE.read_text("utf-8"))]

    assert {each["kind"] for each in manifests} == {each["kind"] for each in render(shown)}
    for each in manifests:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_secrets_that_the_manual_makes_are_those_that_its_values_name(shown: Path) -> None:
    manual = (CHART / "README.md").read_text("utf-8")
    spec = only(render(shown), "Deployment")["spec"]["template"]["spec"]
    named = {each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}

    assert named == {"tunnel-token", "gate-certificate", "gate-sealing-keys"}
    for name in named:
        assert f" {name} --" in manual


def test_every_link_of_the_manual_leads_to_a_file() -> None:
    manual = (CHART / "README.md").read_text("utf-8")
    links = [part.partition(")")[0].partition("#")[0] for part in manual.split("](")[1:]]

    assert links
    assert [each for each in links if not (CHART / each).exists()] == []


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        pytest.param("minimal", "four times", id="how one sees that the connector is connected"),
        pytest.param("minimal", "Nobody renews the certificate", id="that nobody renews the certificate"),
        pytest.param("everything", "--from=cronjob/gate-renewal", id="how one tries a renewal"),
        pytest.param("connector-apart", "http://gate-tunnelgate.mcp.svc:80\n", id="where the gate is"),
        pytest.param("no-network-policy", "There is no NetworkPolicy", id="that nothing limits the network"),
    ],
)
def test_after_an_installation_a_person_is_told(example: str, sentence: str) -> None:
    assert sentence in notes(BY_NAME[example])


def test_what_does_not_concern_an_installation_is_not_said() -> None:
    said = notes(BY_NAME["connector-apart"])

    assert not [each for each in ("cloudflared", "renews", "There is no NetworkPolicy") if each in said]
