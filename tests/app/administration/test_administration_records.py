from datetime import UTC, datetime, timedelta

import orjson
import pytest

from tunnelgate_app.administration.records import Certificate, State, Tunnel, TunnelToken, state_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def tunnel(archived_at: datetime | None = None) -> Tunnel:
    return Tunnel("tnl_1", "abcd1234.tunnel.anthropic.com", "docs", "cloudflare", NOW, archived_at)


def certificate(archived_at: datetime | None = None, expires_at: datetime | None = NOW + DAY) -> Certificate:
    return Certificate("tcrt_1", "tnl_1", "0" * 64, NOW - DAY, expires_at, archived_at)


@pytest.mark.parametrize(
    ("archived_at", "certificates", "state"),
    [
        pytest.param(None, [], State.NEEDS_CERTIFICATE, id="no CA"),
        pytest.param(None, [certificate(NOW)], State.NEEDS_CERTIFICATE, id="a CA that is archived"),
        pytest.param(None, [certificate(NOW), certificate()], State.ACTIVE, id="a CA beside an archived one"),
        pytest.param(NOW, [certificate()], State.ARCHIVED, id="archived, whatever its CAs"),
    ],
)
def test_the_state_is_that_of_the_console(
    archived_at: datetime | None, certificates: list[Certificate], state: State
) -> None:
    assert state_of(tunnel(archived_at), certificates) is state


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        pytest.param(NOW + DAY, False, id="tomorrow"),
        pytest.param(NOW, True, id="now"),
        pytest.param(None, False, id="never"),
    ],
)
def test_a_certificate_is_expired_when_its_end_has_come(
    expires_at: datetime | None,
    expired: bool,  # noqa: FBT001
) -> None:
    assert certificate(expires_at=expires_at).document(NOW)["expired"] is expired


def test_documents_are_json() -> None:
    written = orjson.loads(orjson.dumps(tunnel().document(State.ACTIVE)))

    assert written == {
        "id": "tnl_1",
        "domain": "abcd1234.tunnel.anthropic.com",
        "display_name": "docs",
        "state": "Active",
        "transport": "cloudflare",
        "created_at": "2026-11-01T00:00:00+00:00",
        "archived_at": None,
    }


def test_a_token_does_not_show_itself() -> None:
    assert repr(TunnelToken("ttkn_1", "s3cr3t")) == "TunnelToken(id='ttkn_1')"
