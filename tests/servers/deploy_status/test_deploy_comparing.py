"""In what two releases differ, and which ones lead from one to the other."""

from collections.abc import Mapping

import pytest

from tests.servers.deploy_status.releasing import HISTORY, digest, path, record
from tunnelgate_servers.deploy_status.catalogue import Catalogue
from tunnelgate_servers.deploy_status.comparing import MAX_BETWEEN, compare, release_of
from tunnelgate_servers.deploy_status.records import read_release
from tunnelgate_servers.deploy_status.results import Comparison
from tunnelgate_servers.hosting import RequestError

PRODUCTION, STAGING = "production", "staging"


def catalogue_of(files: Mapping[str, str]) -> Catalogue:
    return Catalogue.of([read_release(name, content.encode()) for name, content in files.items()], (), None)


CATALOGUE = catalogue_of(HISTORY)


def compared(before: tuple[str, str], after: tuple[str, str], catalogue: Catalogue = CATALOGUE) -> Comparison:
    """Compare two releases, each by its environment and its version."""
    first, second = (
        release_of(catalogue.history("checkout", environment), version)
        for environment, version in (before, after)
    )
    return compare(catalogue, first, second)


@pytest.mark.parametrize(
    ("before", "after", "direction", "place", "between"),
    [
        pytest.param(
            (PRODUCTION, "1.1.0"),
            (PRODUCTION, ""),
            "forward",
            PRODUCTION,
            ["1.3.1", "1.2.0", "1.3.0", "1.3.0", "1.2.0"],
            id="from an old version to the current one",
        ),
        pytest.param(
            (PRODUCTION, ""),
            (PRODUCTION, "1.3.0"),
            "backward",
            PRODUCTION,
            ["1.3.1", "1.2.0"],
            id="from the current version to an older one",
        ),
        pytest.param((PRODUCTION, "1.3.1"), (PRODUCTION, ""), "same", PRODUCTION, [], id="to itself"),
        pytest.param(
            (PRODUCTION, ""),
            (STAGING, ""),
            "forward",
            STAGING,
            ["1.5.0", "1.4.0"],
            id="from one environment to the next",
        ),
        pytest.param(
            (STAGING, ""),
            (PRODUCTION, ""),
            "backward",
            STAGING,
            ["1.5.0", "1.4.0"],
            id="from one environment to the one behind it",
        ),
        pytest.param(
            (STAGING, "1.3.1"), (PRODUCTION, "1.3.1"), "same", None, [], id="one version in two environments"
        ),
        pytest.param(
            (PRODUCTION, "1.1.0"),
            (STAGING, ""),
            "unknown",
            None,
            [],
            id="versions that no environment had both",
        ),
        pytest.param(
            (PRODUCTION, "1.4.0"),
            (STAGING, ""),
            "forward",
            STAGING,
            ["1.5.0"],
            id="from one that failed in its environment",
        ),
    ],
)
def test_the_releases_that_lead_from_one_to_the_other_are_named(
    before: tuple[str, str], after: tuple[str, str], direction: str, place: str | None, between: list[str]
) -> None:
    comparison = compared(before, after)

    assert (comparison.direction, comparison.between_environment) == (direction, place)
    assert [each.version for each in comparison.between] == between
    assert comparison.between_total == len(between)


def test_what_differs_is_named_with_both_sides() -> None:
    differences = compared((PRODUCTION, "1.2.0"), (PRODUCTION, "1.3.0")).differences

    assert [(each.what, each.before, each.after) for each in differences] == [
        ("version", "1.2.0", "1.3.0"),
        (
            "image",
            f"registry.example.com/shop/checkout:1.2.0@{digest(2)}",
            f"registry.example.com/shop/checkout:1.3.0@{digest(4)}",
        ),
        ("commit", f"{5:040x}", f"{4:040x}"),
    ]


def test_the_configuration_can_be_all_that_differs() -> None:
    catalogue = catalogue_of({path(1): record(), path(2, environment=STAGING): record(environment=STAGING)})
    changed = catalogue_of(
        {path(1): record(), path(2, environment=STAGING): record(environment=STAGING, config_hash=digest(9))}
    )

    assert compared((PRODUCTION, ""), (STAGING, ""), catalogue).differences == ()
    assert [each.what for each in compared((PRODUCTION, ""), (STAGING, ""), changed).differences] == [
        "config"
    ]


def test_a_version_that_was_released_again_is_its_newest_release() -> None:
    history = CATALOGUE.history("checkout", PRODUCTION)

    assert release_of(history, "1.2.0").path == path(5)


def test_a_version_that_failed_first_is_the_release_that_was_deployed() -> None:
    history = CATALOGUE.history("checkout", PRODUCTION)

    assert (release_of(history, "1.3.0").path, release_of(history, "1.4.0").path) == (path(4), path(7))


@pytest.mark.parametrize(
    ("service", "version"), [("checkout", "9.9.9"), ("payments", ""), ("payments", "1.0.0")]
)
def test_a_version_that_is_not_there_is_a_sentence(service: str, version: str) -> None:
    with pytest.raises(RequestError, match="has no such release in that environment; release_history lists"):
        release_of(CATALOGUE.history(service, PRODUCTION), version)


def test_of_many_releases_the_newest_are_listed_and_all_are_counted() -> None:
    files = {
        path(number): record(f"1.{number}", released_at=f"2026-03-01T{number // 60:02}:{number % 60:02}:00Z")
        for number in range(MAX_BETWEEN + 20)
    }
    comparison = compared((PRODUCTION, "1.0"), (PRODUCTION, ""), catalogue_of(files))

    assert comparison.between_total == MAX_BETWEEN + 19
    assert [each.version for each in comparison.between] == (
        [f"1.{number}" for number in range(MAX_BETWEEN + 19, 19, -1)]
    )
