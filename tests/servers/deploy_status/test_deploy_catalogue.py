"""All releases that could be read, kept until the files are other ones."""

import logging
import os
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import pytest

from tests.servers.deploy_status.releasing import HISTORY, path, record
from tunnelgate_servers.deploy_status import catalogue as catalogue_module
from tunnelgate_servers.deploy_status.catalogue import Catalogue, Records, current_of
from tunnelgate_servers.deploy_status.sources import LeftOut, Listing, Read, RecordFile
from tunnelgate_servers.hosting import RequestError, UnavailableError


@dataclass
class Memory:
    """Records in memory, and which of them were read."""

    files: dict[str, str]
    revision: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    gone: set[str] = field(default_factory=set[str])
    read: list[str] = field(default_factory=list[str])
    is_lost: bool = False

    def listing(self) -> Listing:
        if self.is_lost:
            raise UnavailableError("The release records cannot be read; try again later.")
        files = tuple(RecordFile(name, content) for name, content in sorted(self.files.items()))
        return Listing(self.revision, files, self.left_out)

    @contextmanager
    def opened(self) -> Generator[Read]:
        def read(file: RecordFile) -> bytes:
            self.read.append(file.path)
            if file.path in self.gone:
                raise FileNotFoundError(2, "No such file or directory", "/srv/releases")
            return self.files[file.path].encode()

        yield read


def versions(catalogue: Catalogue, service: str, environment: str) -> list[str]:
    return [each.record.version for each in catalogue.history(service, environment)]


def test_histories_are_by_service_and_environment_with_the_newest_first() -> None:
    catalogue = Records(Memory(HISTORY, "abc")).current()

    assert list(catalogue.histories) == [
        ("checkout", "production"),
        ("checkout", "staging"),
        ("payments", "production"),
        ("search", "production"),
    ]
    assert versions(catalogue, "checkout", "production") == (
        ["1.4.0", "1.3.1", "1.2.0", "1.3.0", "1.3.0", "1.2.0", "1.1.0"]
    )
    assert (catalogue.environments, catalogue.revision) == (("production", "staging"), "abc")


def test_what_was_released_at_the_same_time_is_in_the_order_of_the_paths() -> None:
    catalogue = Records(Memory({path(1): record("1"), path(2): record("2"), path(3): record("3")})).current()

    assert versions(catalogue, "checkout", "production") == ["3", "2", "1"]


def test_the_current_release_is_the_newest_that_did_not_fail() -> None:
    catalogue = Records(Memory(HISTORY)).current()

    current = current_of(catalogue.history("checkout", "production"))
    assert current is not None
    assert current.path == path(6)
    assert current_of(catalogue.history("payments", "production")) is None


def test_all_who_wait_share_one_look_that_begins_after_they_came() -> None:
    source = Gated(dict(HISTORY))
    records = Records(source)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(records.current)
        assert source.is_looked_at.wait(10)
        source.files[path(9)] = record("2.0.0", 9)
        others = [pool.submit(records.current) for _ in range(8)]
        wait_until_they_have_come(len(others))
        source.may_answer.set()
        late = {versions(each.result(10), "checkout", "production")[0] for each in others}

    assert versions(first.result(), "checkout", "production")[0] == "1.4.0"
    assert late == {"2.0.0"}
    assert source.looks == 2


class Gated(Memory):
    """Records that are looked at only when they may be."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(files)
        self.looks = 0
        self.is_looked_at = Event()
        self.may_answer = Event()

    def listing(self) -> Listing:
        listing = super().listing()
        self.looks += 1
        self.is_looked_at.set()
        assert self.may_answer.wait(10)
        return listing


def wait_until_they_have_come(number: int) -> None:
    """Wait for so many threads that know which look they came before."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        all_frames = sys._current_frames().values()  # pyright: ignore[reportPrivateUsage] - its documented name
        frames = [frame for frame in all_frames if frame.f_code.co_name == "current"]
        if sum(frame.f_locals.get("looks") == 1 for frame in frames) == number:
            return
        os.sched_yield()
    raise TimeoutError


def test_a_look_that_failed_is_shared_with_nobody() -> None:
    source = Gated(dict(HISTORY))
    records = Records(source)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(records.current)
        assert source.is_looked_at.wait(10)
        source.is_lost = True
        others = [pool.submit(records.current) for _ in range(4)]
        wait_until_they_have_come(len(others))
        source.may_answer.set()
        errors = [each.exception(10) for each in others]

    assert [type(each) for each in errors] == [UnavailableError] * 4
    source.is_lost = False
    assert records.current() is first.result()


