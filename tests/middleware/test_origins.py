import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import Records
from tunnelgate import Allow, AuditLog, Deny, OriginAllowlist, Reason
from tunnelgate.origins import OriginRules, check_origin
from tunnelgate.reading.head import read_head

INSPECTOR = "https://inspector.example.com"
ALLOWED = Allow()


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://inspector.example.com", id="HTTPS"),
        pytest.param("http://localhost:6274", id="HTTP with a port"),
        pytest.param("http://[::1]:6274", id="an IPv6 address"),
        pytest.param("http://127.0.0.1", id="an IPv4 address"),
    ],
)
def test_an_origin_as_browsers_write_it_can_be_listed(origin: str) -> None:
    check_origin(origin)
    assert OriginRules([origin]).origins == {origin.encode()}


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("", id="an empty text"),
        pytest.param("*", id="a star"),
        pytest.param("null", id="the opaque origin"),
        pytest.param("inspector.example.com", id="a hostname alone"),
        pytest.param("https://", id="a scheme alone"),
        pytest.param("https://*.example.com", id="a wildcard"),
        pytest.param("https://inspector.example.com/", id="a slash at the end"),
        pytest.param("https://inspector.example.com/path", id="a path"),
        pytest.param("https://inspector.example.com?x", id="a query"),
        pytest.param("https://user@inspector.example.com", id="a user"),
        pytest.param("HTTPS://inspector.example.com", id="a scheme in capitals"),
        pytest.param("https://Inspector.example.com", id="a name in capitals"),
        pytest.param("https://dócs.example.com", id="a name in Unicode"),
        pytest.param("chrome-extension://abcdef", id="an extension of a browser"),
        pytest.param("file://", id="a file"),
        pytest.param("https://inspector.example.com\n", id="a line end"),
        pytest.param("https://a.example https://b.example", id="two origins"),
    ],
)
def test_what_is_no_origin_is_refused_at_construction(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin such as"):
        check_origin(origin)
    with pytest.raises(ValueError, match="is not an origin such as"):
        OriginAllowlist(Spy(), origins=[INSPECTOR, origin])


def test_one_text_in_place_of_a_list_is_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="is not an origin such as"):
        OriginAllowlist(Spy(), origins=INSPECTOR)


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        pytest.param([], ALLOWED, id="no origin: not a browser"),
        pytest.param([INSPECTOR], ALLOWED, id="the listed origin"),
        pytest.param(["https://evil.example"], "https://evil.example", id="another origin"),
        pytest.param(["null"], "null", id="a sandboxed page or a file"),
        pytest.param([""], "", id="an empty origin"),
        pytest.param(["http://inspector.example.com"], "http://inspector.example.com", id="another scheme"),
        pytest.param(
            [INSPECTOR + ":443"], INSPECTOR + ":443", id="the default port, which browsers leave out"
        ),
        pytest.param([INSPECTOR + ":8443"], INSPECTOR + ":8443", id="another port"),
        pytest.param([INSPECTOR + "/"], INSPECTOR + "/", id="a slash at the end"),
        pytest.param([INSPECTOR + "."], INSPECTOR + ".", id="a dot at the end"),
        pytest.param([INSPECTOR + ".evil.example"], INSPECTOR + ".evil.example", id="one that begins so"),
        pytest.param(
            ["https://evilinspector.example.com"], "https://evilinspector.example.com", id="ends so"
        ),
        pytest.param([INSPECTOR.upper()], INSPECTOR.upper(), id="the listed origin in capitals"),
        pytest.param(
            [f"{INSPECTOR} https://evil.example"], f"{INSPECTOR} https://evil.example", id="two in one"
        ),
        pytest.param([INSPECTOR, INSPECTOR], INSPECTOR, id="the listed origin twice"),
        pytest.param([INSPECTOR, "https://evil.example"], INSPECTOR, id="the listed origin, then another"),
        pytest.param(
            ["https://evil.example", INSPECTOR], "https://evil.example", id="another, then the listed"
        ),
        pytest.param(
            ["https://dócs.example.com"], "https://dócs.example.com", id="octets that are not ASCII"
        ),
    ],
)
def test_a_page_may_send_requests_only_when_its_origin_is_listed(
    sent: list[str], verdict: Allow | str
) -> None:
    head = read_head(http_scope(headers=[("origin", origin) for origin in sent]))

    expected = verdict if isinstance(verdict, Allow) else Deny(Reason.ORIGIN_NOT_ALLOWED, verdict)

    assert OriginRules([INSPECTOR]).decide(head) == expected


@given(st.binary(max_size=40))
def test_without_a_list_no_page_at_all_may_send_requests(origin: bytes) -> None:
    head = read_head({**http_scope(), "headers": [(b"origin", origin)]})

    verdict = OriginRules([]).decide(head)

    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.ORIGIN_NOT_ALLOWED


@pytest.mark.parametrize(
    ("length", "recorded"),
    [pytest.param(200, 200, id="200 octets"), pytest.param(201, 200, id="one octet more")],
)
def test_of_an_origin_no_more_than_200_octets_are_recorded(length: int, recorded: int) -> None:
    head = read_head(http_scope(headers=[("origin", "x" * length)]))

    verdict = OriginRules([INSPECTOR]).decide(head)

    assert isinstance(verdict, Deny)
    assert verdict.detail == "x" * recorded


@pytest.mark.anyio
async def test_a_refused_page_is_answered_without_its_origin_and_reaches_nothing() -> None:
    spy, records = Spy(), Records()
    app = AuditLog(OriginAllowlist(spy, origins=[INSPECTOR]), sink=records)

    reply = await call(app, http_scope(headers=[("origin", "https://evil.example")]))

    assert (reply.status, reply.json()) == (403, {"error": "origin_not_allowed"})
    assert reply.header("access-control-allow-origin") is None
    assert records.verdicts == [("deny", Reason.ORIGIN_NOT_ALLOWED)]
    assert records.all[0]["detail"] == "https://evil.example"
    assert spy.scopes == []


@pytest.mark.parametrize(
    "headers", [pytest.param([], id="no page"), pytest.param([("origin", INSPECTOR)], id="a listed page")]
)
@pytest.mark.anyio
async def test_other_requests_are_passed_on(headers: list[tuple[str, str]]) -> None:
    spy = Spy()

    reply = await call(OriginAllowlist(spy, origins=[INSPECTOR]), http_scope(headers=headers))

    assert (reply.status, len(spy.scopes)) == (200, 1)
