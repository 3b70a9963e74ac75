"""Deciding: in what two releases differ, and which ones lead from one to the other."""

from collections.abc import Sequence
from typing import Final, Literal

from tunnelgate_servers.deploy_status.catalogue import Catalogue, current_of
from tunnelgate_servers.deploy_status.entries import between_entry, release_entry
from tunnelgate_servers.deploy_status.records import Release
from tunnelgate_servers.deploy_status.results import Comparison, Difference
from tunnelgate_servers.hosting import RequestError

MAX_BETWEEN: Final = 50
"""How many releases between two are listed."""

Direction = Literal["forward", "backward", "same", "unknown"]


def release_of(history: Sequence[Release], version: str) -> Release:
    """Return the newest release of a version, before others one that was deployed.

    Without a version it is the current one. Raises `RequestError` when there is none.
    """
    if version:
        history = [each for each in history if each.record.version == version]
        found = current_of(history) or next(iter(history), None)
    else:
        found = current_of(history)
    if found is None:
        raise RequestError(
            "This service has no such release in that environment; release_history lists those there are."
        )
    return found


def compare(catalogue: Catalogue, before: Release, after: Release) -> Comparison:
    """Return how `after` differs from `before`, two releases of one service."""
    direction, environment, between = _between(catalogue, before, after)
    return Comparison(
        before=release_entry(before),
        after=release_entry(after),
        differences=_differences(before, after),
        direction=direction,
        between_environment=environment,
        between=tuple(between_entry(each) for each in between[:MAX_BETWEEN]),
        between_total=len(between),
        records_left_out=len(catalogue.left_out),
    )


def _differences(before: Release, after: Release) -> tuple[Difference, ...]:
    old, new = before.record, after.record
    pairs: list[tuple[Literal["version", "image", "commit", "config"], str, str]] = [
        ("version", old.version, new.version),
        ("image", old.image, new.image),
        ("commit", old.commit, new.commit),
        ("config", old.config_hash, new.config_hash),
    ]
    return tuple(Difference(what=what, before=was, after=now) for what, was, now in pairs if was != now)


def _between(
    catalogue: Catalogue, before: Release, after: Release
) -> tuple[Direction, str | None, Sequence[Release]]:
    """Return the releases that lead from one to the other, in the environment of either that had both."""
    if before.record.environment != after.record.environment and (
        before.record.version == after.record.version
    ):
        return "same", None, ()
    for here in (after, before):
        history = catalogue.history(here.record.service, here.record.environment)
        places = [_place(history, here, each) for each in (before, after)]
        if places[0] is None or places[1] is None:
            continue
        old, new = places[0], places[1]
        if old == new:
            return "same", here.record.environment, ()
        if new < old:
            return "forward", here.record.environment, history[new:old]
        return "backward", here.record.environment, history[old:new]
    return "unknown", None, ()


def _place(history: Sequence[Release], here: Release, release: Release) -> int | None:
    """Return where a release stands in a history: itself, or the newest that deployed the same version."""
    if release.record.environment == here.record.environment:
        return history.index(release)
    same = (
        place
        for place, each in enumerate(history)
        if each.record.version == release.record.version and each.record.outcome == "deployed"
    )
    return next(same, None)
