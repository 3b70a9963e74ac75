"""Deciding: how far a rollout is, and whether a cluster asks for what a record says.

Specification: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

import re
from collections import defaultdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunnelgate_servers.deploy_status.records import Record
from tunnelgate_servers.deploy_status.results import ClusterAnswer, ClusterState, RunningImage

_Count = Annotated[int, Field(ge=0, strict=True)]
_Text = Annotated[str, Field(max_length=1000)]
_IMAGE = re.compile(r"(?P<name>[^@]+?)(:(?P<tag>[^:/@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class Container(_Part):
    """A container of a pod."""

    name: _Text
    image: _Text


class _PodSpec(_Part):
    containers: Annotated[tuple[Container, ...], Field(min_length=1, max_length=100)]


class _Template(_Part):
    spec: _PodSpec


class _Owner(_Part):
    uid: _Text


class _Metadata(_Part):
    uid: _Text
    generation: _Count = 0
    owner_references: tuple[_Owner, ...] = ()


class _Selector(_Part):
    match_labels: Annotated[dict[_Text, _Text], Field(min_length=1)]


class _DeploymentSpec(_Part):
    replicas: _Count = 1
    paused: bool = False
    selector: _Selector
    template: _Template


class _Condition(_Part):
    type: _Text
    reason: _Text = ""


class _DeploymentStatus(_Part):
    observed_generation: _Count = 0
    replicas: _Count = 0
    updated_replicas: _Count = 0
    ready_replicas: _Count = 0
    available_replicas: _Count = 0
    conditions: tuple[_Condition, ...] = ()


class Deployment(_Part):
    """The parts of a deployment that answers are made of."""

    kind: Literal["Deployment"]
    metadata: _Metadata
    spec: _DeploymentSpec
    status: _DeploymentStatus = _DeploymentStatus()

    @property
    def label_selector(self) -> str:
        """What its replica sets are found by."""
        return ",".join(f"{name}={value}" for name, value in self.spec.selector.match_labels.items())


class _ReplicaSetSpec(_Part):
    template: _Template


class _ReplicaSetStatus(_Part):
    replicas: _Count = 0
    ready_replicas: _Count = 0


class _ReplicaSet(_Part):
    metadata: _Metadata
    spec: _ReplicaSetSpec
    status: _ReplicaSetStatus = _ReplicaSetStatus()


class ReplicaSets(_Part):
    """The parts of a list of replica sets that answers are made of."""

    kind: Literal["ReplicaSetList"]
    items: tuple[_ReplicaSet, ...] = ()


def answer_of(
    service: str, record: Record | None, deployment: Deployment, replica_sets: ReplicaSets
) -> ClusterAnswer:
    """Return what the cluster says of a service, and whether it is what the record says."""
    image = _image_of(service, deployment.spec.template)
    state = ClusterState(
        image=image,
        running=_running(service, deployment, replica_sets),
        desired_replicas=deployment.spec.replicas,
        ready_replicas=deployment.status.ready_replicas,
        rollout=_rollout(deployment),
    )
    drift, explanation = _drift(image, record)
    return ClusterAnswer(status="answered", state=state, drift=drift, explanation=explanation)


def _image_of(service: str, template: _Template) -> str:
    """Return the image of the container that is named as the service, or of the first one."""
    containers = template.spec.containers
    return next((each.image for each in containers if each.name == service), containers[0].image)


def _running(service: str, deployment: Deployment, replica_sets: ReplicaSets) -> tuple[RunningImage, ...]:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in replica_sets.items:
        owned = any(owner.uid == deployment.metadata.uid for owner in each.metadata.owner_references)
        if owned and each.status.replicas:
            count = counts[_image_of(service, each.spec.template)]
            count[0] += each.status.replicas
            count[1] += each.status.ready_replicas
    return tuple(
        RunningImage(image=image, replicas=replicas, ready_replicas=ready)
        for image, (replicas, ready) in sorted(counts.items())
    )


def _rollout(deployment: Deployment) -> Literal["complete", "progressing", "failed", "paused"]:
    """Return the state in the order in which `kubectl rollout status` looks at it."""
    spec, status = deployment.spec, deployment.status
    if spec.paused:
        return "paused"
    if status.observed_generation < deployment.metadata.generation:
        return "progressing"
    if any(
        each.type == "Progressing" and each.reason == "ProgressDeadlineExceeded" for each in status.conditions
    ):
        return "failed"
    complete = (
        status.updated_replicas >= spec.replicas
        and status.replicas <= status.updated_replicas
        and status.available_replicas >= status.updated_replicas
    )
    return "complete" if complete else "progressing"


def _drift(image: str, record: Record | None) -> tuple[bool | None, str]:
    if record is None:
        return True, "The cluster has a deployment, and no record says that one was deployed."
    asked, recorded = _IMAGE.fullmatch(image), _IMAGE.fullmatch(record.image)
    if asked is None or recorded is None or asked["name"] != recorded["name"]:
        return True, "The cluster asks for another image than the record."
    if asked["digest"] is not None:
        if asked["digest"] == recorded["digest"]:
            return False, "The cluster asks for the image of the record."
        return True, "The cluster asks for another digest of the image than the record."
    if asked["tag"] == recorded["tag"] and asked["tag"] is not None:
        return None, "The cluster asks for the tag of the record without a digest, which may have moved."
    return True, "The cluster asks for another tag of the image than the record."
