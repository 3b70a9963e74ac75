from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.reading import (
    is_certificate_id,
    is_tunnel_id,
    read_certificate,
    read_issued_token,
    read_object,
    read_page,
    read_token,
    read_tunnel,
)
from tunnelgate_app.administration.records import Certificate, Tunnel, TunnelToken

TIME = datetime(2026, 9, 1, 12, tzinfo=UTC)
TUNNEL: dict[str, Any] = {
    "id": "tnl_011CZkZaBF1tNoB5wlCeusgy",
    "archived_at": None,
    "created_at": "2026-09-01T12:00:00Z",
    "display_name": None,
    "domain": "abcd1234.tunnel.anthropic.com",
    "transport": {"type": "cloudflare"},
    "type": "tunnel",
}
TOKEN: dict[str, Any] = {"id": "ttkn_1", "tunnel_token": "s3cr3t", "type": "tunnel_token"}
CERTIFICATE: dict[str, Any] = {
    "id": "tcrt_1",
    "archived_at": None,
    "created_at": "2026-09-01T12:00:00Z",
    "expires_at": "2026-09-01T14:00:00+02:00",
    "fingerprint": "0a" * 32,
    "tunnel_id": "tnl_1",
    "type": "tunnel_certificate",
}


@pytest.mark.parametrize(
    ("changes", "transport", "name"),
    [
        pytest.param({}, "cloudflare", None, id="by cloudflare"),
        pytest.param({"transport": {"type": "relay"}}, "relay", None, id="by a relay"),
        pytest.param({"transport": {"type": "new"}, "more": [1]}, "new", None, id="by what is not known yet"),
        pytest.param({"transport": None}, None, None, id="by what is not said"),
        pytest.param({"display_name": "docs"}, "cloudflare", "docs", id="with a name"),
    ],
)
def test_a_tunnel_is_read(changes: dict[str, Any], transport: str | None, name: str | None) -> None:
    expected = Tunnel(TUNNEL["id"], TUNNEL["domain"], name, transport, TIME, None)

    assert read_tunnel({**TUNNEL, **changes}) == expected


def test_a_tunnel_without_the_members_that_may_be_absent_is_read() -> None:
    few = {name: TUNNEL[name] for name in ("id", "created_at", "domain", "type")}

    assert read_tunnel(few) == Tunnel(TUNNEL["id"], TUNNEL["domain"], None, None, TIME, None)


def test_a_certificate_is_read() -> None:
    assert read_certificate(CERTIFICATE) == Certificate("tcrt_1", "tnl_1", "0a" * 32, TIME, TIME, None)


@pytest.mark.parametrize(
    ("document", "token"),
    [
        pytest.param(TUNNEL, None, id="by cloudflare"),
        pytest.param({"type": "tunnel"}, None, id="without a transport"),
        pytest.param({"transport": {"type": "relay"}}, None, id="by a relay, when it is only read"),
        pytest.param(
            {"transport": {"type": "relay", "token": TOKEN}},
            TunnelToken("ttkn_1", "s3cr3t"),
            id="by a relay, when it is made",
        ),
    ],
)
def test_the_token_of_a_relay_comes_with_the_tunnel(
    document: dict[str, Any], token: TunnelToken | None
) -> None:
    assert read_issued_token(document) == token


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"type": "agent"}, "type"),
        ({"id": None}, "id"),
        ({"id": "tcrt_1"}, "id"),
        ({"id": "tnl_../../etc"}, "id"),
        ({"domain": "a b"}, "domain"),
        ({"domain": "localhost"}, "domain"),
        ({"domain": "-x.example.com"}, "domain"),
        ({"display_name": 1}, "display_name"),
        ({"transport": {"type": 1}}, "type"),
        ({"created_at": None}, "created_at"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2026-09-01T12:00:00"}, "created_at"),
        ({"archived_at": 1}, "archived_at"),
    ],
)
def test_a_tunnel_that_is_not_as_documented_is_none(changes: dict[str, Any], member: str) -> None:
    with pytest.raises(AdministrationError) as raised:
        read_tunnel({**TUNNEL, **changes})

    assert str(raised.value) == (
        f"the answer of the API is not as documented in its member {member};"
        " the Tunnels API is a research preview and may have changed"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "tunnel"},
        {"id": "tnl_1"},
        {"id": 1},
        {"tunnel_id": ""},
        {"fingerprint": "0A" * 32},
        {"created_at": ""},
        {"expires_at": "soon"},
    ],
)
def test_a_certificate_that_is_not_as_documented_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(AdministrationError, match=f"in its member {next(iter(changes))};"):
        read_certificate({**CERTIFICATE, **changes})


@pytest.mark.parametrize("value", ["s3cr3t s3cr3t", "s3cr3t\n", "", 7, None, "s3cr3t" * 2000])
def test_a_token_that_is_none_is_not_shown(value: Any) -> None:
    with pytest.raises(AdministrationError, match="in its member tunnel_token;") as raised:
        read_token({**TOKEN, "tunnel_token": value})

    assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "following"),
    [({"next_page": "abc"}, "abc"), ({"next_page": None}, None), ({}, None), ({"next_page": ""}, None)],
)
def test_a_page_leads_to_the_next(more: dict[str, Any], following: str | None) -> None:
    assert read_page({"data": [1, 2], **more}) == ([1, 2], following)


@pytest.mark.parametrize(
    "page", [{}, {"data": {}}, {"data": [], "next_page": 2}, {"data": [], "next_page": "a b"}]
)
def test_a_page_that_is_not_as_documented_is_none(page: dict[str, Any]) -> None:
    with pytest.raises(AdministrationError, match="not as documented"):
        read_page(page)


@pytest.mark.parametrize(
    "body", [b"", b"<html>log in</html>", b"[]", b'"x"', b'{"id": 1, "id": 2}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_json_object_is_not_from_the_api(body: bytes) -> None:
    with pytest.raises(AdministrationError, match=r"^what answered is not the API: it sent no JSON object;"):
        read_object(body)


def test_numbers_that_nobody_asked_for_are_read_over() -> None:
    assert read_object(b'{"id": "x", "size": 9223372036854775807}')["id"] == "x"


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*TUNNEL, *TOKEN, *CERTIFICATE, "data", "next_page"]), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@given(changes=st.dictionaries(st.sampled_from([*TUNNEL, *TOKEN, *CERTIFICATE]), anything), whole=anything)
def test_whatever_is_answered_is_read_or_refused(changes: dict[str, Any], whole: Any) -> None:
    for read, good in ((read_tunnel, TUNNEL), (read_token, TOKEN), (read_certificate, CERTIFICATE)):
        for document in ({**good, **changes}, whole):
            try:
                read(orjson.loads(orjson.dumps(document)))
            except AdministrationError:
                continue


@pytest.mark.parametrize("text", ["tnl_1", "tnl_011CZkZaBF1tNoB5wlCeusgy", "tnl_a-b_c"])
def test_ids_of_tunnels_are_known(text: str) -> None:
    assert (is_tunnel_id(text), is_certificate_id(text.replace("tnl", "tcrt"))) == (True, True)


@pytest.mark.parametrize(
    "text", ["", "tnl_", "tnl_/", "tnl_1\n", "tnl_..", "tcrt", "abcd1234", "TNL_1", f"tnl_{'1' * 121}"]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert (is_tunnel_id(text), is_certificate_id(text.replace("tnl", "tcrt"))) == (False, False)
