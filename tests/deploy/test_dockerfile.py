"""The images are built from files that are there, by steps that need no engine to be judged."""

import ast
import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.dockerfile import DOCKERFILE, ROOT, Stage, read_stages

STAGES = read_stages()
IMAGES = ["gate", "servers"]
USER = "65532:65532"


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param]


def test_the_image_of_the_gate_is_what_is_built_where_nobody_says_which() -> None:
    assert list(STAGES)[-1] == "gate"


def test_every_base_image_is_pinned_by_a_version_and_a_digest() -> None:
    bases = {stage.image for stage in STAGES.values() if stage.parent is None}

    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.13\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases.pop())


def test_every_source_that_is_copied_is_there_and_part_of_the_context() -> None:
    patterns = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [
        source
        for stage in STAGES.values()
        for each in stage.own
        if each.name == "COPY" and "from" not in each.flags
        for source in each.words[:-1]
    ]

    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_sent(patterns, source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".venv/bin/python",
        ".state/demo",
        "deploy/compose/secrets/tunnel-token",
        "tests/conftest.py",
    ],
)
def test_what_an_image_needs_nothing_of_is_not_even_sent_to_the_engine(path: str) -> None:
    assert not is_sent((ROOT / ".dockerignore").read_text("utf-8").splitlines(), path)


def is_sent(patterns: Sequence[str], path: str) -> bool:
    """Return whether a path is part of the context: the last pattern that is about it decides."""
    sent = True
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if not pattern.startswith("#") and any(fnmatch(each, bare) for each in [path, *above(path)]):
            sent = pattern.startswith("!")
    return sent


def above(path: str) -> list[str]:
    return [str(each) for each in Path(path).parents if str(each) != "."]


def test_a_copy_from_another_stage_names_a_stage_before_it() -> None:
    names = list(STAGES)
    for name, stage in STAGES.items():
        for each in stage.own:
            if "from" in each.flags:
                assert each.flags["from"] in names[: names.index(name)]


def test_what_is_installed_is_pinned_by_hash_and_brings_no_code_that_runs_meanwhile() -> None:
    commands = [
        command.strip()
        for stage in STAGES.values()
        for each in stage.own
        if each.name == "RUN"
        for command in each.text.split("&&")
        if " install " in command
    ]

    assert len(commands) == 5
    for command in commands:
        if "--requirement" in command:
            assert "--require-hashes --only-binary :all:" in command
        else:
            assert "--no-deps --no-index --find-links /wheels tunnelgate" in command


def test_it_runs_as_nobody_in_particular_by_number(image: Stage) -> None:
    assert image.last("USER").text == USER


def test_it_is_stopped_by_the_signal_that_the_gate_finishes_its_calls_at(image: Stage) -> None:
    assert image.last("STOPSIGNAL").text == "SIGTERM"


def test_what_runs_needs_no_shell(image: Stage) -> None:
    commands = [image.last(name).exec_form for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK")]

    assert [words[0] for words in commands if words[0] in ("sh", "bash", "/bin/sh")] == []


def test_it_writes_no_bytecode_because_it_could_not(image: Stage) -> None:
    assert image.environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_nothing_that_is_copied_belongs_to_the_user_but_the_folder_of_the_data() -> None:
    given = {
        (name, each.words[-1])
        for name, stage in STAGES.items()
        for each in stage.own
        if each.name == "COPY" and "chown" in each.flags
    }

    assert given == {("servers", "/var/lib/tunnelgate")}


def test_the_health_check_is_a_program_that_python_reads(image: Stage) -> None:
    python, flags, program = image.last("HEALTHCHECK").exec_form

    assert (python, flags[0]) == ("python", "-")
    assert "I" in flags, "what lies in the working folder must not be imported"
    ast.parse(program)


def test_the_gate_reads_the_file_of_the_image_that_it_takes_the_place_of() -> None:
    gate = STAGES["gate"]

    assert gate.last("ENTRYPOINT").exec_form == ["tunnelgate"]
    assert gate.last("CMD").exec_form == ["serve", "--config", "/etc/mcp-gateway/config.yaml"]


def test_each_line_that_builds_an_image_in_the_documentation_names_a_stage_that_is_there() -> None:
    page = (ROOT / "deploy" / "README.md").read_text("utf-8")
    lines = [line.removeprefix("#").strip() for line in DOCKERFILE.read_text("utf-8").splitlines()]
    built = re.findall(r"^docker build .*$", "\n".join([page, *lines]), re.MULTILINE)

    assert len(built) == 4
    for line in built:
        assert "--file deploy/docker/Dockerfile" in line
        assert re.findall(r"--target (\w+)", line) in ([], ["servers"])
