"""The record of one release."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.deploy_status.releasing import digest, fields, path, record
from tunnelgate_servers.deploy_status import plain_yaml
from tunnelgate_servers.deploy_status.records import RecordError, read_release

AT = path(1)


def test_a_record_is_read_with_everything_in_it() -> None:
    links = [{"title": "SHOP-1412", "url": "https://tracker.example.com/SHOP-1412"}]
    content = record(
        "1.10", kind="hotfix", outcome="failed", previous="1.9", links=links, summary="One\nTwo\n"
    )

    release = read_release(AT, content.encode())

    read = release.record.model_dump()
    assert release.path == AT
    assert read == {
        "service": "checkout",
        "environment": "production",
        "version": "1.10",
        "kind": "hotfix",
        "outcome": "failed",
        "image": f"registry.example.com/shop/checkout:1.10@{digest(1)}",
        "commit": f"{1:040x}",
        "config_hash": digest(500),
        "released_at": datetime(2026, 3, 1, 9, 12, 44, tzinfo=UTC),
        "released_by": "mara.lindqvist@example.com",
        "summary": "One\nTwo",
        "links": tuple(links),
        "previous": "1.9",
    }


def test_what_may_be_left_out_has_a_meaning() -> None:
    read = read_release(AT, record().encode()).record

    assert (read.kind, read.outcome, read.links, read.previous) == ("release", "deployed", (), None)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("2026-03-31T09:12:44Z", datetime(2026, 3, 31, 9, 12, 44, tzinfo=UTC), id="in UTC"),
        pytest.param(
            "2026-03-31T01:12:44+02:00", datetime(2026, 3, 30, 23, 12, 44, tzinfo=UTC), id="with an offset"
        ),
        pytest.param(
            "2026-03-31 09:12:44.5+00:00",
            datetime(2026, 3, 31, 9, 12, 44, 500_000, tzinfo=UTC),
            id="with a blank and a fraction",
        ),
    ],
)
@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
def test_times_are_read_as_utc(text: str, read: datetime, quote: str) -> None:
    content = record(released_at="HERE").replace("HERE", f"{quote}{text}{quote}")

    assert read_release(AT, content.encode()).record.released_at == read


def test_a_commit_of_digits_stays_what_it_is() -> None:
    commit = "0" * 39 + "7"
    content = "\n".join(f"{name}: {value}" for name, value in fields(commit=commit).items())

    assert read_release(AT, content.encode()).record.commit == commit


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"version": None}, "version: field required", id="no version"),
        pytest.param(
            {"version": "../1"}, "version: string should match pattern", id="a version that is a path"
        ),
        pytest.param(
            {"version": "1.0\n"}, "version: string should match pattern", id="a version with a newline"
        ),
        pytest.param({"version": "1" * 101}, "version: string should match pattern", id="a long version"),
        pytest.param({"version": ["1"]}, "version: input should be a valid string", id="a list as version"),
        pytest.param(
            {"previous": ""}, "previous: string should match pattern", id="an empty previous version"
        ),
        pytest.param(
            {"kind": "party"}, "kind: input should be 'release', 'hotfix' or 'rollback'", id="a kind"
        ),
        pytest.param(
            {"outcome": "maybe"}, "outcome: input should be 'deployed' or 'failed'", id="an outcome"
        ),
        pytest.param({"image": "shop/checkout:1.0"}, "image: string should match", id="no digest"),
        pytest.param({"image": "a b@" + digest(1)}, "image: string should match", id="an image with a blank"),
        pytest.param({"image": "a" * 500 + "@" + digest(1)}, "image: string should have", id="a long image"),
        pytest.param({"commit": "abc123"}, "commit: string should match", id="a short commit"),
        pytest.param({"config_hash": "md5:1"}, "config_hash: string should match", id="another digest"),
        pytest.param({"released_at": "yesterday"}, "released_at: it is no time such as", id="no time"),
        pytest.param({"released_at": "1770000000"}, "released_at: it is no time such as", id="seconds"),
        pytest.param(
            {"released_at": "2026-03-31T09:12:44"}, "released_at: it is a time without", id="no offset"
        ),
        pytest.param(
            {"released_at": "0001-01-01T00:00:00+10:00"},
            "released_at: it is no time such as",
            id="before year 1",
        ),
        pytest.param({"released_at": ["2026"]}, "released_at: it is no time such as", id="a list as time"),
        pytest.param({"released_by": ""}, "released_by: value should have", id="by nobody"),
        pytest.param({"released_by": "a\0"}, "released_by: it holds a control", id="by somebody with NUL"),
        pytest.param({"released_by": "a\nb"}, "released_by: it holds a control", id="by two lines"),
        pytest.param({"summary": ""}, "summary: value should have", id="no summary"),
        pytest.param({"summary": "\x1b[31m"}, "summary: it holds a control", id="a summary with an escape"),
        pytest.param({"summary": "a" * 4001}, "summary: value should have", id="a long summary"),
        pytest.param({"links": "https://example.com"}, "links: input should be", id="links that are no list"),
        pytest.param(
            {"links": [{"title": "a", "url": "javascript:x()"}]},
            "links.0.url: string",
            id="a link to a script",
        ),
        pytest.param(
            {"links": [{"title": f"{n}", "url": "https://example.com"} for n in range(21)]},
            "links: ",
            id="many links",
        ),
        pytest.param({"environment": "staging"}, "its environment is not the one", id="another environment"),
        pytest.param({"service": "search"}, "its service is not the one", id="another service"),
        pytest.param({"replicas": "3"}, "it has a key that is not known", id="another key"),
    ],
)
def test_what_is_no_record_has_a_reason_without_its_content(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_release(AT, record(**changes).encode())

    assert str(caught.value).startswith(reason)


RECORDS = st.dictionaries(
    st.sampled_from([*fields(), "kind", "outcome", "links", "previous", "other"]),
    st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2) | st.just("1.4.0"),
)


@given(st.binary(max_size=300) | RECORDS.map(lambda said: yaml.safe_dump({**fields(), **said}).encode()))
def test_whatever_a_file_holds_it_is_a_release_or_has_a_reason(content: bytes) -> None:
    try:
        path_read = read_release(AT, content).path
    except RecordError as error:
        path_read = AT if str(error) else ""

    assert path_read == AT


@pytest.mark.parametrize("content", ["just text", "[a, b]"])
def test_something_else_than_a_mapping_has_a_reason(content: str) -> None:
    with pytest.raises(RecordError, match=r"^it is not a mapping$"):
        read_release(AT, content.encode())


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        pytest.param("CSafeLoader", "it is not YAML in line", id="with libyaml"),
        pytest.param("SafeLoader", "summary: it holds a control character", id="without libyaml"),
    ],
)
def test_a_lone_surrogate_is_refused(loader: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "_Loader", getattr(yaml, loader))
    content = record(summary="HERE").replace("HERE", '"\\uD800"')

    with pytest.raises(RecordError, match=reason):
        read_release(AT, content.encode())


def test_many_faults_are_counted() -> None:
    with pytest.raises(RecordError, match=r"; and \d+ more$"):
        read_release(AT, yaml.safe_dump({"version": "1"}).encode())


def test_what_is_no_yaml_has_the_reason_of_its_reader() -> None:
    with pytest.raises(RecordError, match="it has a key twice in line 2"):
        read_release(AT, b"version: '1'\nversion: '2'")
