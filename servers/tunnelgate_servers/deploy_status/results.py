"""What the tools return. The sentence below a field is its description in the tool's output schema."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tunnelgate_servers.deploy_status.records import Kind, Link, Outcome


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ReleaseEntry(_Result):
    """One release, as its record has it."""

    service: str
    """The service."""
    environment: str
    """The environment it was released to."""
    version: str
    """The version."""
    kind: Kind
    """A release, a hotfix, or a rollback to an earlier version."""
    outcome: Outcome
    """Whether it was deployed; after a failed one, the version before it stayed."""
    released_at: datetime
    """When, in UTC."""
    released_by: str
    """Who released it."""
    summary: str
    """What it changed, in the words of its authors."""
    image: str
    """The container image with its digest."""
    commit: str
    """The commit of the service's sources."""
    config_hash: str
    """The digest of the configuration it runs with."""
    previous: str | None
    """The version before it; null for the first release."""
    links: tuple[Link, ...]
    """Where to read more."""
    record: str
    """The path of the record."""


class DeployedVersion(_Result):
    """What an environment has of a service."""

    environment: str
    """The environment."""
    version: str | None
    """The version of the newest release that was deployed; null when none ever was."""
    released_at: datetime | None
    """When that was released, in UTC."""
    last_failed: bool
    """Whether a later release failed."""


class ServiceEntry(_Result):
    """A service in the list."""

    service: str
    """The name, as the other tools take it."""
    environments: tuple[DeployedVersion, ...]
    """The environments it was released to, sorted by name."""


class ServicePage(_Result):
    """A page of the list of services, sorted by name."""

    services: tuple[ServiceEntry, ...]
    """The services of this page."""
    environments: tuple[str, ...]
    """The names of all environments."""
    records_left_out: int
    """How many files could not be read as records, so that their releases are missing here."""
    revision: str | None
    """The commit that the records are of; null when they lie in a folder."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class RunningImage(_Result):
    """An image that pods of a deployment run."""

    image: str
    """The image as the cluster has it."""
    replicas: int
    """How many pods there are of it."""
    ready_replicas: int
    """How many of them are ready."""


class ClusterState(_Result):
    """What the cluster says of a deployment."""

    image: str
    """The image that the deployment asks for."""
    running: tuple[RunningImage, ...]
    """The images that its pods have, which differ while a new one is rolled out."""
    desired_replicas: int
    """How many pods it asks for."""
    ready_replicas: int
    """How many are ready."""
    rollout: Literal["complete", "progressing", "failed", "paused"]
    """How far the rollout of the image is."""


class ClusterAnswer(_Result):
    """What the cluster was asked, and whether it agrees with the record."""

    status: Literal["answered", "no deployment", "not reached", "not configured"]
    """Whether there is an answer; the cluster is not configured for every environment."""
    state: ClusterState | None
    """The answer; null without one."""
    drift: bool | None
    """Whether the cluster asks for another image than the record; null when that is not known."""
    explanation: str
    """What that means, in a sentence."""


class CurrentRelease(_Result):
    """What a service has in an environment."""

    current: ReleaseEntry | None
    """The newest release that was deployed; null when none ever was."""
    failed_since: tuple[ReleaseEntry, ...]
    """Later releases that failed, newest first."""
    cluster: ClusterAnswer
    """What the cluster runs beside what the record says."""
    records_left_out: int
    """How many files could not be read as records, so that releases may be missing here."""
    revision: str | None
    """The commit that the records are of; null when they lie in a folder."""


class ReleasePage(_Result):
    """A page of a history, newest first."""

    releases: tuple[ReleaseEntry, ...]
    """The releases of this page."""
    records_left_out: int
    """How many files could not be read as records, so that releases may be missing here."""
    next_cursor: str | None
    """The cursor of the next page; null on the last one."""


class Difference(_Result):
    """One thing in which two releases differ."""

    what: Literal["version", "image", "commit", "config"]
    """What differs."""
    before: str
    """What it is in the first of the two."""
    after: str
    """What it is in the second."""


class BetweenEntry(_Result):
    """A release between the two that are compared."""

    version: str
    """The version."""
    kind: Kind
    """A release, a hotfix, or a rollback to an earlier version."""
    outcome: Outcome
    """Whether it was deployed."""
    released_at: datetime
    """When, in UTC."""
    summary: str
    """What it changed, in the words of its authors."""
    record: str
    """The path of the record."""


class Comparison(_Result):
    """How one release differs from another."""

    before: ReleaseEntry
    """The first of the two."""
    after: ReleaseEntry
    """The second."""
    differences: tuple[Difference, ...]
    """In what they differ; empty when they run the same."""
    direction: Literal["forward", "backward", "same", "unknown"]
    """Backward when the second is the older one; unknown when no environment had both."""
    between_environment: str | None
    """The environment that had both, whose releases are listed; null when none had."""
    between: tuple[BetweenEntry, ...]
    """The releases that lead from one to the other, newest first; backward, they are the ones undone."""
    between_total: int
    """How many there are, of which the newest are listed."""
    records_left_out: int
    """How many files could not be read as records, so that releases may be missing here."""
