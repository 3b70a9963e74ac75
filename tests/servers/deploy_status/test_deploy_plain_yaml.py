"""YAML without its surprises."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_servers.deploy_status import plain_yaml
from tunnelgate_servers.deploy_status.plain_yaml import MAX_DEPTH, YamlError, read_plain_yaml

TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=20)
VALUES = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(params=["with libyaml", "without libyaml"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with each of the two parsers that PyYAML has."""
    if request.param == "without libyaml":
        monkeypatch.setattr(plain_yaml, "_Loader", yaml.SafeLoader)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("version: 1.10", {"version": "1.10"}, id="a number stays a text"),
        pytest.param("a: yes\nb: null\nc: ~", {"a": "yes", "b": "null", "c": "~"}, id="words stay words"),
        pytest.param("at: 2026-03-31T09:12:44Z", {"at": "2026-03-31T09:12:44Z"}, id="a time stays a text"),
        pytest.param("a:", {"a": ""}, id="nothing is an empty text"),
        pytest.param("a: [b, {c: d}]", {"a": ["b", {"c": "d"}]}, id="lists and mappings"),
        pytest.param("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}, id="a text of several lines"),
        pytest.param("\ufeffa: b", {"a": "b"}, id="with a byte order mark"),
        pytest.param("- a\n- b", ["a", "b"], id="a list"),
        pytest.param("plain", "plain", id="a text alone"),
        pytest.param("<<: b", {"<<": "b"}, id="a merge key is a key like others"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_what_stands_in_the_file_is_what_is_read(text: str, read: Any) -> None:
    assert read_plain_yaml(text.encode()) == read


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"a: &x b\nc: *x", "it has an anchor in line 1", id="an anchor"),
        pytest.param(b"a: &x [b]", "it has an anchor in line 1", id="an anchor at a list"),
        pytest.param(b"a: *x", "it has an alias in line 1", id="an alias"),
        pytest.param(b"a: !!python/name:os.system", "it has a tag in line 1", id="a tag of Python"),
        pytest.param(b"a: !!str 1", "it has a tag in line 1", id="a tag at a text"),
        pytest.param(b"a: b\nc: !!set {d}", "it has a tag in line 2", id="a tag at a mapping"),
        pytest.param(b"a: b\na: c", "it has a key twice in line 2", id="a key twice"),
        pytest.param(b"[a]: b", "it has a key that is not a text in line 1", id="a list as a key"),
        pytest.param(b"a: b\n---\nc: d", "it has a second document in line 2", id="a second document"),
        pytest.param(b"", "it is empty", id="nothing"),
        pytest.param(b"# a comment", "it is empty", id="a comment alone"),
        pytest.param(b"a: [b", "it is not YAML in line ", id="a list without an end"),
        pytest.param(b"a: b: c", "it is not YAML in line 1", id="two colons"),
        pytest.param(b"a: \xff", "it is not UTF-8 (at byte 3)", id="not UTF-8"),
        pytest.param(b"\xff\xfea\0", "it is not UTF-8 (at byte 0)", id="UTF-16"),
        pytest.param(b"a: \x00", "it is not YAML", id="NUL"),
        pytest.param(b"a: \x07", "it is not YAML", id="a bell"),
        pytest.param(b"[" * 60_000, "it is nested too deep in line 1", id="60,000 open lists"),
        pytest.param(b"{a: " * 15_000, "it is nested too deep in line 1", id="15,000 open mappings"),
        pytest.param(b"- " * 30_000, "it is nested too deep in line 1", id="30,000 lists in one line"),
    ],
)
@pytest.mark.usefixtures("parser")
def test_a_surprise_is_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(YamlError) as caught:
        read_plain_yaml(content)

    assert str(caught.value).startswith(sentence)


def test_the_depth_has_a_limit() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH

    assert read_plain_yaml(deepest)
    with pytest.raises(YamlError, match="nested too deep"):
        read_plain_yaml(b"[" + deepest + b"]")


def test_aliases_that_would_become_large_are_refused_at_the_first() -> None:
    levels = [b"a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)]

    with pytest.raises(YamlError, match="it has an anchor in line 1"):
        read_plain_yaml(b"\n".join(levels))


@given(VALUES)
def test_what_was_written_is_read_again(value: Any) -> None:
    assert read_plain_yaml(yaml.safe_dump(value, allow_unicode=True).encode()) == value


@given(st.binary(max_size=200) | st.text("[]{}:,-&*!|>'\"#%@` \n?a", max_size=60).map(str.encode))
def test_whatever_it_is_given_it_reads_it_or_has_a_sentence(content: bytes) -> None:
    reason = "it was read"
    try:
        read_plain_yaml(content)
    except YamlError as error:
        reason = str(error)

    assert reason.startswith("it ")
