"""Answering: records as results, and histories in pages."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final

from tunnelgate_servers.deploy_status.catalogue import Catalogue, current_of
from tunnelgate_servers.deploy_status.records import Release
from tunnelgate_servers.deploy_status.results import (
    BetweenEntry,
    DeployedVersion,
    ReleaseEntry,
    ReleasePage,
    ServiceEntry,
    ServicePage,
)
from tunnelgate_servers.hosting import RequestError, cursor_after, keys_before

HISTORY_PAGE: Final = 20
"""How many releases a page of a history has."""

SERVICES_PAGE: Final = 50
"""How many services a page of the list has."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def release_entry(release: Release) -> ReleaseEntry:
    """Return a release as the tools show it."""
    return ReleaseEntry(**dict(release.record), record=release.path)


def between_entry(release: Release) -> BetweenEntry:
    """Return a release as a comparison shows it."""
    record = release.record
    return BetweenEntry(
        version=record.version,
        kind=record.kind,
        outcome=record.outcome,
        released_at=record.released_at,
        summary=record.summary,
        record=release.path,
    )


def service_page(catalogue: Catalogue, environment: str, cursor: str) -> ServicePage:
    """Return a page of the services, of one environment or of all; raises `RequestError`."""
    if environment and environment not in catalogue.environments:
        raise RequestError("There is no such environment; list_services without one names those there are.")
    keys = keys_before(cursor, str)
    services: dict[str, list[DeployedVersion]] = {}
    for (service, place), history in catalogue.histories.items():
        if environment in ("", place) and (keys is None or service > keys[0]):
            services.setdefault(service, []).append(_deployed(place, history))
    page = list(islice(services, SERVICES_PAGE))
    return ServicePage(
        services=tuple(ServiceEntry(service=each, environments=tuple(services[each])) for each in page),
        environments=catalogue.environments,
        records_left_out=len(catalogue.left_out),
        revision=catalogue.revision,
        next_cursor=cursor_after(page[-1]) if len(services) > len(page) else None,
    )


def _deployed(environment: str, history: Sequence[Release]) -> DeployedVersion:
    current = current_of(history)
    return DeployedVersion(
        environment=environment,
        version=None if current is None else current.record.version,
        released_at=None if current is None else current.record.released_at,
        last_failed=current is not history[0],
    )


def release_page(
    catalogue: Catalogue, history: Sequence[Release], from_day: str, to_day: str, cursor: str
) -> ReleasePage:
    """Return a page of the releases from one day to another, both as YYYY-MM-DD in UTC, or empty.

    Raises `RequestError` when the days are in the wrong order, and for a cursor of somebody else.
    """
    first = date.fromisoformat(from_day) if from_day else date.min
    last = date.fromisoformat(to_day) if to_day else date.max
    if last < first:
        raise RequestError("from_day is after to_day; give the earlier day as from_day.")
    keys = keys_before(cursor, int, str)
    asked = (
        each
        for each in history
        if first <= each.record.released_at.date() <= last and (keys is None or _keys(each) < keys)
    )
    page = list(islice(asked, HISTORY_PAGE))
    return ReleasePage(
        releases=tuple(release_entry(each) for each in page),
        records_left_out=len(catalogue.left_out),
        next_cursor=cursor_after(*_keys(page[-1])) if next(asked, None) is not None else None,
    )


def _keys(release: Release) -> tuple[int, str]:
    return (release.record.released_at - _EPOCH) // _MICROSECOND, release.path
