from pathlib import Path

import pytest

from tunnelgate_app.reloading.settling import Settling
from tunnelgate_app.reloading.stamps import Stamp, Stamps, stamps_of

A: Stamp = (1, 1)
B: Stamp = (1, 2)
C: Stamp = (1, 3)


def looks(*stamps: Stamp) -> list[int]:
    """Return at which of these looks a file that was ``A`` is to be read; it is taken up each time."""
    settling = Settling({"file": A})
    read: list[int] = []
    for number, stamp in enumerate(stamps, 1):
        if settling.look({"file": stamp}):
            read.append(number)
            settling.take_up({"file": stamp})
    return read


@pytest.mark.parametrize(
    ("stamps", "read"),
    [
        pytest.param([A] * 50, [], id="what does not change is not read"),
        pytest.param([B, B, B, B], [2], id="what has changed is read once, when it is still"),
        pytest.param([B, C, C], [3], id="what is being written is read when that is over"),
        pytest.param([B, A, A], [], id="what is as it was is not read"),
        pytest.param([B, B, C, C], [2, 4], id="what changes again is read again"),
        pytest.param([None] * 10 + [A], [], id="what is away for two seconds is not missed"),
        pytest.param([None] * 12, [11], id="what stays away is"),
        pytest.param([None, B, B], [3], id="what comes in its place is read when it is still"),
        pytest.param([None] * 11 + [B, B], [11, 13], id="what comes later is read as well"),
        pytest.param(
            [(1, number) for number in range(2, 30)], [26], id="what is never still is read at last"
        ),
    ],
)
def test_a_file_is_read_when_it_has_changed_and_is_whole(stamps: list[Stamp], read: list[int]) -> None:
    assert looks(*stamps) == read


def test_a_file_that_was_not_there_before_is_not_missed() -> None:
    settling = Settling({"file": A, "other": None})

    assert not settling.look({"file": B, "other": None})
    assert settling.look({"file": B, "other": None})


def test_a_stamp_tells_a_changed_file_another_one_and_one_that_is_away(tmp_path: Path) -> None:
    file, other, link = (tmp_path / name for name in ("file", "other", "link"))
    file.write_text("a")
    other.write_text("b")
    link.symlink_to(file)
    seen: list[Stamps] = [stamps_of([str(link)])]

    def lead_elsewhere() -> None:
        link.unlink()
        link.symlink_to(other)

    for change in (lambda: file.write_text("ab"), lambda: file.chmod(0o600), lead_elsewhere, link.unlink):
        change()
        seen.append(stamps_of([str(link)]))

    assert len({each[str(link)] for each in seen}) == len(seen)
    assert seen[-1] == {str(link): None}
    assert stamps_of(["\0"]) == {"\0": None}
