"""The FastAPI application of the deployment facts: `POST /mcp` for both eras, and `GET /healthz`."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI

from tunnelgate_servers.deploy_status.catalogue import Records
from tunnelgate_servers.deploy_status.current import Cluster, CurrentReleases
from tunnelgate_servers.deploy_status.options import HEAD, KubernetesOptions, read_kubernetes, read_source
from tunnelgate_servers.deploy_status.resources import DeployResources
from tunnelgate_servers.deploy_status.tools import DeployTools
from tunnelgate_servers.hosting import (
    LOOPBACK_HOSTS,
    Introduction,
    OptionsError,
    UnavailableError,
    mcp_application,
    mcp_server,
    own_check,
    utc_now,
)

_INTRODUCTION: Final = Introduction(
    "deploy_status",
    "Deployments",
    "Look up what is deployed where, since when, and what changed.",
    "Begin with list_services, which names services and environments as the other tools take them. "
    "current_release says what an environment has now, release_history what it had before, and "
    "compare_releases what changed from one release to another, or lies between two environments. "
    "The current releases are also resources: deploy:///ENVIRONMENT/SERVICE.",
)


def create_app(
    *,
    releases: str | Path,
    ref: str = HEAD,
    kubernetes: Mapping[str, Any] | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    resource: str | None = None,
    oauth: Mapping[str, Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """Return the application that answers from the release records below a folder or in a git repository.

    `ref` is the branch, tag or commit of a repository. `kubernetes` names clusters to ask beside the records:
    `namespaces` by environment, and either `kubeconfig` and `context` or `in_cluster: true`. `allowed_hosts`
    are the Host values that are answered. `resource` and `oauth` make the server verify tokens by itself.
    `clock` returns the time now.

    The application has to run its lifespan, once. Raises `OptionsError` for options that cannot be used,
    and for credentials that would let a cluster be changed.
    """
    records = Records(read_source(releases, ref, clock))
    check = own_check(resource, oauth)
    try:
        records.current()
    except UnavailableError as error:
        raise OptionsError(f"The option releases cannot be used: {error}") from error
    cluster = None if kubernetes is None else _cluster(read_kubernetes(kubernetes))
    current = CurrentReleases(records, cluster)
    server = mcp_server(_INTRODUCTION, DeployTools(records, current).toolset())
    DeployResources(records, current).add_to(server)

    def is_ready() -> None:
        records.current()

    @asynccontextmanager
    async def while_serving() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if cluster is not None:
                cluster.close()

    return mcp_application(
        server, check=check, is_ready=is_ready, allowed_hosts=allowed_hosts, while_serving=while_serving
    )


def _cluster(options: KubernetesOptions) -> Cluster:
    try:
        client = import_module("tunnelgate_servers.deploy_status.cluster")
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise OptionsError(
            f"The option kubernetes needs {missing}: pip install 'tunnelgate[kubernetes]'."
        ) from error
    return cast("Cluster", client.open_cluster(options))
