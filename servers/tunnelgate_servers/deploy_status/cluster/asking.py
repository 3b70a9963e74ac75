"""Asking: the deployment of a service and its replica sets, out of a cluster.

Specification: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
"""

import logging
from collections.abc import Mapping
from typing import Final, cast

from kubernetes.client import ApiClient, ApiException, AppsV1Api
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError, MaxRetryError

from tunnelgate_servers.deploy_status.cluster.rollout import Deployment, ReplicaSets, answer_of
from tunnelgate_servers.deploy_status.cluster.transport import content_of
from tunnelgate_servers.deploy_status.records import Record
from tunnelgate_servers.deploy_status.results import ClusterAnswer

NOT_ANSWERED: Final = (ApiException, ConfigException, HTTPError, OSError, ValueError)
"""What the client raises when there is no answer, or none that can be read."""

MAX_REPLICA_SETS: Final = 200
"""How many replica sets of a deployment are looked at; a cluster keeps ten unless told otherwise."""

_NOT_FOUND = 404
_logger = logging.getLogger("tunnelgate_servers.deploy_status")


class KubernetesCluster:
    """The deployments of some namespaces, named as their services; `namespaces` are by environments."""

    def __init__(self, client: ApiClient, namespaces: Mapping[str, str]) -> None:
        self._client = client
        self._apps = AppsV1Api(client)
        self._namespaces = dict(namespaces)

    def answer(self, service: str, environment: str, record: Record | None) -> ClusterAnswer | None:
        """Return what runs there beside what the record says, or `None` without a namespace for it."""
        namespace = self._namespaces.get(environment)
        if namespace is None:
            return None
        try:
            deployment = self._deployment(service, namespace)
            if deployment is None:
                return _without_state("no deployment", "The cluster has no deployment of this name.")
            return answer_of(service, record, deployment, self._replica_sets(deployment, namespace))
        except NOT_ANSWERED as error:
            _logger.warning(
                "The cluster does not answer for %s in %s: %s", service, namespace, reason_of(error)
            )
            return _without_state(
                "not reached", "The cluster cannot be asked at the moment; try again later."
            )

    def close(self) -> None:
        """End the connections to the cluster."""
        self._client.rest_client.close()

    def _deployment(self, service: str, namespace: str) -> Deployment | None:
        try:
            found = self._apps.read_namespaced_deployment(service, namespace, _preload_content=False)
        except ApiException as error:
            if _status_of(error) == _NOT_FOUND:
                return None
            raise
        return Deployment.model_validate_json(content_of(found))

    def _replica_sets(self, deployment: Deployment, namespace: str) -> ReplicaSets:
        found = self._apps.list_namespaced_replica_set(
            namespace,
            label_selector=deployment.label_selector,
            limit=MAX_REPLICA_SETS,
            _preload_content=False,
        )
        return ReplicaSets.model_validate_json(content_of(found))


def reason_of(error: Exception) -> str:
    """Return why there is no answer, in words that hold nothing of a request or an answer."""
    if isinstance(error, ApiException) and _status_of(error):
        return f"it answers with status {_status_of(error)}"
    if isinstance(error, ValueError):
        return "its answer is not what Kubernetes documents"
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return f"it is not reached ({type(error.reason).__name__})"
    return f"it is not reached ({type(error).__name__})"


def _status_of(error: ApiException) -> int:
    return cast("int | None", error.status) or 0  # pyright: ignore[reportUnknownMemberType] - the client leaves its type open


def _without_state(status: str, explanation: str) -> ClusterAnswer:
    return ClusterAnswer.model_validate(
        {"status": status, "state": None, "drift": None, "explanation": explanation}
    )
