from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.records import Certificate, State, Tunnel
from tunnelgate_app.administration.telling import (
    certificate_table,
    effect_of_rotation,
    next_steps,
    tunnel_lines,
    tunnel_table,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def tunnel(
    name: str | None = "docs", transport: str | None = "cloudflare", archived_at: datetime | None = None
) -> Tunnel:
    return Tunnel("tnl_1", "abcd1234.tunnel.anthropic.com", name, transport, NOW, archived_at)


def test_tunnels_are_a_table() -> None:
    shown = tunnel_table([(tunnel(), State.ACTIVE), (tunnel(None, None, NOW), State.ARCHIVED)])

    assert shown.splitlines() == [
        "id     state     domain                         transport   name",
        "tnl_1  Active    abcd1234.tunnel.anthropic.com  cloudflare  docs",
        "tnl_1  Archived  abcd1234.tunnel.anthropic.com  not said",
    ]


def test_a_name_cannot_write_to_the_terminal_what_it_likes() -> None:
    name = "docs\x1b[2J\n\u202etnl_2  Active"

    assert "docs [2J tnl_2 Active" in tunnel_table([(tunnel(name), State.ACTIVE)])
    assert "docs [2J tnl_2 Active" in tunnel_lines(tunnel(name), State.ACTIVE)


def test_a_tunnel_is_lines() -> None:
    assert tunnel_lines(tunnel(None, archived_at=NOW), State.ARCHIVED).splitlines() == [
        "id         tnl_1",
        "name       none",
        "domain     abcd1234.tunnel.anthropic.com",
        "state      Archived",
        "transport  cloudflare",
        "created    2026-11-01",
        "archived   2026-11-01",
    ]


def test_certificates_are_a_table_that_says_which_have_ended() -> None:
    ends = ((NOW + DAY, None), (NOW, None), (None, None), (NOW + DAY, NOW))
    certificates = [
        Certificate(f"tcrt_{number}", "tnl_1", f"{number}a" * 32, NOW, expires_at, archived_at)
        for number, (expires_at, archived_at) in enumerate(ends)
    ]

    assert certificate_table(certificates, NOW).splitlines() == [
        "id      state       expires     SHA-256 of the DER",
        f"tcrt_0  registered  2026-11-02  {'0a' * 32}",
        f"tcrt_1  expired     2026-11-01  {'1a' * 32}",
        f"tcrt_2  registered  never       {'2a' * 32}",
        f"tcrt_3  archived    2026-11-02  {'3a' * 32}",
    ]


@pytest.mark.parametrize(
    ("transport", "said", "not_said"),
    [
        ("cloudflare", "Those that are open stay until they end", "closed"),
        ("relay", "The connections that were made with the old token are closed.", "stay"),
        (
            None,
            "connections of cloudflared stay until they end, and those of a relay are closed now",
            "Those",
        ),
        ("new", "The API did not say which transport the tunnel has", "Those"),
    ],
)
def test_what_a_rotation_does_depends_on_the_transport(
    transport: str | None, said: str, not_said: str
) -> None:
    told = effect_of_rotation(transport)

    assert said in told
    assert not_said not in told


@pytest.mark.parametrize(
    ("place", "commands"),
    [
        pytest.param(
            Place.of(Path("my data"), None),
            ["tunnelgate certs init --output 'my data'", "tunnelgate tunnel add-ca 'my data/ca.crt'"],
            id="in a folder, which says whose it is",
        ),
        pytest.param(
            Place.of(Path("data"), Path("token")),
            [
                "tunnelgate certs init --domain abcd1234.tunnel.anthropic.com",
                "tunnelgate tunnel add-ca data/ca.crt --tunnel-id tnl_1",
            ],
            id="in a file alone",
        ),
    ],
)
def test_the_next_steps_can_be_typed_as_they_are_shown(place: Place, commands: list[str]) -> None:
    heading, *steps = next_steps(tunnel(), place).splitlines()

    assert heading == "It takes no traffic until a CA is registered:"
    assert [each.strip() for each in steps] == commands
