"""The five tools. Their docstrings are what the model reads."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from anyio import to_thread
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field

from tunnelgate_servers.deploy_status.catalogue import Records, current_of
from tunnelgate_servers.deploy_status.comparing import compare, release_of
from tunnelgate_servers.deploy_status.current import CurrentReleases
from tunnelgate_servers.deploy_status.entries import release_page, service_page
from tunnelgate_servers.deploy_status.progress import with_progress
from tunnelgate_servers.deploy_status.results import Comparison, CurrentRelease, ReleasePage, ServicePage
from tunnelgate_servers.hosting import (
    READING,
    Cursor,
    Line,
    OptionalDate,
    OptionalLine,
    RequestError,
    Tool,
    Toolset,
)

READ: Final = "deploy:read"
"""The scope of the tools that read, and of the resources."""

Service = Annotated[Line, Field(description="A service as list_services names it.")]
Environment = Annotated[Line, Field(description="An environment as list_services names it.")]

_CHANGING = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


class DeployTools:
    """The tools over one source of records; plain functions among them run in worker threads of the SDK."""

    def __init__(self, records: Records, current: CurrentReleases) -> None:
        self._records = records
        self._current = current

    def toolset(self) -> Toolset:
        """Return the tools in the order in which they are listed."""
        reading: list[tuple[Callable[..., Any], str]] = [
            (self.list_services, "List the services"),
            (self.current_release, "Look at the current release"),
            (self.release_history, "Look at past releases"),
            (self.compare_releases, "Compare two releases"),
        ]
        rollback = Tool(self.rollback, "Roll back a release", ["deploy:rollback"], _CHANGING)
        return Toolset(
            [*(Tool(each, title, [READ], READING) for each, title in reading), rollback], resources=[READ]
        )

    def list_services(
        self,
        environment: Annotated[
            OptionalLine, Field(description="Only what was released to this environment.")
        ] = "",
        cursor: Cursor = "",
    ) -> ServicePage:
        """List the services with the version that each environment has, page by page.

        Begin here: the other tools take services and environments as they are named in this list.
        """
        return service_page(self._records.current(), environment, cursor)

    def current_release(self, service: Service, environment: Environment) -> CurrentRelease:
        """Say which release of a service an environment has now, and whether the cluster runs it.

        The record is what was meant to be deployed. Where a cluster is configured, what it runs stands
        beside it, with the replicas, how far the rollout is, and whether both agree.
        """
        return self._current.of(service, environment)

    def release_history(
        self,
        service: Service,
        environment: Environment,
        from_day: Annotated[OptionalDate, Field(description="The first day (UTC), as YYYY-MM-DD.")] = "",
        to_day: Annotated[OptionalDate, Field(description="The last day (UTC), as YYYY-MM-DD.")] = "",
        cursor: Cursor = "",
    ) -> ReleasePage:
        """List the releases of a service in an environment, newest first and page by page.

        Failed ones, hotfixes and rollbacks are among them. Leave the days out for the whole history.
        """
        catalogue = self._records.current()
        history = catalogue.history(service, environment)
        return release_page(catalogue, history, from_day, to_day, cursor)

    async def compare_releases(
        self,
        service: Service,
        environment: Environment,
        *,
        context: Context[Any, Any],
        from_version: Annotated[
            OptionalLine, Field(description="The version to start from; leave it out for the current one.")
        ] = "",
        to_version: Annotated[
            OptionalLine, Field(description="The version to arrive at; leave it out for the current one.")
        ] = "",
        to_environment: Annotated[
            OptionalLine,
            Field(description="Where to_version is looked for; leave it out for the same environment."),
        ] = "",
    ) -> Comparison:
        """Say what changed from one release of a service to another.

        Compare two versions in one environment, or what two environments have, for example with environment
        production and to_environment staging. The answer has image, commit and configuration where they
        differ, and the releases in between with their summaries.
        """
        if not (from_version or to_version or to_environment):
            raise RequestError("Name a version or another environment; a release is the same as itself.")

        catalogue = await with_progress(context, "Reading release records", self._records.current)

        def compared() -> Comparison:
            before = release_of(catalogue.history(service, environment), from_version)
            there = catalogue.history(service, to_environment or environment)
            return compare(catalogue, before, release_of(there, to_version))

        return await to_thread.run_sync(compared)

    def rollback(
        self,
        service: Service,
        environment: Environment,
        to_version: Annotated[
            OptionalLine, Field(description="The version to return to; leave it out for the one before.")
        ] = "",
    ) -> str:
        """Say what a person has to do to roll back a release; nothing is changed by this server.

        The answer names the record to revert, and the version that this leads to.
        """
        history = self._records.current().history(service, environment)
        deployed = [each for each in history if each.record.outcome == "deployed"]
        current = current_of(history)
        if current is None:
            raise RequestError("Nothing was ever deployed there, so that there is nothing to roll back.")
        earlier = [each for each in deployed if each.record.version != current.record.version]
        target = release_of(earlier, to_version)
        raise RequestError(
            f"This server cannot change a deployment, and nothing was changed. A person has to revert "
            f"{current.path} (version {current.record.version}) in favour of {target.path} "
            f"(version {target.record.version}, image {target.record.image})."
        )
