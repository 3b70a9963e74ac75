import ctypes
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import read_stages
from tests.image.building import Builder, Layers, call

STAGES = read_stages()
_MOUNTS = 0x00020000  # CLONE_NEWNS: unshare(2)


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Generator[Builder]:
    """Leave the mounts of the machine, and make room in memory for what is built."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_MOUNTS) != 0:
        reason = os.strerror(ctypes.get_errno())
        pytest.fail(f"there are no mounts of one's own here: {reason}. Run this as root", pytrace=False)
    call("mount", "--make-rprivate", "/")
    folder = tmp_path_factory.mktemp("images")
    call("mount", "-t", "tmpfs", "tmpfs", folder)
    yield Builder(folder)
    call("umount", "--recursive", folder)


@pytest.fixture(scope="session")
def gate_image(builder: Builder) -> Layers:
    return builder.build(STAGES["gate"], STAGES)


@pytest.fixture(scope="session")
def servers_image(builder: Builder) -> Layers:
    return builder.build(STAGES["servers"], STAGES)


@pytest.fixture
def place(builder: Builder, request: pytest.FixtureRequest) -> Path:
    """Return a path of the test's own, which is not there yet."""
    return builder.folder / "containers" / str(abs(hash(request.node.nodeid)))
