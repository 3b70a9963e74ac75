"""What Helm and the schemas of Kubernetes say of the chart."""

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.helm.manifests import Manifests, of_kind, only
from tests.helm.tools import (
    EXAMPLES,
    OLDEST_KUBERNETES,
    ChartError,
    lint,
    render,
    service_monitor_schema,
    template,
)
from tunnelgate.reading.strict_json import is_array, is_object

VERSIONS = (OLDEST_KUBERNETES, "1.34.0", str(kubernetes_validate.latest_version()))
EVERYTHING = next(each for each in EXAMPLES if each.name.startswith("everything"))
FOREIGN = {"ServiceMonitor"}


def test_helm_finds_nothing_to_complain_about(example: Path) -> None:
    assert "0 chart(s) failed" in lint(example)


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_what_a_version_of_kubernetes_takes(manifests: Manifests, version: str) -> None:
    for each in manifests:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate({**each}, version, strict=True)


def test_the_schemas_of_kubernetes_would_find_a_misspelled_key() -> None:
    (deployment,) = of_kind(render(EVERYTHING), "Deployment")
    spec: dict[str, Any] = {**deployment["spec"], "template": {**deployment["spec"]["template"], "spce": 1}}

    with pytest.raises(kubernetes_validate.ValidationError, match="spce"):
        kubernetes_validate.validate({**deployment, "spec": spec}, VERSIONS[-1], strict=True)


def test_a_service_monitor_is_what_the_operator_takes() -> None:
    monitor = only(render(EVERYTHING), "ServiceMonitor")

    jsonschema.validate(monitor, _closed(service_monitor_schema()))


def test_the_schema_of_the_operator_would_find_a_misspelled_key() -> None:
    monitor = only(render(EVERYTHING), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    wrong = {**monitor, "spec": {**monitor["spec"], "endpoints": [{**endpoint, "inteval": "30s"}]}}

    with pytest.raises(jsonschema.ValidationError, match="inteval"):
        jsonschema.validate(wrong, _closed(service_monitor_schema()))


def test_names_that_are_as_long_as_helm_allows_make_manifests_that_kubernetes_takes() -> None:
    manifests = render(EVERYTHING, {"fullnameOverride": ""}, name="r" * 53)

    for each in manifests:
        assert len(each["metadata"]["name"]) <= (52 if each["kind"] == "CronJob" else 63)
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


def test_kubernetes_that_cannot_let_one_container_begin_before_another_is_refused() -> None:
    with pytest.raises(ChartError, match="incompatible with Kubernetes"):
        template(EVERYTHING, kubernetes="1.29.0")


def _closed(schema: Any) -> Any:
    """Return a schema in which no object has keys but those that it names, as the API server prunes them."""
    if is_array(schema):
        return [_closed(each) for each in schema]
    if not is_object(schema):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **closed} if "properties" in schema else closed