@pytest.mark.parametrize(
    ("service", "environment"),
    [
        pytest.param("checkout", "nowhere", id="an unknown environment"),
        pytest.param("nothing", "production", id="an unknown service"),
        pytest.param("search", "staging", id="a service that another environment has"),
        pytest.param("Checkout", "production", id="another case"),
        pytest.param("checkout/../search", "production", id="a path"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_every_name_that_is_not_there_is_answered_in_the_same_words(service: str, environment: str) -> None:
    with pytest.raises(RequestError) as caught:
        Records(Memory(HISTORY)).current().history(service, environment)

    assert str(caught.value) == (
        "There is no such service in that environment; list_services names those there are."
    )


def test_nothing_is_read_again_while_the_files_are_the_same() -> None:
    source = Memory(dict(HISTORY))
    records = Records(source)
    first = records.current()
    source.read.clear()

    assert records.current() is first
    assert source.read == []


def test_only_files_that_changed_are_read_again() -> None:
    source = Memory(dict(HISTORY))
    records = Records(source)
    records.current()
    source.read.clear()
    source.files[path(1)] = record("1.1.1", 1)
    source.files[path(9)] = record("2.0.0", 9)
    del source.files[path(7)]
    catalogue = records.current()

    assert source.read == [path(1), path(9)]
    assert versions(catalogue, "checkout", "production") == (
        ["2.0.0", "1.3.1", "1.2.0", "1.3.0", "1.3.0", "1.2.0", "1.1.1"]
    )


def test_a_broken_record_is_left_out_and_named_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    source = Memory(
        {**HISTORY, path(8): "a: secret: b", path(9): record("9")}, left_out=(LeftOut("x", "it is y"),)
    )
    source.gone.add(path(9))
    records = Records(source)
    catalogue = records.current()
    source.files[path(1, "search")] = record("7.0.1", service="search")
    again = records.current()

    assert [(each.path, each.reason) for each in catalogue.left_out] == [
        ("x", "it is y"),
        (path(8), "it is not YAML in line 1"),
        (path(9), "it cannot be read: No such file or directory"),
    ]
    assert again.left_out == catalogue.left_out
    assert versions(again, "checkout", "production") == versions(catalogue, "checkout", "production")
    assert [(entry.levelno, entry.getMessage()) for entry in caplog.records] == [
        (logging.WARNING, f"The release record {path(8)} is left out: it is not YAML in line 1"),
        (
            logging.WARNING,
            f"The release record {path(9)} is left out: it cannot be read: No such file or directory",
        ),
        (logging.WARNING, "The release record x is left out: it is y"),
    ]


def test_of_many_broken_records_the_log_has_some_and_their_number(caplog: pytest.LogCaptureFixture) -> None:
    Records(Memory({path(number): "a: [" for number in range(50)})).current()

    assert len(caplog.records) == 21
    assert caplog.records[-1].getMessage() == "30 more release records are left out"


def test_a_file_that_cannot_be_read_is_tried_again_with_the_same_stamp() -> None:
    source = Memory({path(1): record("1.0.0"), path(2): record("2.0.0", 2)}, gone={path(2)})
    records = Records(source)
    before = records.current()
    source.gone.clear()
    source.read.clear()
    after = records.current()

    assert versions(before, "checkout", "production") == ["1.0.0"]
    assert versions(after, "checkout", "production") == ["2.0.0", "1.0.0"]
    assert after is records.current()
    assert source.read == [path(2)]


def test_a_broken_record_that_was_repaired_is_there() -> None:
    source = Memory({path(1): "broken"})
    records = Records(source)
    before = records.current()
    source.files[path(1)] = record("1.0.0")

    assert before.histories == {}
    assert versions(records.current(), "checkout", "production") == ["1.0.0"]


def test_all_records_together_may_be_as_large_as_the_limit_and_no_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Memory(dict(HISTORY))
    monkeypatch.setattr(catalogue_module, "MAX_TOTAL_BYTES", sum(map(len, HISTORY.values())))
    records = Records(source)

    records.current()
    source.files[path(1)] += " "
    for _ in range(2):
        with pytest.raises(UnavailableError, match="larger than this server reads"):
            records.current()
    source.files[path(1)] = HISTORY[path(1)]
    records.current()


def test_progress_is_told_for_every_hundred_records() -> None:
    source = Memory({path(number): record(f"{number}", number % 28 + 1) for number in range(250)})
    told: list[tuple[int, int]] = []

    Records(source).current(lambda done, total: told.append((done, total)))

    assert told == [(100, 250), (200, 250)]
