from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit import Records
from tests.support.certificates import Authority
from tests.support.tokens import ISSUER, jwks
from tunnelgate import ConfigurationError, Policy
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.reloading.listener import ForeignListener, OwnListener
from tunnelgate_app.serving import listener_tls

HOST = "docs.example.com"


class Site:
    """A gate with a certificate, and policies for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority("gate")
        (folder / "jwks.json").write_bytes(jwks("ES256"))
        self.authority.write(folder, "ca")
        self.files = self.issue("server")
        self.gateway = create_gateway(self.policy(), audit=Records())
        context = listener_tls(self.policy())
        assert context is not None
        self.tls = ListenerTls(context)
        self.listener = OwnListener(self.gateway, self.tls)

    def issue(self, name: str) -> tuple[Path, Path]:
        return self.authority.issue_for_server(HOST).write(self.folder, name)

    def policy(self, *, tls: bool = True, **more: Any) -> Policy:
        cert_file, key_file = self.files
        files = {"cert_file": cert_file, "key_file": key_file, "client_ca_file": self.folder / "ca.pem"}
        given: dict[str, Any] = {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": self.folder / "jwks.json"}]},
            "routes": {HOST: {"upstream": "http://10.0.0.1:9000", "tools": ["a"], "proof": "mtls"}},
            **({"tls": files} if tls else {}),
        }
        return Policy.from_mapping({**given, **more})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_certificate_that_is_the_same_stays_with_what_it_has_handed_out(site: Site) -> None:
    before = site.tls.current

    site.listener.open(site.policy(log_level="debug"))()

    assert site.tls.current is before


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["in the same files", "in other files"])
def test_a_new_certificate_is_shown_when_the_policy_is_put_to_use_and_not_before(
    site: Site, *, is_elsewhere: bool
) -> None:
    before = site.tls.current
    files = site.issue("other" if is_elsewhere else "server")
    site.files = files

    use = site.listener.open(site.policy())
    assert site.tls.current is before
    use()

    after = site.tls.current
    assert after is not before
    site.listener.open(site.policy())()
    assert site.tls.current is after


@pytest.mark.promise("changes-whole")
def test_everything_that_is_in_the_way_is_told_at_once(site: Site) -> None:
    site.files[0].write_text("no certificate")
    clients = {"allowed_ips": ["10.0.0.0/8"], "address_from": "forwarded", "trust_unix_socket": True}

    with pytest.raises(ConfigurationError) as refused:
        site.listener.open(site.policy(shutdown_timeout=3, clients=clients))

    assert [fault.path for fault in refused.value.faults] == [
        "shutdown_timeout",
        "clients.trust_unix_socket",
        "tls.cert_file",
    ]


def test_a_policy_without_tls_is_for_another_start(site: Site) -> None:
    with pytest.raises(ConfigurationError, match="tls: cannot change while the gate runs"):
        site.listener.open(site.policy(tls=False))


def test_what_is_to_be_said_of_certificates_names_their_files(site: Site) -> None:
    cert_file, _ = site.files
    site.folder.joinpath("ca.pem").unlink()
    now = datetime(2100, 1, 1, tzinfo=UTC)

    said = [*site.listener.warnings(now)]

    assert said[0].startswith(f"{cert_file} expired ")
    assert said[-1] == f"{site.folder / 'ca.pem'} cannot be read: No such file or directory"


def test_a_certificate_that_clients_will_not_take_is_told_in_time(site: Site) -> None:
    routes = {
        name: {"upstream": "http://10.0.0.1:9000", "tools": ["a"]} for name in (HOST, "wiki.example.com")
    }
    listener = OwnListener(create_gateway(site.policy(routes=routes), audit=Records()), site.tls)

    (said,) = listener.warnings(datetime.now(UTC))

    assert said == (
        f"{site.files[0]}: clients will not take it (name-not-covered). It is not for wiki.example.com, "
        f"only for {HOST}, where * is one label. Add the name: tunnelgate certs init --host wiki.example.com"
    )


def test_of_a_certificate_that_cannot_be_read_only_that_is_told(site: Site) -> None:
    site.files[0].write_text("no certificate")

    said = [*site.listener.warnings(datetime.now(UTC))]

    assert [line for line in said if "clients will not" in line] == []
    assert said


def test_without_tls_there_is_nothing_to_say_and_nothing_to_show(site: Site) -> None:
    without = {"routes": {HOST: {"upstream": "http://10.0.0.1:9000", "tools": ["a"]}}}
    policy = site.policy(tls=False, **without)
    listener = OwnListener(create_gateway(policy, audit=Records()), None)

    listener.open(site.policy(tls=False, log_level="warn", **without))()

    assert [*listener.warnings(datetime.now(UTC))] == []


def test_the_listener_of_another_server_takes_every_policy_but_one_with_tls(site: Site) -> None:
    listener = ForeignListener()
    open_: Callable[[Policy], Callable[[], None]] = listener.open

    open_(site.policy(tls=False, shutdown_timeout=3))()

    with pytest.raises(ConfigurationError, match="is for `tunnelgate serve`"):
        open_(site.policy())
    assert listener.warnings(datetime.now(UTC)) == ()
