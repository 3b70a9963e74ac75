"""Writes what a demo needs besides its data: keys, secrets, and a configuration that can be looked at.

`tunnelgate serve --config` serves that configuration just as well.
"""

import secrets
from pathlib import Path
from typing import Final

import yaml

from tunnelgate_app.demo.configuration import DemoFiles
from tunnelgate_app.demo.program import python_client
from tunnelgate_app.demo.state import DemoError, DemoState, write_private, written_into
from tunnelgate_app.issuer import SigningKey

CLIENT_ID: Final = "demo"
"""The client that `tunnelgate token` and `tunnelgate probe` are."""

PROGRAM: Final = "client.py"
"""The file with a program for the official Python SDK."""

_HEADER = "# Made by `tunnelgate demo`, which writes it anew each time it starts.\n"
_SECRET_OCTETS = 24
_PACKAGE = Path(__file__).parent.parent


def default_documents(package: Path = _PACKAGE) -> tuple[Path, tuple[Path, ...]]:
    """Return the folder and the single files that the demo's docs server indexes.

    They are in ``package`` where it was installed, and beside it in a working copy.
    Raises :class:`DemoError` where there are none.
    """
    for root in (package / "documents", package.parent.parent):
        if (root / "docs").is_dir() and (root / "README.md").is_file():
            return root / "docs", (root / "README.md",)
    raise DemoError("there are no documents to search; name a folder with --docs")


def prepare(folder: Path, port: int, documents: Path, extra_files: tuple[Path, ...] = ()) -> Path:
    """Write what the demo needs into ``folder`` and return the path of its configuration.

    Raises :class:`DemoError` when the folder cannot be written.
    """
    folder, documents = folder.absolute(), documents.absolute()
    extra_files = tuple(path.absolute() for path in extra_files)
    state = DemoState(port, CLIENT_ID, secrets.token_urlsafe(_SECRET_OCTETS))
    files = DemoFiles(folder, state, secrets.token_urlsafe(_SECRET_OCTETS), documents, extra_files)
    configuration = folder / "tunnelgate.yaml"
    with written_into(folder):
        key = SigningKey.generate()
        key.write(folder / "signing-key.json")
        (folder / "jwks.json").write_bytes(key.public_set())
        state.write(folder)
        (folder / PROGRAM).write_text(python_client(state), "utf-8")
        text = yaml.safe_dump(files.configuration(), sort_keys=False)
        write_private(configuration, (_HEADER + text).encode())
    return configuration
