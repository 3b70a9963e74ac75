"""The question whether a credential could change something, which the cluster itself answers.

Specification: https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from collections.abc import Sequence
from typing import Final, Literal

from kubernetes.client import (
    ApiClient,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)
from pydantic import BaseModel, StrictBool

from tunnelgate_servers.deploy_status.cluster.asking import NOT_ANSWERED, reason_of
from tunnelgate_servers.deploy_status.cluster.transport import content_of
from tunnelgate_servers.hosting import OptionsError

WRITING: Final = (
    ("apps", "deployments", None, ("create", "update", "patch", "delete", "deletecollection")),
    ("apps", "deployments", "scale", ("update", "patch")),
    ("apps", "replicasets", None, ("create", "update", "patch", "delete")),
    ("", "pods", None, ("create", "delete")),
    ("", "pods", "exec", ("create",)),
)
"""What a credential must not be allowed: the verbs, by group, resource and subresource."""

_Kind = Literal["SelfSubjectAccessReview"]
_KIND: Final[_Kind] = "SelfSubjectAccessReview"


class _Status(BaseModel):
    allowed: StrictBool


class _Review(BaseModel):
    kind: _Kind
    status: _Status


def require_reader(client: ApiClient, namespaces: Sequence[str]) -> None:
    """Ask for each namespace whether the credential may change what runs there.

    Raises `OptionsError` when it may, and when there is no answer: what is not known to be harmless is not
    used.
    """
    reviews = AuthorizationV1Api(client)
    for namespace in namespaces:
        for group, resource, subresource, verbs in WRITING:
            for verb in verbs:
                right = V1ResourceAttributes(
                    namespace=namespace, group=group, resource=resource, subresource=subresource, verb=verb
                )
                if _is_allowed(reviews, right):
                    what = resource if subresource is None else f"{resource}/{subresource}"
                    raise OptionsError(
                        f"The cluster lets this credential {verb} {what} in the namespace {namespace}; "
                        "use one that can only get and list deployments and replicasets."
                    )


def _is_allowed(reviews: AuthorizationV1Api, right: V1ResourceAttributes) -> bool:
    body = V1SelfSubjectAccessReview(
        api_version="authorization.k8s.io/v1",
        kind=_KIND,
        spec=V1SelfSubjectAccessReviewSpec(resource_attributes=right),
    )
    try:
        answer = reviews.create_self_subject_access_review(body, _preload_content=False)
        return _Review.model_validate_json(content_of(answer)).status.allowed
    except NOT_ANSWERED as error:
        raise OptionsError(
            f"The cluster cannot be asked whether its credential can only read: {reason_of(error)}."
        ) from None
