import shutil
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Authority as CertificateAuthority
from tests.support.tunnels_api import MAX_ROTATIONS, Scripted, Service, TunnelsApi, serving
from tunnelgate_app.administration.authority import Authority, read_authority
from tunnelgate_app.administration.client import TunnelsClient
from tunnelgate_app.administration.credentials import StaticToken
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.operations import (
    add_ca,
    create_tunnel,
    list_tunnels,
    reveal_token,
    rotate_token,
)
from tunnelgate_app.administration.place import Place
from tunnelgate_app.administration.records import CLOUDFLARE, RELAY, State
from tunnelgate_app.errors import CommandError

TRANSPORTS = [CLOUDFLARE, RELAY, None]


@pytest.fixture(scope="module")
def service() -> Generator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def api(service: Service) -> TunnelsApi:
    return service.start_anew()


@pytest.fixture
def client(api: TunnelsApi, service: Service) -> Generator[TunnelsClient]:
    with TunnelsClient(StaticToken(api.grant()), service.url) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def authority(folder: Path, name: str = "Test CA") -> Authority:
    return read_authority(CertificateAuthority(name).write(folder, "ca"), datetime.now(UTC))


def rotate(client: TunnelsClient, tunnel_id: str, place: Place) -> object:
    return rotate_token(client, tunnel_id, place, None)


