"""The year of a fictional shop: what its twelve services released, to three environments, and how it went."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any, Final

from tunnelgate_servers.deploy_status.seed_builds import Build, digest, new_build, some_work
from tunnelgate_servers.deploy_status.seed_texts import FIXES, PEOPLE, SERVICES, ServiceProfile

_DAYS: Final = 365
_PER_SERVICE: Final = 17  # versions in the year, of a service that changes as often as most
_ENVIRONMENTS: Final = ("development", "staging", "production")
_SUPERSEDED = 0.12  # how often a version never leaves development
_HELD_BACK = 0.22  # how often one never leaves staging
_IN_TROUBLE = 0.14  # how often one has to be repaired in production
_ROLLED_BACK = 0.6  # how often it is taken back before that
_RECONFIGURED = 0.3
_FAILING: Final[Mapping[str, float]] = {"development": 0.05, "staging": 0.06, "production": 0.07}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_TRACKER = "https://tracker.example.com"


@dataclass(frozen=True, slots=True)
class SeededRelease:
    """A release as it is written: the path of its record, when it was, and what the record says."""

    path: str
    released_at: datetime
    record: dict[str, Any]


@dataclass(slots=True)
class _Place:
    """What an environment has of a service while the year goes by."""

    environment: str
    deployed: list[tuple[Build, str]] = field(default_factory=list[tuple[Build, str]])
    config: int = 1
    free_from: datetime = _BEGINNING


@dataclass(frozen=True, slots=True)
class _Step:
    """One release of one service, before it has a number."""

    build: Build
    environment: str
    kind: str
    outcome: str
    at: datetime
    by: str
    summary: str
    config_hash: str
    previous: str | None


def timeline(seed: int, until: date) -> list[SeededRelease]:
    """Return all releases of the year that ends with the day before `until`, oldest first."""
    random = Random(f"releases/{seed}/{until.isoformat()}")  # noqa: S311 - sample data
    end = datetime.combine(until, time(), UTC)
    releases: list[SeededRelease] = []
    for service in SERVICES:
        counts: Counter[str] = Counter()
        steps = sorted(_year(service, end, random), key=lambda step: step.at)
        for step in steps:
            if step.at < end:
                counts[step.environment] += 1
                releases.append(_numbered(step, counts[step.environment]))
    return sorted(releases, key=lambda each: (each.released_at, each.path))


def _year(service: ServiceProfile, end: datetime, random: Random) -> Iterator[_Step]:
    """Release one version after the other: to development, mostly to staging, and often to production."""
    places = {name: _Place(name) for name in _ENVIRONMENTS}
    major, minor = random.randint(1, 6), random.randint(0, 30)
    versions = round(_PER_SERVICE * service.pace)
    for number in range(versions):
        minor += 1
        day = _DAYS * (number + random.uniform(0, 0.6)) / versions
        start = end + timedelta(days=day - _DAYS)
        build = new_build(service, f"{major}.{minor}.0", some_work(service, random), random)
        yield from _promote(service, build, _atsome_work(start, random), places, random)


def _promote(
    service: ServiceProfile, build: Build, at: datetime, places: dict[str, _Place], random: Random
) -> Iterator[_Step]:
    by = random.choice(PEOPLE[service.team])
    yield from _deploy(places["development"], build, at, by, random)
    if random.random() < _SUPERSEDED:
        return  # superseded before anybody looked at it
    at = _atsome_work(at + timedelta(days=random.randint(1, 3)), random)
    yield from _deploy(places["staging"], build, at, by, random)
    if random.random() < _HELD_BACK:
        return
    at = _atsome_work(at + timedelta(days=random.randint(1, 4)), random)
    yield from _deploy(places["production"], build, at, by, random)
    if random.random() < _IN_TROUBLE:
        yield from _trouble(service, build, at, places, random)


def _deploy(
    place: _Place,
    build: Build,
    at: datetime,
    by: str,
    random: Random,
    *,
    kind: str = "release",
) -> Iterator[_Step]:
    """Release a build to a place, sometimes in the second attempt only."""
    at = max(at, place.free_from)
    if random.random() < _RECONFIGURED:
        place.config += 1
    step = _step(place, build, at, by, kind)
    if kind == "release" and random.random() < _FAILING[place.environment]:
        why = random.choice(FIXES["failed"])
        yield replace(step, outcome="failed", summary=f"{build.summary}\n\n{why}")
        step = replace(step, at=at + timedelta(minutes=random.randint(25, 240)))
    place.deployed.append((build, step.config_hash))
    place.free_from = step.at + timedelta(minutes=20)
    yield step


def _trouble(
    service: ServiceProfile, build: Build, at: datetime, places: dict[str, _Place], random: Random
) -> Iterator[_Step]:
    """Find something wrong in production: go back to what was there before, and repair it."""
    production, staging = places["production"], places["staging"]
    by = random.choice(PEOPLE[service.team])
    if len(production.deployed) > 1 and random.random() < _ROLLED_BACK:
        at = production.free_from + timedelta(minutes=random.randint(20, 400))
        before, config_hash = production.deployed[-2]
        step = _step(production, before, at, by, "rollback")
        why = random.choice(FIXES["rollback"])
        production.deployed.append((before, config_hash))
        production.free_from = at + timedelta(minutes=20)
        yield replace(step, summary=f"Back to {before.version}: {why}", config_hash=config_hash)
    major, minor, patch = build.version.split(".")
    repaired = new_build(
        service, f"{major}.{minor}.{int(patch) + 1}", [random.choice(FIXES["hotfix"])], random
    )
    at = max(production.free_from, staging.free_from) + timedelta(minutes=random.randint(60, 600))
    yield from _deploy(staging, repaired, at, by, random, kind="hotfix")
    at += timedelta(minutes=random.randint(30, 90))
    yield from _deploy(production, repaired, at, by, random, kind="hotfix")


def _step(place: _Place, build: Build, at: datetime, by: str, kind: str) -> _Step:
    return _Step(
        build=build,
        environment=place.environment,
        kind=kind,
        outcome="deployed",
        at=at,
        by=by,
        summary=build.summary,
        config_hash=f"sha256:{digest(build.service, place.environment, place.config)}",
        previous=place.deployed[-1][0].version if place.deployed else None,
    )


def _numbered(step: _Step, number: int) -> SeededRelease:
    build = step.build
    record: dict[str, Any] = {
        "service": build.service,
        "environment": step.environment,
        "version": build.version,
        "kind": step.kind,
        "outcome": step.outcome,
        "image": build.image,
        "commit": build.commit,
        "config_hash": step.config_hash,
        "released_at": f"{step.at:%Y-%m-%dT%H:%M:%SZ}",
        "released_by": step.by,
        "summary": step.summary,
        "links": [{"title": ticket, "url": f"{_TRACKER}/{ticket}"} for ticket in build.tickets],
        **({} if step.previous is None else {"previous": step.previous}),
    }
    return SeededRelease(f"{step.environment}/{build.service}/{number:04}.yaml", step.at, record)


def _atsome_work(at: datetime, random: Random) -> datetime:
    """Return a moment of the working hours of that day, or of the next Monday."""
    days_off = max(0, at.weekday() - 4)
    day = at.date() + timedelta(days=3 - days_off if days_off else 0)
    moment = time(random.randint(8, 16), random.randint(0, 59), random.randint(0, 59))
    return datetime.combine(day, moment, UTC)
