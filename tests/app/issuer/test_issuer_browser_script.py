import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.checkout


def run(path: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "scripts" / "browser"],
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_chromium_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    for tool in ("dirname", "sh", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)

    done = run(str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "There is no Chromium: apt-get install -y chromium, or name one in CHROMIUM.\n"


def test_a_chromium_that_is_not_there_is_not_overlooked(tmp_path: Path) -> None:
    done = run(os.environ["PATH"], CHROMIUM=str(tmp_path / "none"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no Chromium: ")
