"""Answering: what an environment has of a service, by its record and by its cluster."""

from itertools import takewhile
from typing import Final, Protocol

from tunnelgate_servers.deploy_status.catalogue import Records, current_of
from tunnelgate_servers.deploy_status.entries import release_entry
from tunnelgate_servers.deploy_status.records import Record
from tunnelgate_servers.deploy_status.results import ClusterAnswer, CurrentRelease

MAX_FAILED: Final = 5
"""How many failed releases after the current one are shown."""

_NOT_CONFIGURED = ClusterAnswer(
    status="not configured",
    state=None,
    drift=None,
    explanation="No cluster is configured for this environment.",
)


class Cluster(Protocol):
    """What runs the services of one or more environments."""

    def answer(self, service: str, environment: str, record: Record | None) -> ClusterAnswer | None:
        """Return what runs there beside what the record says, or `None` where it is not the one to ask."""
        ...

    def close(self) -> None:
        """End the connections to it."""
        ...


class CurrentReleases:
    """The newest releases of one source of records, each beside what the cluster runs, if there is one."""

    def __init__(self, records: Records, cluster: Cluster | None) -> None:
        self._records = records
        self._cluster = cluster

    def of(self, service: str, environment: str) -> CurrentRelease:
        """Return what an environment has of a service; raises `RequestError` and `UnavailableError`."""
        catalogue = self._records.current()
        history = catalogue.history(service, environment)
        current = current_of(history)
        failed = list(takewhile(lambda each: each is not current, history))[:MAX_FAILED]
        record = None if current is None else current.record
        answer = self._cluster.answer(service, environment, record) if self._cluster is not None else None
        return CurrentRelease(
            current=None if current is None else release_entry(current),
            failed_since=tuple(release_entry(each) for each in failed),
            cluster=answer or _NOT_CONFIGURED,
            records_left_out=len(catalogue.left_out),
            revision=catalogue.revision,
        )
