from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tunnelgate import Issuer
from tunnelgate.fingerprints import file_fingerprint, fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="mappings in another order"),
        pytest.param({"a": 1}, MappingProxyType({"a": 1}), id="a mapping that is frozen"),
        pytest.param([1, 2], (1, 2), id="a list and a tuple"),
        pytest.param({3, 1, 2}, frozenset({2, 3, 1}), id="sets"),
        pytest.param(
            Issuer(issuer="https://a.example.com"), Issuer(issuer="https://a.example.com"), id="sections"
        ),
        pytest.param(Path("a"), Path("a"), id="paths"),
        pytest.param("\ud800", "\ud800", id="what is no Unicode"),
    ],
)
def test_what_means_the_same_has_one_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(other)


VALUES: list[Any] = [
    *(None, True, 1, 1.0, "1", b"1", "True", "", [], {}, set[int](), [[]], [""], [None], {"": ""}),
    *(
        ["a", "b"],
        ["a,b"],
        ["b", "a"],
        ["a"],
        {"a": "b"},
        {"a": ["b"]},
        {"b": "a"},
        {"a", "b"},
        Path("a"),
        "a",
    ),
    *("str 'a'", "a\nb", ["a", ["b"]], [["a"], "b"], {"a": 1}, {"a": True}, {"a": None}),
    Issuer(issuer="https://a.example.com"),
    Issuer(issuer="https://a.example.com", max_token_lifetime=1),
]


def test_what_means_something_else_has_another() -> None:
    found = {fingerprint(value) for value in VALUES} | {
        fingerprint("a", "b"),
        fingerprint("b", "a"),
        fingerprint(),
    }

    assert len(found) == len(VALUES) + 3


def test_a_file_has_the_fingerprint_of_its_content(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for file, content in ((one, "a"), (same, "a"), (other, "b")):
        file.write_text(content)

    assert file_fingerprint(one) == file_fingerprint(str(same)) != file_fingerprint(other)
    with pytest.raises(FileNotFoundError):
        file_fingerprint(tmp_path / "missing")
