from pkgutil import iter_modules
from typing import Any

import pytest

from tests.fuzz.target import NAMES, Target, load
from tests.fuzz.targets import __path__ as targets_path
from tunnelgate import reading

# What reads nothing: an exception, and a table. The parameters are read with their message.
NO_READERS = {"fault", "methods", "params"}
# Further targets of one module.
READ_BY = {"network": "address", "upstream_address": "address"}
READERS = {
    "address": "read_address",
    "answer": "read_answer",
    "answer_head": "read_answer_head",
    "bearer": "read_credentials",
    "dpop": "read_proof",
    "event_stream": "EventReader",
    "forwarded": "read_forwarded",
    "head": "read_head",
    "host": "read_host",
    "http_answer": "HttpAnswerReader",
    "media_type": "read_media_type",
    "message": "read_message",
    "mirrored": "read_header",
    "network": "read_network",
    "strict_json": "read_json",
    "upstream_address": "read_address",
    "uri_template": "UriTemplate",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_keeps_its_promise_for_every_seed(name: str) -> None:
    target = load(name)

    for seed in target.seeds():
        try:
            target.check(seed)
        except Exception as error:
            error.add_note(f"the seed is {seed!r}")
            raise


@pytest.mark.parametrize("name", NAMES)
def test_a_target_begins_with_inputs_of_every_length_down_to_none(name: str) -> None:
    seeds = list(load(name).seeds())

    assert len(seeds) > 10
    load(name).check(b"")


def test_every_reader_has_a_target_and_every_target_is_run() -> None:
    readers = {module.name for module in iter_modules(reading.__path__)} - NO_READERS

    assert {READ_BY.get(name, name) for name in NAMES} == readers
    assert {module.name for module in iter_modules(targets_path)} == set(NAMES) == set(READERS)


def _check_all(target: Target) -> None:
    for seed in target.seeds():
        target.check(seed)


class _BrokenError(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_a_target_notices_when_anything_but_a_fault_escapes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise _BrokenError

    monkeypatch.setattr(load(name), READERS[name], broken)

    with pytest.raises(_BrokenError):
        _check_all(load(name))