def contents(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in folder.iterdir()}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_new_tunnel_has_its_folder(
    transport: str | None, api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.transport = transport

    tunnel, token = create_tunnel(client, "docs", Place.of(folder, None))

    assert contents(folder) == {
        "tunnel-id": tunnel.id,
        "tunnel-domain": tunnel.domain,
        "tunnel-token": api.issued[-1],
    }
    assert token.value == api.issued[-1]
    reveals = [each for each in api.calls if each.endswith("reveal_token")]
    assert len(reveals) == (0 if transport == RELAY else 1)


@pytest.mark.parametrize(
    "in_the_way", ["tunnel-id", "tunnel-token"], ids=["a tunnel's folder", "a token's file"]
)
def test_no_tunnel_is_made_where_its_token_could_not_be_kept(
    in_the_way: str, api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    folder.mkdir()
    (folder / in_the_way).write_text("tnl_1")

    with pytest.raises(CommandError):
        create_tunnel(client, None, Place.of(folder, None))

    assert api.seen == []


def test_no_tunnel_is_made_where_nothing_can_be_written(
    api: TunnelsApi, client: TunnelsClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CommandError):
        create_tunnel(client, None, Place.of(tmp_path / "file" / "data", None))

    assert api.seen == []


def test_a_tunnel_that_was_not_made_leaves_nothing(
    api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.script("POST /v1/tunnels", Scripted(403, b"{}"))

    with pytest.raises(AdministrationError, match=r"^the tunnel was not created: "):
        create_tunnel(client, None, Place.of(folder, None))

    assert contents(folder) == {}


@pytest.mark.parametrize(
    ("transport", "verb"), [(CLOUDFLARE, "reveal-token"), (RELAY, "rotate-token"), (None, "reveal-token")]
)
def test_a_tunnel_whose_token_could_not_be_written_is_named_with_the_way_to_get_one(
    transport: str | None, verb: str, api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.transport = transport
    api.before_answering = lambda call: shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(AdministrationError) as raised:
        create_tunnel(client, None, Place.of(folder, None))

    (tunnel,) = api.tunnels.values()
    assert str(raised.value) == (
        f"the tunnel {tunnel['id']} was made, with the domain {tunnel['domain']}, but {folder / 'tunnel-id'}"
        " cannot be written: No such file or directory."
        f" Get a token of it with: tunnelgate tunnel {verb} --tunnel-id {tunnel['id']}"
    )


def test_a_tunnel_whose_token_could_not_be_revealed_has_its_folder_all_the_same(
    api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    reveal = "POST /v1/tunnels/tnl_000000000000000000000002/reveal_token"
    api.script(reveal, Scripted(403, b"{}"))

    with pytest.raises(AdministrationError) as raised:
        create_tunnel(client, None, Place.of(folder, None))

    (tunnel_id,) = api.tunnels
    assert reveal in api.calls
    assert f"the tunnel {tunnel_id} was made" in str(raised.value)
    assert {*contents(folder)} == {"tunnel-domain", "tunnel-id"}
    assert contents(folder)["tunnel-id"] == tunnel_id
    assert reveal_token(client, tunnel_id, Place.of(folder, None))[1].value == api.issued[-1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_rotation_writes_the_new_token_over_the_old_one(
    transport: str | None, api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.transport = transport
    tunnel, old = create_tunnel(client, None, Place.of(folder, None))

    _, new = rotate_token(client, tunnel.id, Place.of(folder, None), "a leak")

    assert new.value != old.value
    assert contents(folder)["tunnel-token"] == new.value == api.issued[-1]
    assert {*contents(folder)} == {"tunnel-id", "tunnel-domain", "tunnel-token"}


@pytest.mark.parametrize(("transport", "verb"), [(CLOUDFLARE, "reveal-token"), (RELAY, "rotate-token")])
def test_a_rotation_whose_token_could_not_be_written_says_that_the_old_one_is_invalid(
    transport: str, verb: str, api: TunnelsApi, client: TunnelsClient, tmp_path: Path
) -> None:
    api.transport = transport
    tunnel_id = api.add_tunnel()
    file = tmp_path / "data" / "token"
    api.before_answering = lambda call: shutil.rmtree(file.parent, ignore_errors=True)

    with pytest.raises(AdministrationError) as raised:
        rotate_token(client, tunnel_id, Place.of(tmp_path, file), None)

    assert str(raised.value) == (
        f"the token was rotated, but {file} cannot be written: No such file or directory. The old token is"
        f" invalid. Get a token of it with: tunnelgate tunnel {verb} --tunnel-id {tunnel_id}"
    )


@pytest.mark.parametrize("operation", [reveal_token, rotate])
def test_the_token_of_another_tunnel_is_not_written_over(
    operation: Callable[[TunnelsClient, str, Place], object],
    api: TunnelsApi,
    client: TunnelsClient,
    folder: Path,
) -> None:
    create_tunnel(client, None, Place.of(folder, None))
    other, before, asked = api.add_tunnel(), contents(folder), len(api.seen)

    with pytest.raises(AdministrationError, match="is the folder of the tunnel tnl_"):
        operation(client, other, Place.of(folder, None))

    assert (contents(folder), len(api.seen)) == (before, asked)


@pytest.mark.parametrize("operation", [reveal_token, rotate])
def test_a_tunnel_that_is_archived_has_no_token(
    operation: Callable[[TunnelsClient, str, Place], object],
    api: TunnelsApi,
    client: TunnelsClient,
    folder: Path,
) -> None:
    tunnel_id = api.add_tunnel()
    client.archive(tunnel_id)

    with pytest.raises(AdministrationError) as raised:
        operation(client, tunnel_id, Place.of(folder, None))

    assert str(raised.value) == f"{tunnel_id} is archived, and its token is invalid for good"
    assert contents(folder) == {}


def test_the_token_of_a_relay_tunnel_is_not_revealed_and_the_file_stays(
    api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.transport = RELAY
    tunnel, token = create_tunnel(client, None, Place.of(folder, None))

    with pytest.raises(AdministrationError, match="is shown once, when it is made"):
        reveal_token(client, tunnel.id, Place.of(folder, None))

    assert contents(folder)["tunnel-token"] == token.value


def test_too_many_rotations_leave_the_last_token(
    api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    api.transport = RELAY
    tunnel_id = api.add_tunnel()
    for _ in range(MAX_ROTATIONS):
        rotate_token(client, tunnel_id, Place.of(folder, None), None)

    with pytest.raises(AdministrationError, match="too many requests, and rotations of a relay token are"):
        rotate_token(client, tunnel_id, Place.of(folder, None), None)

    assert contents(folder)["tunnel-token"] == api.issued[-1]


def test_an_eleventh_tunnel_is_refused_with_what_to_do(
    api: TunnelsApi, client: TunnelsClient, folder: Path
) -> None:
    for _ in range(10):
        api.add_tunnel()

    with pytest.raises(
        AdministrationError, match=r"^the tunnel was not created: an organization has at most 10"
    ):
        create_tunnel(client, None, Place.of(folder, None))


def test_a_ca_is_registered_once(api: TunnelsApi, client: TunnelsClient, tmp_path: Path) -> None:
    tunnel_id, ca = api.add_tunnel(), authority(tmp_path)

    first, second = add_ca(client, tunnel_id, ca), add_ca(client, tunnel_id, ca)

    assert (first.was_there, second.was_there) == (False, True)
    assert first.certificate == second.certificate
    assert first.certificate.fingerprint == ca.fingerprint
    assert [each for each in api.calls if each.startswith("POST")] == [
        f"POST /v1/tunnels/{tunnel_id}/certificates"
    ]


def test_a_ca_that_was_archived_is_registered_anew(
    api: TunnelsApi, client: TunnelsClient, tmp_path: Path
) -> None:
    tunnel_id, ca = api.add_tunnel(), authority(tmp_path)
    first = add_ca(client, tunnel_id, ca)
    client.archive_certificate(tunnel_id, first.certificate.id)

    assert add_ca(client, tunnel_id, ca).was_there is False


def test_a_third_ca_is_refused_with_the_two_that_are_there(
    api: TunnelsApi, client: TunnelsClient, tmp_path: Path
) -> None:
    tunnel_id, third = api.add_tunnel(), authority(tmp_path)
    expires = datetime.now(UTC) + timedelta(days=30)
    there = [api.add_certificate(tunnel_id, CertificateAuthority(name).pem) for name in ("one", "two")]
    api.certificates[there[0]]["expires_at"] = None

    with pytest.raises(AdministrationError) as raised:
        add_ca(client, tunnel_id, third)

    shown = [f"  {each}  SHA-256 {api.certificates[each]['fingerprint']}" for each in there]
    heading, *listed = str(raised.value).splitlines()
    assert heading == (
        f"{tunnel_id} has 2 CAs, and 2 is the most; archive the one that no server certificate is signed by"
        " any more (tunnelgate tunnel archive-ca):"
    )
    assert listed == [
        f"{shown[1]}  expires {expires:%Y-%m-%d}",
        shown[0],
    ]
    assert all(each.startswith("GET") for each in api.calls)


def test_a_ca_that_the_service_took_for_another_is_said(
    api: TunnelsApi, client: TunnelsClient, tmp_path: Path
) -> None:
    tunnel_id, ca = api.add_tunnel(), authority(tmp_path)

    def change(call: str) -> None:
        for each in api.certificates.values():
            each["fingerprint"] = "0" * 64

    api.before_answering = change

    with pytest.raises(AdministrationError) as raised:
        add_ca(client, tunnel_id, ca)

    (certificate_id,) = api.certificates
    assert str(raised.value) == (
        f"the API registered {certificate_id} with the fingerprint {'0' * 64}, and the CA has"
        f" {ca.fingerprint}; archive it: tunnelgate tunnel archive-ca {certificate_id}"
    )


def test_tunnels_are_listed_with_their_states(api: TunnelsApi, client: TunnelsClient) -> None:
    archived, active, new = (api.add_tunnel() for _ in range(3))
    client.archive(archived)
    api.add_certificate(active, CertificateAuthority("Test CA").pem)

    assert [(each.id, state) for each, state in list_tunnels(client, archived=True)] == [
        (new, State.NEEDS_CERTIFICATE),
        (active, State.ACTIVE),
        (archived, State.ARCHIVED),
    ]
    assert [each.id for each, _ in list_tunnels(client, archived=False)] == [new, active]
    assert f"GET /v1/tunnels/{archived}/certificates" not in api.calls
