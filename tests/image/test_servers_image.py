"""The image of the sample servers runs what the Compose file asks of it, with what that mounts."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.composing import FOLDER, services
from tests.deploy.dockerfile import read_stages
from tests.image.building import Layers
from tests.image.containers import Container, Mount, mounted, serving
from tests.support.tokens import jwks

STAGE = read_stages()["servers"]
ENTRYPOINT = STAGE.last("ENTRYPOINT").exec_form
SERVICES = services()
JOBS = {"docs": "docs-index", "tickets": "tickets-migrate", "billing": "billing-migrate"}
NOBODY = (65532, 65532)


def mounts_of(service: Any, folder: Path) -> list[Mount]:
    """Return what a service mounts; its volumes are folders below ``folder``."""
    mounts: list[Mount] = []
    for each in service["volumes"]:
        source = folder / each["source"]
        if each["type"] == "volume":
            source = folder / "volumes" / each["source"]
            source.mkdir(parents=True, exist_ok=True)
            os.chown(source, *NOBODY)  # as the folder of the image that it is put upon
        elif each["source"].startswith("../"):
            source = (FOLDER / each["source"]).resolve()
        mounts.append(Mount(source, each["target"], bool(each.get("read_only", False))))
    return mounts


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest" in folder.name or folder == tmp_path:
            folder.chmod(0o755)
    for name in ("servers", "releases"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    (tmp_path / "servers" / "jwks.json").write_bytes(jwks("ES256"))
    return tmp_path


def test_the_folder_of_the_data_belongs_to_the_user(servers_image: Layers) -> None:
    status = servers_image.inside("/var/lib/tunnelgate").stat()

    assert (status.st_uid, status.st_gid) == NOBODY


@pytest.mark.parametrize("name", ["docs", "tickets", "billing", "deploy"])
def test_a_server_starts_and_is_healthy(name: str, servers_image: Layers, outside: Path, place: Path) -> None:
    service = SERVICES[name]
    with ExitStack() as stack:
        if name in JOBS:
            job = SERVICES[JOBS[name]]
            root = place.with_suffix(".job")
            with mounted(servers_image, root, mounts_of(job, outside), ["/tmp"]):
                done = Container(root, STAGE.environment, job["user"]).run(*ENTRYPOINT, *job["command"])
            assert done.returncode == 0, done.stderr
        root = stack.enter_context(mounted(servers_image, place, mounts_of(service, outside), ["/tmp"]))
        container = Container(root, STAGE.environment, service["user"], working="/var/lib/tunnelgate")
        with serving(container, [*ENTRYPOINT, *service["command"]], "listens on") as server:
            healthy = server.run(*service["healthcheck"]["test"][1:])
            by_image = server.run(*STAGE.last("HEALTHCHECK").exec_form)

    assert healthy.returncode == 0, healthy.stderr
    assert by_image.returncode == 0, by_image.stderr


def test_the_health_check_of_the_compose_file_is_that_of_the_image() -> None:
    for name in ("docs", "tickets", "billing", "deploy"):
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", *STAGE.last("HEALTHCHECK").exec_form]
    gate = read_stages()["gate"].last("HEALTHCHECK").exec_form
    assert SERVICES["gate"]["healthcheck"]["test"] == ["CMD", *gate]
