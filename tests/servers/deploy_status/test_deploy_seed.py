"""Release records of a fictional shop."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers.deploy_status.releasing import Clock
from tunnelgate_servers.deploy_status.catalogue import Catalogue, Records, current_of
from tunnelgate_servers.deploy_status.options import read_source
from tunnelgate_servers.deploy_status.records import Release
from tunnelgate_servers.deploy_status.seed import write_releases, write_repository

UNTIL = date(2026, 11, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seed") / "releases"
    assert write_releases(folder, seed=1, until=UNTIL) == len(list(folder.rglob("*.yaml")))
    return folder


@pytest.fixture(scope="module")
def catalogue(folder: Path) -> Catalogue:
    return Records(read_source(folder, "HEAD", Clock())).current()


def releases(catalogue: Catalogue) -> list[Release]:
    return [each for history in catalogue.histories.values() for each in history]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.yaml")}


def test_every_record_can_be_read(catalogue: Catalogue, folder: Path) -> None:
    assert catalogue.left_out == ()
    assert len(releases(catalogue)) == len(contents(folder))


def test_there_are_twelve_services_in_three_environments_and_about_600_releases(catalogue: Catalogue) -> None:
    assert len({service for service, _ in catalogue.histories}) == 12
    assert catalogue.environments == ("development", "production", "staging")
    assert len(catalogue.histories) == 36
    assert 500 <= len(releases(catalogue)) <= 750


def test_things_went_wrong_now_and_then(catalogue: Catalogue) -> None:
    kinds = Counter(each.record.kind for each in releases(catalogue))
    outcomes = Counter(each.record.outcome for each in releases(catalogue))

    assert kinds["rollback"] >= 5
    assert kinds["hotfix"] >= 10
    assert outcomes["failed"] >= 15
    assert outcomes["failed"] < outcomes["deployed"] / 5


def test_the_releases_are_of_the_year_that_ends(catalogue: Catalogue) -> None:
    times = [each.record.released_at for each in releases(catalogue)]
    end = datetime(2026, 11, 1, tzinfo=UTC)

    assert end - timedelta(days=366) < min(times) < end - timedelta(days=300)
    assert end - timedelta(days=30) < max(times) < end


def test_each_release_names_the_version_that_was_deployed_before_it(catalogue: Catalogue) -> None:
    for history in catalogue.histories.values():
        for place, release in enumerate(history):
            before = current_of(history[place + 1 :])
            assert release.record.previous == (None if before is None else before.record.version), (
                release.path
            )


def test_a_version_is_the_same_image_and_commit_wherever_it_is_released(catalogue: Catalogue) -> None:
    built: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for each in releases(catalogue):
        record = each.record
        built.setdefault((record.service, record.version), set()).add((record.image, record.commit))

    assert {len(each) for each in built.values()} == {1}


def test_what_production_has_went_through_staging(catalogue: Catalogue) -> None:
    for (service, environment), history in catalogue.histories.items():
        if environment == "production":
            staged = {
                each.record.version: each.record.released_at
                for each in reversed(catalogue.history(service, "staging"))
            }
            for each in history:
                assert min(
                    staged[each.record.version], each.record.released_at
                ) < each.record.released_at or (each.record.kind == "rollback"), each.path


def test_a_rollback_returns_to_a_version_that_was_there(catalogue: Catalogue) -> None:
    rollbacks = [
        (each, history[place + 1 :])
        for history in catalogue.histories.values()
        for place, each in enumerate(history)
        if each.record.kind == "rollback"
    ]

    for rollback, earlier in rollbacks:
        same = [each for each in earlier if each.record.image == rollback.record.image]
        assert same, rollback.path
        assert rollback.record.summary.startswith(f"Back to {rollback.record.version}: ")


def test_the_same_seed_and_day_give_the_same_files_and_others_give_others(
    folder: Path, tmp_path: Path
) -> None:
    for name, seed, until in (("same", 1, UNTIL), ("seed", 2, UNTIL), ("day", 1, date(2026, 11, 2))):
        write_releases(tmp_path / name, seed=seed, until=until)

    assert contents(tmp_path / "same") == contents(folder)
    assert contents(tmp_path / "seed") != contents(folder)
    assert contents(tmp_path / "day") != contents(folder)


def test_a_repository_has_the_same_records_month_by_month(
    folder: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    count = write_repository(tmp_path / "releases.git", seed=1, until=UNTIL)
    at = {
        ref: Records(read_source(tmp_path / "releases.git", ref, Clock())).current()
        for ref in ("HEAD", "main", "2026-10", "2026-03")
    }

    assert count == len(contents(folder))
    assert at["HEAD"].histories == at["main"].histories == catalogue.histories
    assert at["2026-10"].revision == at["HEAD"].revision
    march = releases(at["2026-03"])
    assert 0 < len(march) < count
    assert all(each.record.released_at < datetime(2026, 4, 1, tzinfo=UTC) for each in march)
    assert {
        each.path for each in releases(catalogue) if each.record.released_at.date() < date(2026, 4, 1)
    } == ({each.path for each in march})


def test_a_repository_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    revisions = set[str | None]()
    for name in ("one", "two"):
        write_repository(tmp_path / name, seed=3, until=UNTIL)
        revisions.add(Records(read_source(tmp_path / name, "HEAD", Clock())).current().revision)

    assert len(revisions) == 1
