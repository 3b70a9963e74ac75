"""Looks things up in rendered manifests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import yaml

Manifest = Mapping[str, Any]
Manifests = Sequence[Manifest]


def of_kind(manifests: Manifests, kind: str) -> list[Manifest]:
    """Return the manifests of a kind."""
    return [each for each in manifests if each["kind"] == kind]


def only(manifests: Manifests, kind: str, ending: str = "") -> Manifest:
    """Return the one manifest of a kind whose name ends with ``ending``."""
    (found,) = (each for each in of_kind(manifests, kind) if each["metadata"]["name"].endswith(ending))
    return found


def pods(manifests: Manifests) -> Iterator[tuple[str, Manifest]]:
    """Return the template of each pod, with the name of what makes it."""
    for each in manifests:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            yield each["metadata"]["name"], spec["jobTemplate"]["spec"]["template"]
        elif each["kind"] == "Deployment":
            yield each["metadata"]["name"], spec["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod, whenever they begin."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def container(manifests: Manifests, name: str) -> Manifest:
    """Return the one container with this name."""
    (found,) = (each for _, pod in pods(manifests) for each in containers(pod) if each["name"] == name)
    return found


def gate_pod(manifests: Manifests) -> Manifest:
    """Return what the gate's pods are."""
    spec: Manifest = only(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def volumes(pod_spec: Manifest) -> dict[str, Manifest]:
    """Return the volumes of a pod by name."""
    return {each["name"]: each for each in pod_spec["volumes"]}


def peers(rules: Iterable[Manifest]) -> list[Manifest]:
    """Return all peers of rules of a NetworkPolicy."""
    return [peer for rule in rules for peer in [*rule.get("to", []), *rule.get("from", [])]]


def configuration(manifests: Manifests) -> dict[str, Any]:
    """Return the gate's configuration as its file has it."""
    text = only(manifests, "ConfigMap")["data"]["config.yaml"]
    return cast("dict[str, Any]", yaml.safe_load(text))
