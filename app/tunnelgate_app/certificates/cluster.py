"""Reads and writes a Secret of the cluster that the command runs in.

Two requests, so that the gate's image needs no client of Kubernetes.

Specification: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ and
https://kubernetes.io/docs/reference/using-api/api-concepts/#updates-to-existing-resources
"""

import os
import re
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tunnelgate.reading.strict_json import is_object
from tunnelgate.tls_files import new_context
from tunnelgate_app.certificates.contents import Change, Files
from tunnelgate_app.errors import CommandError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod has the token of its account, its namespace, and the authority of its cluster."""

_TIMEOUT = 30.0  # seconds
_MAX_SAID = 300  # characters of what the cluster says
_CONFLICT = 409
_MAX_NAME = 253
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")  # a DNS subdomain (RFC 1123), near enough


class ClusterError(CommandError):
    """The cluster cannot be asked, or refuses; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The way from a pod to the API of its cluster."""

    url: str
    namespace: str
    token: str = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)


def own_cluster(account: Path | None = None, environment: Mapping[str, str] | None = None) -> Cluster:
    """Return the way to the cluster of the pod that this runs in.

    ``account`` has the files of the pod's account, :data:`ACCOUNT` unless it is given, and
    ``environment``, that of the process, says where the cluster is. Raises :class:`ClusterError`.
    """
    account = ACCOUNT if account is None else account
    variables = os.environ if environment is None else environment
    host, port = (variables.get(f"KUBERNETES_SERVICE_{each}", "") for each in ("HOST", "PORT"))
    if not host or not port:
        raise ClusterError("This is no pod of a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set.")
    tls = new_context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        token, namespace = ((account / each).read_text("ascii").strip() for each in ("token", "namespace"))
        tls.load_verify_locations(account / "ca.crt")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"The pod's account in {account} cannot be used: {why}. "
            "Its pod needs automountServiceAccountToken: true."
        ) from None
    return Cluster(f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace, token, tls)


class Secret:
    """The Secret ``name`` in a pod's own namespace, as it was when it was read.

    Raises :class:`ClusterError` for a name that no Secret can have, and where the cluster does not give it.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        if len(name) > _MAX_NAME or _NAME.fullmatch(name) is None:
            raise ClusterError(f"{name!r} is not the name of a Secret, such as mcp-tunnel.")
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{cluster.namespace}/secrets/{name}"
        self._object = self._ask("GET", None)

    def files(self, names: Iterable[str]) -> Files:
        """Return those of its keys that are there; raises :class:`ClusterError`."""
        data = self._data
        try:
            return {name: b64decode(data[name], validate=True) for name in names if name in data}
        except ValueError:
            raise ClusterError(f"{self._path} is no Secret as Kubernetes has it.") from None

    def write(self, change: Change) -> None:
        """Carry out ``change``, all of it at once; raises :class:`ClusterError`.

        The cluster refuses it where somebody else has written meanwhile.
        """
        written = {name: b64encode(content).decode("ascii") for name, content in change.writes.items()}
        kept = {name: value for name, value in self._data.items() if name not in change.removes}
        self._object = self._ask("PUT", {**self._object, "data": {**kept, **written}})

    @property
    def _data(self) -> Mapping[str, str]:
        return self._object.get("data") or {}

    def _ask(self, method: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._cluster.token}", "Accept": "application/json"}
        url = f"{self._cluster.url}{self._path}"
        try:
            # No proxy of the environment: the token goes to the cluster and nowhere else.
            with httpx2.Client(verify=self._cluster.tls, trust_env=False, timeout=_TIMEOUT) as client:
                answer = client.request(method, url, headers=headers, json=body)
        except httpx2.HTTPError as error:
            raise ClusterError(f"{self._cluster.url} cannot be asked: {error}") from None
        said = _object_in(answer)
        if answer.status_code == _CONFLICT:
            raise ClusterError(f"{self._path} was changed meanwhile. Run this again.")
        if not answer.is_success:
            why = str(said.get("message", "it does not say why"))[:_MAX_SAID]
            raise ClusterError(f"{method} {self._path} is answered {answer.status_code}: {why}")
        return said


def _object_in(answer: httpx2.Response) -> dict[str, Any]:
    try:
        said: object = answer.json()
    except ValueError:
        said = None
    if not is_object(said):
        raise ClusterError(f"{answer.url} answers {answer.status_code} and no object of Kubernetes.")
    return said
