"""The options of the server."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers.deploy_status.releasing import HISTORY, Repository, path, record, write_files
from tunnelgate_servers.deploy_status import create_app
from tunnelgate_servers.hosting import OptionsError

NAMESPACES = {"production": "shop"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "releases", HISTORY)


def refused(**options: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        create_app(**options)
    return str(caught.value)


def test_a_folder_and_a_repository_can_be_named_as_text_or_as_path(folder: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "releases.git")
    repository.commit({path(1): record()})
    repository.close()

    for place in (folder, repository.folder):
        assert create_app(releases=place).title == create_app(releases=str(place)).title == "deploy_status"


@pytest.mark.parametrize("releases", ["", None, 5, ["releases"]])
def test_releases_has_to_be_a_path(releases: Any) -> None:
    assert refused(releases=releases) == (
        "The option releases needs the path of a folder or of a git repository."
    )


def test_releases_has_to_be_there(tmp_path: Path) -> None:
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.touch()

    for place in (missing, file):
        assert refused(releases=place) == (
            f"The option releases names {place}, which is not there or not a folder."
        )


@pytest.mark.parametrize(
    "ref",
    [
        "",
        None,
        5,
        "-x",
        "a b",
        "../HEAD",
        "a..b",
        "HEAD~1",
        "main^",
        "@{upstream}",
        "a//b",
        "a/",
        ".git",
        "x" * 251,
    ],
)
def test_ref_has_to_be_a_plain_name(folder: Path, ref: Any) -> None:
    assert refused(releases=folder, ref=ref) == (
        "The option ref needs the name of a branch or a tag, or a commit."
    )


def test_ref_is_for_a_repository(folder: Path) -> None:
    assert refused(releases=folder, ref="main") == (
        f"The option ref is for a git repository, and {folder} is none."
    )


def test_ref_has_to_be_there(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "releases.git")
    repository.close()

    assert refused(releases=repository.folder) == (
        "The option releases cannot be used: The repository of the release records does not have the ref it "
        "is read at."
    )


@pytest.mark.parametrize("given", ["resource", "oauth"])
def test_resource_and_oauth_belong_together(folder: Path, given: str) -> None:
    options: dict[str, Any] = {
        given: "https://deploy.example.com/mcp" if given == "resource" else {"issuers": []}
    }

    assert "oauth" in refused(releases=folder, **options) or "resource" in refused(releases=folder, **options)


@pytest.mark.parametrize(
    ("kubernetes", "said"),
    [
        pytest.param({}, "namespaces", id="nothing"),
        pytest.param({"in_cluster": True, "namespaces": {}}, "namespaces", id="no namespace"),
        pytest.param({"namespaces": NAMESPACES}, "needs kubeconfig and context, or in_cluster", id="no way"),
        pytest.param(
            {"kubeconfig": "k", "namespaces": NAMESPACES}, "needs kubeconfig and context", id="no context"
        ),
        pytest.param({"context": "c", "namespaces": NAMESPACES}, "needs kubeconfig", id="no kubeconfig"),
        pytest.param(
            {"in_cluster": True, "kubeconfig": "k", "context": "c", "namespaces": NAMESPACES},
            "needs kubeconfig and context, or in_cluster",
            id="two ways",
        ),
        pytest.param({"in_cluster": "yes", "namespaces": NAMESPACES}, "in_cluster", id="a word for true"),
        pytest.param({"in_cluster": True, "namespaces": {"a": "B_"}}, "namespaces", id="no namespace's name"),
        pytest.param(
            {"in_cluster": True, "namespaces": {"../a": "b"}}, "namespaces", id="no environment's name"
        ),
        pytest.param({"in_cluster": True, "namespaces": NAMESPACES, "timeout": 0}, "timeout", id="no time"),
        pytest.param(
            {"in_cluster": True, "namespaces": NAMESPACES, "timeout": 31}, "timeout", id="too much time"
        ),
        pytest.param({"in_cluster": True, "namespaces": NAMESPACES, "token": "t"}, "token", id="another key"),
        pytest.param("in_cluster", "The option kubernetes", id="a text"),
    ],
)
def test_kubernetes_is_checked_before_anything_is_asked(folder: Path, kubernetes: Any, said: str) -> None:
    sentence = refused(releases=folder, kubernetes=kubernetes)

    assert sentence.startswith("The option kubernetes")
    assert said in sentence


def test_every_fault_of_kubernetes_is_named_at_once(folder: Path) -> None:
    sentence = refused(releases=folder, kubernetes={"timeout": 0, "in_cluster": "yes", "nodes": 3})

    assert all(name in sentence for name in ("timeout", "in_cluster", "nodes", "namespaces"))


WITHOUT_THE_CLIENT = """
import sys
sys.modules["kubernetes"] = None
from tunnelgate_servers.deploy_status import create_app
from tunnelgate_servers.hosting import OptionsError
create_app(releases=sys.argv[1])
try:
    create_app(releases=sys.argv[1], kubernetes={"in_cluster": True, "namespaces": {"production": "shop"}})
except OptionsError as error:
    print(error)
"""


def test_without_the_extra_it_serves_records_and_names_what_is_missing(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_CLIENT, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "The option kubernetes needs kubernetes: pip install 'tunnelgate[kubernetes]'.\n"


WITHOUT_A_CLUSTER = """
import sys
from tunnelgate_servers.deploy_status import create_app
create_app(releases=sys.argv[1])
sys.exit("kubernetes" in sys.modules)
"""


def test_the_client_is_imported_only_when_a_cluster_is_configured(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_A_CLUSTER, str(folder)], timeout=60, check=False)

    assert done.returncode == 0
