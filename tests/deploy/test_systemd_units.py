"""The units fit each other, the configuration beside them, and what the programs in them take."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.deploy.commands import check_command
from tunnelgate import Policy
from tunnelgate_app.cli import app

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "systemd"
SERVICES = sorted(file.name for file in FOLDER.glob("*.service"))
LONG_RUNNING = ["cloudflared.service", "tunnelgate.service"]
CREDENTIALS = "/run/credentials/tunnelgate.service/"
Unit = Mapping[str, Mapping[str, Sequence[str]]]


def read_unit(name: str) -> Unit:
    """Return the values of each key in each section; a key may stand more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    keys: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            keys = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            keys.setdefault(key, []).append(value)
    return sections


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.from_file(FOLDER / "tunnelgate.yaml")


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("RestrictNamespaces", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("SystemCallArchitectures", "native"),
    ],
)
def test_every_service_is_closed_in_the_same_ways(name: str, key: str, value: str) -> None:
    assert read_unit(name)["Service"][key] == [value]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_capability_but_those_by_which_files_are_given_to_the_gate(name: str) -> None:
    kept = "CAP_CHOWN CAP_DAC_OVERRIDE" if name == "tunnelgate-certs-renew.service" else ""

    assert read_unit(name)["Service"]["CapabilityBoundingSet"] == [kept]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_goes_on_is_no_root_starts_with_the_machine_and_again_when_it_fails(name: str) -> None:
    unit = read_unit(name)

    assert unit["Service"].get("User", ["dynamic"]) != ["root"]
    assert "User" in unit["Service"] or unit["Service"]["DynamicUser"] == ["yes"]
    assert unit["Service"]["Restart"] == ["on-failure"]
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(words, id=f"{name}: {' '.join(words)}")
        for name in SERVICES
        for key in ("ExecStart", "ExecReload")
        for text in read_unit(name)["Service"].get(key, [])
        if (words := shlex.split(text))[0].endswith("/tunnelgate")
    ],
)
def test_a_command_of_ours_is_one_that_there_is(command: list[str]) -> None:
    check_command(app, command[1:])


def test_a_faulty_file_is_said_when_it_is_reloaded_and_the_gate_is_told_of_none() -> None:
    service = read_unit("tunnelgate.service")["Service"]
    check, signal = service["ExecReload"]

    assert "tunnelgate check --config" in check
    assert signal == "/bin/kill -HUP $MAINPID"
    assert check.split("--config")[1] == service["ExecStart"][0].split("--config")[1]


def test_a_faulty_file_does_not_start_the_gate_again_and_again() -> None:
    assert read_unit("tunnelgate.service")["Service"]["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_service_is_killed_only_when_its_calls_had_their_time(name: str, policy: Policy) -> None:
    seconds = int(read_unit(name)["Service"]["TimeoutStopSec"][0])

    assert policy.shutdown_timeout + 2 < seconds


def test_the_connector_comes_after_the_gate_and_goes_with_it() -> None:
    unit = read_unit("cloudflared.service")["Unit"]

    assert unit["BindsTo"] == ["tunnelgate.service"]
    assert "tunnelgate.service" in unit["After"][0].split()


def test_the_connector_brings_what_it_gets_to_where_the_gate_listens(policy: Policy) -> None:
    assert read_unit("cloudflared.service")["Service"]["ExecStart"] == [
        f"/usr/bin/cloudflared tunnel --no-autoupdate run --url http://{policy.listen_addr}"
    ]
    assert [str(each) for each in policy.clients.allowed_ips] == ["127.0.0.1"]


def test_the_token_of_the_tunnel_stands_in_no_list_of_processes_and_in_no_environment() -> None:
    service = read_unit("cloudflared.service")["Service"]

    assert service["LoadCredential"] == ["tunnel-token:/etc/tunnelgate/secrets/tunnel-token"]
    assert "TUNNEL_TOKEN_FILE=%d/tunnel-token" in service["Environment"]


def test_the_connector_reaches_the_edge_and_the_gate_and_nothing_else() -> None:
    service = read_unit("cloudflared.service")["Service"]

    assert service["IPAddressDeny"] == ["any"]
    assert service["IPAddressAllow"] == ["localhost", "198.41.192.0/19 2606:4700:a0::/44"]


def test_the_gate_has_the_secrets_that_its_configuration_names() -> None:
    given = {each.partition(":")[0] for each in read_unit("tunnelgate.service")["Service"]["LoadCredential"]}
    text = (FOLDER / "tunnelgate.yaml").read_text("utf-8")

    assert set(re.findall(rf"{CREDENTIALS}([a-z-]+)", text)) == given


def test_the_certificate_is_renewed_in_the_folder_that_the_gate_reads_it_from(policy: Policy) -> None:
    service = read_unit("tunnelgate-certs-renew.service")["Service"]
    assert policy.tls is not None

    (folder,) = {str(Path(str(file)).parent) for file in (policy.tls.cert_file, policy.tls.key_file)}

    assert service["ReadWritePaths"] == [folder]
    assert f"--output {folder}" in service["ExecStart"][0]


def test_who_has_the_key_of_the_ca_reaches_no_network() -> None:
    service = read_unit("tunnelgate-certs-renew.service")["Service"]

    assert service["PrivateNetwork"] == ["yes"]
    assert service["RestrictAddressFamilies"] == ["none"]


def test_the_certificate_is_looked_at_every_day_also_by_a_machine_that_was_off() -> None:
    timer = read_unit("tunnelgate-certs-renew.timer")["Timer"]

    assert timer["OnCalendar"] == ["daily"]
    assert timer["Persistent"] == ["yes"]


def test_the_networks_that_the_kernel_holds_the_gate_to_have_those_of_the_servers(policy: Policy) -> None:
    service = read_unit("tunnelgate.service.d/networks.conf")["Service"]

    assert service["IPAddressDeny"] == ["any"]
    assert "10.0.0.0/8" in service["IPAddressAllow"][1].split()
    assert all(str(each).startswith("10.") for each in policy.upstream.allowed_ips)


def test_the_account_of_the_gate_is_made_for_it() -> None:
    lines = (FOLDER / "tunnelgate.sysusers").read_text("utf-8").splitlines()
    (account,) = [line for line in lines if not line.startswith("#")]

    assert shlex.split(account)[:2] == ["u", read_unit("tunnelgate.service")["Service"]["User"][0]]
