"""Where the demo keeps its files, and what another command needs to talk to one that runs."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from tunnelgate_app.errors import CommandError

HOST = "127.0.0.1"
_FILE = "state.json"


class DemoError(CommandError):
    """The demo cannot be prepared, or is not there to be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class DemoState:
    """What another command needs to talk to a running demo."""

    port: int
    client_id: str
    client_secret: str

    @property
    def gate(self) -> str:
        """The URL at which the demo listens."""
        return f"http://{HOST}:{self.port}"

    @classmethod
    def from_folder(cls, folder: Path) -> "DemoState":
        """Return the state of the demo that was started last; raises :class:`DemoError`."""
        try:
            state = cls(**orjson.loads((folder / _FILE).read_bytes()))
            if [type(value) for value in asdict(state).values()] != [int, str, str]:
                raise ValueError
        except (OSError, ValueError, TypeError):
            raise DemoError(f"no demo has kept its state in {folder}; start one: tunnelgate demo") from None
        return state

    def write(self, folder: Path) -> None:
        """Write the state into ``folder``, for its owner alone; raises :class:`OSError`."""
        write_private(folder / _FILE, orjson.dumps(asdict(self)))


def default_state_folder() -> Path:
    """Return where the demo keeps its files: the user's state folder (XDG Base Directory)."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # which the specification says to ignore
        base = Path(os.path.expanduser("~/.local/state"))  # noqa: PTH111 - Path.home() raises where nobody has one
    return base / "tunnelgate" / "demo"


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, also where another one was there before."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@contextmanager
def written_into(folder: Path) -> Generator[None]:
    """Make ``folder``, for its owner alone, and surround what writes into it; raises :class:`DemoError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DemoError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
