"""How far a rollout is, and whether a cluster asks for what a record says."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.servers.deploy_status.cluster_server import IMAGE, deployment, pods, replica_sets
from tests.servers.deploy_status.releasing import HISTORY, digest, path
from tunnelgate_servers.deploy_status.cluster.rollout import Deployment, ReplicaSets, answer_of
from tunnelgate_servers.deploy_status.records import Record, read_release
from tunnelgate_servers.deploy_status.results import ClusterAnswer

RECORD = read_release(path(6), HISTORY[path(6)].encode()).record
NAME = "registry.example.com/shop/checkout"


def said_of(found: dict[str, Any], record: Record | None = RECORD) -> ClusterAnswer:
    asked = Deployment.model_validate_json(json.dumps(found))
    return answer_of("checkout", record, asked, ReplicaSets.model_validate_json(json.dumps(replica_sets())))


@pytest.mark.parametrize(
    ("changes", "rollout"),
    [
        pytest.param({}, "complete", id="everything is there"),
        pytest.param({"metadata": {"generation": 8}}, "progressing", id="the cluster has not looked yet"),
        pytest.param({"status": {"updatedReplicas": 2}}, "progressing", id="a pod is still to come"),
        pytest.param({"status": {"replicas": 4}}, "progressing", id="an old pod is still to go"),
        pytest.param({"status": {"availableReplicas": 2}}, "progressing", id="a pod is not ready yet"),
        pytest.param(
            {"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}},
            "failed",
            id="it took too long",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Available", "reason": "ProgressDeadlineExceeded"}]}},
            "complete",
            id="another condition has that reason",
        ),
        pytest.param({"spec": {"paused": True}}, "paused", id="somebody paused it"),
        pytest.param(
            {
                "spec": {"replicas": 0},
                "status": {"replicas": 0, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 0},
            },
            "complete",
            id="nothing is asked for",
        ),
    ],
)
def test_the_rollout_is_as_far_as_the_command_line_of_kubernetes_says(
    changes: dict[str, Any], rollout: str
) -> None:
    state = said_of(deployment(**changes)).state

    assert state is not None
    assert state.rollout == rollout


def test_what_a_cluster_leaves_out_has_the_documented_meaning() -> None:
    found = deployment()
    del found["spec"]["replicas"]
    found["status"] = {}

    state = said_of(found).state

    assert state is not None
    assert (state.desired_replicas, state.ready_replicas, state.rollout) == (1, 0, "progressing")


@pytest.mark.parametrize(
    ("image", "drift", "explanation"),
    [
        pytest.param(IMAGE, False, "The cluster asks for the image of the record.", id="the same"),
        pytest.param(
            f"{NAME}@{digest(6)}",
            False,
            "The cluster asks for the image of the record.",
            id="the digest alone",
        ),
        pytest.param(
            f"{NAME}:other@{digest(6)}",
            False,
            "The cluster asks for the image of the record.",
            id="another tag of the same digest",
        ),
        pytest.param(
            f"{NAME}:1.3.1@{digest(5)}",
            True,
            "The cluster asks for another digest of the image than the record.",
            id="another digest of the same tag",
        ),
        pytest.param(
            f"{NAME}:1.3.1",
            None,
            "The cluster asks for the tag of the record without a digest, which may have moved.",
            id="the same tag without a digest",
        ),
        pytest.param(
            f"{NAME}:1.3.0",
            True,
            "The cluster asks for another tag of the image than the record.",
            id="another tag",
        ),
        pytest.param(
            NAME, True, "The cluster asks for another tag of the image than the record.", id="no tag"
        ),
        pytest.param(
            f"registry.example.com:5000/shop/checkout:1.3.1@{digest(6)}",
            True,
            "The cluster asks for another image than the record.",
            id="another registry",
        ),
        pytest.param("", True, "The cluster asks for another image than the record.", id="no image"),
    ],
)
def test_drift_is_judged_by_the_digest(image: str, drift: object, explanation: str) -> None:
    found = said_of(deployment(image))

    assert (found.drift, found.explanation) == (drift, explanation)


def test_a_deployment_without_a_record_is_drift() -> None:
    found = said_of(deployment(), None)

    assert found.drift is True
    assert found.explanation == "The cluster has a deployment, and no record says that one was deployed."


def test_a_tag_that_both_leave_out_says_nothing() -> None:
    bare = RECORD.model_copy(update={"image": f"{NAME}@{digest(6)}"})

    assert said_of(deployment(NAME), bare).drift is True


def test_without_a_container_of_the_name_of_the_service_the_first_one_counts() -> None:
    template = pods(name="main")
    template["spec"]["containers"].reverse()

    state = said_of(deployment(spec={"template": template})).state

    assert state is not None
    assert state.image == IMAGE


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kind": "Pod"}, id="another kind"),
        pytest.param({"spec": {"replicas": -1}}, id="fewer than no pods"),
        pytest.param({"spec": {"replicas": "3"}}, id="a text for a number"),
        pytest.param({"spec": {"replicas": 1.5}}, id="half a pod"),
        pytest.param({"spec": {"selector": {"matchLabels": {}}}}, id="a selector of everything"),
        pytest.param({"spec": {"template": {"spec": {"containers": []}}}}, id="no container"),
        pytest.param({"status": None}, id="no status"),
        pytest.param({"spec": {"template": pods("x" * 1001)}}, id="an image of 1001 characters"),
    ],
)
def test_what_is_not_documented_is_refused(changes: dict[str, Any]) -> None:
    found = {**deployment(), **changes} if {"kind", "status"} & set(changes) else deployment(**changes)

    with pytest.raises(ValidationError):
        said_of(found)
