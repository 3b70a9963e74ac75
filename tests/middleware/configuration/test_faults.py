from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from tunnelgate import ConfigurationError, ConfigurationFault
from tunnelgate.configuration.faults import EVERYTHING_TAG, LIST_TAG, MAPPING_TAG, faults_of, path_of, show


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param((), "", id="the whole"),
        pytest.param(("clients",), "clients", id="one key"),
        pytest.param(("routes", "docs", "tools", 0), "routes.docs.tools[0]", id="a place in a list"),
        pytest.param(("a", 0, 1, "b"), "a[0][1].b", id="a list in a list"),
        pytest.param((0, "a"), "[0].a", id="a list at the top"),
        pytest.param(
            ("routes", "docs.example.com", "path"), 'routes."docs.example.com".path', id="a key with dots"
        ),
        pytest.param(
            ("routes", "docs", "tools", LIST_TAG, 2), "routes.docs.tools[2]", id="the form of a list"
        ),
        pytest.param(
            ("routes", "docs", "tools", MAPPING_TAG, "x", "scopes"),
            "routes.docs.tools.x.scopes",
            id="the form of a mapping",
        ),
        pytest.param(
            ("routes", "docs", "tools", EVERYTHING_TAG), "routes.docs.tools", id="the form of one word"
        ),
        pytest.param(
            ("resources", MAPPING_TAG, "docs:///guide.md", "scopes", 0),
            'resources."docs:///guide.md".scopes[0]',
            id="a URI for a key",
        ),
        pytest.param(("tools", "search", "[key]"), "tools.search", id="a key that is wrong itself"),
    ],
)
def test_a_path_names_the_place_as_a_person_would(location: tuple[int | str, ...], path: str) -> None:
    assert path_of(location) == path


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("docs", "'docs'", id="a text"),
        pytest.param(7, "7", id="a number"),
        pytest.param(None, "None", id="nothing"),
        pytest.param([1, "a"], "[1, 'a']", id="a list"),
        pytest.param("two\nlines", "'two\\nlines'", id="a text of two lines"),
        pytest.param("\x1b[31m", "'\\x1b[31m'", id="a text that would colour a terminal"),
        pytest.param("a" * 58, "'" + "a" * 58 + "'", id="the longest value"),
        pytest.param("a" * 59, "'" + "a" * 58 + "…", id="a value one character longer"),
    ],
)
def test_a_value_is_shown_on_one_line(value: Any, shown: str) -> None:
    assert show(value) == shown
    assert len(shown) <= 60


def test_a_section_is_not_shown_because_its_parts_are() -> None:
    assert show(_Rule(scopes=[])) == ""


def _no_shouting(value: str) -> str:
    if value.isupper():
        raise ValueError("is too loud")
    return value


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    scopes: list[str]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_no_shouting)]
    level: Literal["debug", "info"] = "info"
    size: Annotated[int, Field(ge=1, le=65535)] = 1
    rules: Annotated[
        Annotated[list[str], Tag(LIST_TAG)] | Annotated[dict[str, _Rule], Tag(MAPPING_TAG)],
        Discriminator(lambda value: MAPPING_TAG if isinstance(value, dict) else LIST_TAG),
    ] = Field(default_factory=list[str])


KEYS = {"": ["name", "level", "size", "rules"], "rules": ["scopes"]}


def faults(data: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        _Settings.model_validate(data)
    return [str(fault) for fault in faults_of(caught.value, KEYS)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param({}, "name: is required", id="a key that is missing"),
        pytest.param({"name": "LOUD"}, "name = 'LOUD': is too loud", id="a check of ours"),
        pytest.param({"name": 7}, "name = 7: is not a text", id="another type"),
        pytest.param({"name": "a", "level": "x"}, "level = 'x': is not 'debug' or 'info'", id="another word"),
        pytest.param({"name": "a", "size": 0}, "size = 0: is less than 1", id="too small"),
        pytest.param({"name": "a", "sise": 1}, "sise = 1: is not a key; size is", id="a typo"),
        pytest.param({"name": "a", "zzz": 1}, "zzz = 1: is not a key", id="a key like no other"),
        pytest.param(
            {"name": "a", "rules": {"x": {"scops": []}}},
            "rules.x.scopes: is required",
            id="a typo and what it hides",
        ),
        pytest.param({"name": "a", "rules": ["x", 7]}, "rules[1] = 7: is not a text", id="in a list"),
    ],
)
def test_a_fault_is_told_by_path_value_and_sentence(data: dict[str, Any], told: str) -> None:
    assert faults(data)[0] == told


class _Even(BaseModel):
    count: Annotated[int, Field(multiple_of=2)]
    mode: Literal["even"] = "even"


def test_what_has_no_sentence_of_ours_is_told_in_the_words_of_the_library() -> None:
    with pytest.raises(ValidationError) as caught:
        _Even.model_validate({"count": 3, "mode": "odd"})

    assert [str(fault) for fault in faults_of(caught.value, {})] == [
        "count = 3: input should be a multiple of 2",
        "mode = 'odd': is not 'even'",
    ]


def test_every_fault_is_told() -> None:
    assert faults({"name": "LOUD", "size": 0, "levle": "x", "rules": {"a": {}, "b": {"scops": []}}}) == [
        "name = 'LOUD': is too loud",
        "size = 0: is less than 1",
        "rules.a.scopes: is required",
        "rules.b.scopes: is required",
        "rules.b.scops = []: is not a key; scopes is",
        "levle = 'x': is not a key; level is",
    ]


def test_an_error_prints_its_faults_one_on_a_line() -> None:
    error = ConfigurationError(
        "gate.yaml", [ConfigurationFault("a.b", "7", "is odd"), ConfigurationFault("c", "", "is required")]
    )

    assert str(error) == "gate.yaml: 2 faults\n  a.b = 7: is odd\n  c: is required"
    assert str(ConfigurationError("gate.yaml", error.faults[:1])) == "gate.yaml: 1 fault\n  a.b = 7: is odd"
