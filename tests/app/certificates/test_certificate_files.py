import fcntl
import os
import resource
import stat
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.app.certificates.folders import NEW
from tunnelgate_app.certificates.contents import Change
from tunnelgate_app.certificates.files import FolderError, locked, read_folder, write_change
from tunnelgate_app.certificates.owner import Owner

LIMIT = 20  # seconds
NOBODY = 65534
# Only root may give files away, and where somebody else runs the tests they give them to themselves.
SOMEBODY = Owner(65532, 65533) if os.geteuid() == 0 else Owner(os.geteuid(), os.getegid())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def folder_of_a_user() -> Generator[Path]:
    """Be a user who is not root, with a folder of their own."""
    with tempfile.TemporaryDirectory() as name:
        was = os.geteuid()
        if was == 0:
            os.chown(name, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(was)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owner(path: Path) -> Owner:
    return Owner(path.stat().st_uid, path.stat().st_gid)


def writing(**files: bytes) -> Change:
    return Change((), {name.replace("_", "."): content for name, content in files.items()})


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_keys_are_their_owners_alone_and_certificates_are_for_everybody(folder: Path, umask: int) -> None:
    was = os.umask(umask)
    try:
        write_change(folder, Change((), NEW))
    finally:
        os.umask(was)

    modes = {path.name: mode(path) for path in folder.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o644, "tls.key": 0o600}
    assert read_folder(folder) == NEW


class Watcher(threading.Thread):
    """Looks at a folder all the time, and keeps what should never be seen in it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.done = threading.Event()
        self.rounds = 0
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.done.is_set():
            for entry in os.scandir(self.folder):
                self.look(Path(entry.path))
            self.rounds += 1

    def look(self, path: Path) -> None:
        try:
            found, content = mode(path), path.read_bytes()
        except FileNotFoundError:
            return  # renamed since it was listed
        self.seen.add(path.name)
        if ".key" in path.name and found != 0o600:
            self.wrong.append(f"{path.name} has the mode {found:o}")
        if not path.name.startswith(".") and not content.endswith(b"-----\n"):
            self.wrong.append(f"{path.name} has {len(content)} octets")


def test_nobody_ever_sees_an_open_key_or_a_part_of_a_file(folder: Path) -> None:
    write_change(folder, Change((), NEW))
    watcher = Watcher(folder)
    was = os.umask(0)
    try:
        watcher.start()
        while watcher.rounds < 300 or ".tls.key.new" not in watcher.seen:
            write_change(folder, Change((), NEW))
    finally:
        os.umask(was)
        watcher.done.set()
        watcher.join(LIMIT)

    assert watcher.wrong == []


def test_a_pair_with_the_same_key_matches_whenever_it_is_read(folder: Path) -> None:
    write_change(folder, Change((), NEW))

    write_change(folder, writing(tls_crt=NEW["tls.crt"]))

    certificate = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
    key = load_pem_private_key((folder / "tls.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()


def test_a_file_that_is_open_keeps_what_it_had(folder: Path) -> None:
    write_change(folder, writing(tls_crt=b"old"))

    with (folder / "tls.crt").open("rb") as reader:
        write_change(folder, writing(tls_crt=b"new"))

        assert reader.read() == b"old"
    assert (folder / "tls.crt").read_bytes() == b"new"


def test_what_a_killed_command_left_behind_is_in_nobodys_way(folder: Path) -> None:
    left = folder / ".tls.key.new"
    left.write_bytes(b"half a k")
    left.chmod(0o644)

    write_change(folder, writing(tls_key=b"whole"))

    assert (folder / "tls.key").read_bytes() == b"whole"
    assert mode(folder / "tls.key") == 0o600
    assert [path.name for path in folder.iterdir()] == ["tls.key"]


def test_a_link_in_the_place_of_the_new_file_is_not_followed(folder: Path) -> None:
    target = folder / "elsewhere"
    (folder / ".tls.key.new").symlink_to(target)

    write_change(folder, writing(tls_key=b"whole"))

    assert not target.exists()
    assert not (folder / "tls.key").is_symlink()


def test_files_are_removed_also_when_they_are_gone_already(folder: Path) -> None:
    write_change(folder, Change((), {"ca.crt": b"stays", "ca-old.crt": b"goes"}))

    write_change(folder, Change((), removes=("ca-old.key", "ca-old.crt")))

    assert read_folder(folder) == {"ca.crt": b"stays"}


def test_where_one_file_cannot_be_written_none_is_replaced(folder: Path) -> None:
    write_change(folder, writing(tls_key=b"old", tls_crt=b"old"))
    (folder / ".tls.crt.new").mkdir()

    with pytest.raises(FolderError, match=r"\.tls\.crt\.new cannot be written: Is a directory"):
        write_change(folder, writing(tls_key=b"new", tls_crt=b"new"))

    assert read_folder(folder) == {"tls.key": b"old", "tls.crt": b"old"}
    assert sorted(path.name for path in folder.iterdir()) == [".tls.crt.new", "tls.crt", "tls.key"]


def test_a_file_for_which_there_is_no_room_leaves_the_folder_as_it_was(folder: Path) -> None:
    write_change(folder, writing(tls_key=b"old", tls_crt=b"old"))
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, was[1]))
    try:
        with pytest.raises(FolderError, match="cannot be written: File too large"):
            write_change(folder, writing(tls_key=b"new", tls_crt=bytes(1001)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "tls.key": b"old",
        "tls.crt": b"old",
    }


def test_what_the_gate_reads_is_given_away_and_the_keys_of_cas_are_not(folder: Path) -> None:
    ours = Owner(os.geteuid(), os.getegid())

    write_change(folder, Change((), NEW), SOMEBODY)

    owners = {path.name: owner(path) for path in folder.iterdir()}
    assert owners == {"ca.crt": SOMEBODY, "ca.key": ours, "tls.crt": SOMEBODY, "tls.key": SOMEBODY}


def test_what_was_there_before_is_given_away_too(folder: Path) -> None:
    write_change(folder, Change((), NEW))

    write_change(folder, Change(()), SOMEBODY)

    assert owner(folder / "tls.key") == SOMEBODY
    assert mode(folder / "tls.key") == 0o600


def test_a_file_that_takes_anothers_place_belongs_to_whom_that_one_belonged(folder: Path) -> None:
    write_change(folder, Change((), NEW), SOMEBODY)

    write_change(folder, Change((), NEW))

    assert owner(folder / "tls.crt") == owner(folder / "tls.key") == SOMEBODY


def test_a_user_alone_leaves_the_group_as_it_is(folder: Path) -> None:
    write_change(folder, Change((), NEW), Owner(SOMEBODY.user))

    assert owner(folder / "tls.key") == Owner(SOMEBODY.user, os.getegid())


@pytest.mark.parametrize("files", [NEW, {}], ids=["new ones", "those that are there"])
def test_only_root_gives_files_away(folder_of_a_user: Path, files: dict[str, bytes]) -> None:
    write_change(folder_of_a_user, Change((), NEW))
    before = {path: path.stat() for path in folder_of_a_user.iterdir()}

    with pytest.raises(FolderError) as caught:
        write_change(folder_of_a_user, Change((), files), Owner(65532))

    assert str(caught.value) == (
        f"{folder_of_a_user} cannot be given to the user 65532: Operation not permitted. Run this as root."
    )
    assert {path: path.stat() for path in folder_of_a_user.iterdir()} == before


def test_a_folder_that_may_not_be_written_is_said(folder_of_a_user: Path) -> None:
    folder_of_a_user.chmod(0o500)

    with pytest.raises(FolderError, match=r"\.tls\.crt\.new cannot be written: Permission denied"):
        write_change(folder_of_a_user, writing(tls_crt=b"new"))

    folder_of_a_user.chmod(0o700)


def test_a_file_that_may_not_be_read_is_said(folder_of_a_user: Path) -> None:
    (folder_of_a_user / "tls.key").touch(0o000)

    with pytest.raises(FolderError, match=r"tls\.key cannot be read: Permission denied"):
        read_folder(folder_of_a_user)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_said(folder: Path, name: str) -> None:
    (folder / "file").touch()

    with pytest.raises(FolderError, match=f"{name} is not there, or is no folder"):
        read_folder(folder / name)
    with pytest.raises(FolderError, match=f"{name} cannot be opened"), locked(folder / name):
        pass


def test_a_folder_is_made_with_those_above_it_where_that_is_asked_for(folder: Path) -> None:
    with locked(folder / "a" / "b", make=True):
        assert read_folder(folder / "a" / "b") == {}


def test_a_folder_that_cannot_be_made_is_said(folder: Path) -> None:
    (folder / "file").touch()

    with (
        pytest.raises(FolderError, match="cannot be opened: Not a directory"),
        locked(folder / "file" / "b", make=True),
    ):
        pass


def test_two_commands_do_not_change_a_folder_at_the_same_time(folder: Path) -> None:
    with locked(folder):
        with pytest.raises(FolderError, match="another command is changing"), locked(folder):
            pass
        with locked(folder.parent):
            pass

    with locked(folder):
        pass


def test_the_lock_is_no_file_of_its_own(folder: Path) -> None:
    with locked(folder):
        assert [*folder.iterdir()] == []
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.close(descriptor)
