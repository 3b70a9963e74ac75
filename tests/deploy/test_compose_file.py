"""The Compose file is one by its schema, and every container in it is as closed as it can be."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.deploy.commands import check_command
from tests.deploy.composing import FOLDER, ROOT, composed, is_job, services, variables
from tests.deploy.dockerfile import read_stages
from tunnelgate import Policy
from tunnelgate_app.cli import app as gate
from tunnelgate_servers.cli import app as servers
from tunnelgate_servers.commands.options import read_options
from tunnelgate_servers.deploy_status.records import read_release

SERVICES = services()
ADMINISTRATION = [name for name, each in SERVICES.items() if each.get("profiles") == ["administration"]]
SERVERS = {
    "docs": "docs-readonly",
    "tickets": "tickets-draft",
    "billing": "billing-audit",
    "deploy": "deploy-status",
}
SECONDS = re.compile(r"(\d+)s")
CONFIGURATION = FOLDER / "config" / "config.yaml"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.from_file(CONFIGURATION)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> Any:
    return SERVICES[request.param]


def schema() -> Any:
    """Return the schema of Compose files, of compose-go 2.16.2, Apache-2.0: see the file beside it."""
    document = json.loads((Path(__file__).parent / "compose-spec.json").read_text("utf-8"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


def test_it_is_a_compose_file() -> None:
    assert [error.message for error in schema().iter_errors(composed())] == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"read_onyl": True}, id="a key with a typing error"),
        pytest.param({"cap_drop": "ALL"}, id="a text where a list belongs"),
        pytest.param({"depends_on": {"gate": {"condition": "healthy"}}}, id="a condition that is none"),
    ],
)
def test_the_schema_sees_a_fault(fault: dict[str, Any]) -> None:
    with_fault = {"services": {"gate": {**SERVICES["gate"], **fault}}}

    assert not schema().is_valid(with_fault)


def test_the_root_of_every_container_is_read_only(service: Any) -> None:
    assert service["read_only"] is True


def test_no_container_gains_privileges_or_keeps_a_capability(service: Any) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_every_container_is_user_65532_but_the_one_that_has_the_key_of_the_ca(service: Any) -> None:
    is_keeper = service is SERVICES["certs"]

    assert service["user"] == ("0:0" if is_keeper else "65532:65532")
    assert service.get("cap_add") == (["CHOWN", "DAC_OVERRIDE"] if is_keeper else None)
    assert not is_keeper or service["network_mode"] == "none"


def test_no_container_can_take_the_memory_or_the_processes_of_the_machine(service: Any) -> None:
    assert service["pids_limit"] == 128
    assert service["mem_limit"] == service["memswap_limit"]
    assert re.fullmatch(r"\d+m", service["mem_limit"])


def test_the_logs_of_every_container_end(service: Any) -> None:
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def test_what_goes_on_is_started_again_and_shows_whether_it_works(service: Any) -> None:
    if is_job(service):
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD", "a shell would be needed"


def test_a_container_has_as_long_to_stop_as_the_gate_gives_its_calls(service: Any, policy: Policy) -> None:
    match = SECONDS.fullmatch(service["stop_grace_period"])

    assert match is not None
    assert float(match[1]) == policy.shutdown_timeout


def test_nothing_is_published_on_the_machine(service: Any) -> None:
    assert {"ports", "expose", "privileged", "devices", "pid", "ipc", "userns_mode"} & set(service) == set()


def test_no_volume_is_the_machine_itself_or_the_engine(service: Any) -> None:
    for volume in service.get("volumes", []):
        if volume["type"] == "bind":
            assert volume["source"].startswith(("./", "../../docs"))
            assert volume["bind"] == {"create_host_path": False}, "a folder that root makes is nobody's"


def test_only_who_has_to_write_can(service: Any) -> None:
    name = next(name for name, each in SERVICES.items() if each is service)
    writable = [each["source"] for each in service.get("volumes", []) if not each.get("read_only", False)]

    expected = {
        "docs-index": ["docs"],
        "tickets-migrate": ["tickets"],
        "tickets": ["tickets"],
        "billing-migrate": ["billing"],
        "certs": ["./data"],
        "tunnel": ["./secrets"],
    }
    assert writable == expected.get(name, [])


def test_images_come_by_digest_or_are_built_here_and_looked_for_nowhere_else(service: Any) -> None:
    if "build" in service:
        assert service["pull_policy"] == "build"
        assert service["image"].startswith("localhost/")
    else:
        assert re.fullmatch(r"cloudflare/cloudflared:\d{4}\.\d+\.\d+@sha256:[0-9a-f]{64}", service["image"])


def test_what_is_built_is_a_stage_of_the_dockerfile(service: Any) -> None:
    if "build" in service:
        build = service["build"]
        assert (FOLDER / build["context"]).resolve() == ROOT
        assert build["target"] in read_stages(ROOT / build["dockerfile"])


def test_the_connector_is_in_the_namespace_of_the_gate_and_asks_its_loopback(policy: Policy) -> None:
    connector = SERVICES["cloudflared"]

    assert connector["network_mode"] == "service:gate"
    assert connector["command"][-2:] == ["--url", f"http://{policy.listen_addr}"]
    assert policy.listen_addr == "127.0.0.1:8080"
    assert [str(each) for each in policy.clients.allowed_ips] == ["127.0.0.1"]


def test_the_connector_starts_when_the_gate_listens_and_again_with_it() -> None:
    assert SERVICES["cloudflared"]["depends_on"] == {
        "gate": {"condition": "service_healthy", "restart": True}
    }


def test_what_the_connector_tells_of_itself_is_for_its_own_namespace() -> None:
    connector = SERVICES["cloudflared"]
    address = connector["environment"]["TUNNEL_METRICS"]

    assert address.startswith("127.0.0.1:")
    assert connector["healthcheck"]["test"] == ["CMD", "cloudflared", "tunnel", "--metrics", address, "ready"]


def test_the_token_of_the_tunnel_is_a_file_that_the_connector_alone_has() -> None:
    assert SERVICES["cloudflared"]["environment"]["TUNNEL_TOKEN_FILE"] == "/run/secrets/tunnel-token"
    assert [name for name, each in SERVICES.items() if "tunnel-token" in each.get("secrets", [])] == [
        "cloudflared"
    ]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_has_a_network_of_its_own_that_leads_to_the_gate_and_nowhere_else(name: str) -> None:
    neighbours = [
        each for each, service in SERVICES.items() if name in service.get("networks", []) and each != name
    ]

    assert list(SERVICES[name]["networks"]) == [name]
    assert composed()["networks"][name]["internal"] is True
    assert neighbours == ["gate"]


def test_only_the_gate_and_who_asks_the_api_are_on_the_network_with_a_way_out() -> None:
    outside = {name for name, each in composed()["networks"].items() if "internal" not in each}
    there = [name for name, each in SERVICES.items() if outside & set(each.get("networks", []))]

    assert outside == {"edge"}
    assert there == ["gate", "tunnel"]


def test_the_gate_connects_to_the_addresses_of_the_servers_and_to_no_other(policy: Policy) -> None:
    addresses = {name: SERVICES[name]["networks"][name]["ipv4_address"] for name in SERVERS}

    assert [str(each) for each in policy.upstream.allowed_ips] == list(addresses.values())
    for name, address in addresses.items():
        upstream = policy.routes[name].upstream
        assert upstream is not None
        assert [str(each) for each in upstream.allowed_ips or ()] == [address]
        assert upstream.url == f"http://{name}:9000"


@pytest.mark.parametrize(("name", "server"), SERVERS.items())
def test_a_server_takes_the_tokens_that_the_gate_asks_for(name: str, server: str, policy: Policy) -> None:
    options = read_options(server, FOLDER / "servers" / f"{name}.yaml")
    credentials = policy.routes[name].credentials
    assert credentials is not None
    asked = credentials.client_credentials or credentials.token_exchange

    assert asked is not None
    assert options.resource == asked.resource
    assert [each.issuer for each in options.oauth.issuers] == [asked.issuer]
    assert list(options.allowed_hosts) == [f"{name}:9000"]
    assert options.address == ("", 9000)
    assert SERVICES[name]["command"] == ["serve", server, "--config", f"/etc/tunnelgate/{name}.yaml"]


def test_the_gate_lists_what_the_demo_lists(policy: Policy) -> None:
    from tunnelgate_app.demo import ROUTES  # noqa: PLC0415 - it is long to import, and for this alone

    assert {name: list(route.tools or ()) for name, route in policy.routes.items()} == {
        name: list(ROUTES[SERVERS[name]].tools if SERVERS[name] in ROUTES else ROUTES[name].tools)
        for name in SERVERS
    }


def test_every_secret_that_the_gate_is_told_of_is_one_that_it_has(policy: Policy) -> None:
    text = CONFIGURATION.read_text("utf-8")
    named = set(re.findall(r"/run/secrets/([a-z-]+)", text))

    assert named == set(SERVICES["gate"]["secrets"])
    assert policy.warnings == ()


def test_the_certificate_is_where_the_gate_has_its_folder(policy: Policy) -> None:
    targets = {each["target"]: each["source"] for each in SERVICES["gate"]["volumes"]}

    assert policy.tls is not None
    assert {str(Path(str(file)).parent) for file in (policy.tls.cert_file, policy.tls.key_file)} == {"/data"}
    assert targets == {"/etc/mcp-gateway": "./config", "/data": "./data"}


def test_no_secret_and_no_token_can_be_committed_by_mistake() -> None:
    ignored = (FOLDER / ".gitignore").read_text("utf-8").split()
    files = [Path(each["file"]) for each in composed()["secrets"].values()]

    assert {f"{file.parts[0]}/" for file in files} == {"secrets/"}
    assert {".env", "data/", "secrets/", "servers/jwks.json"} == set(ignored)


def test_the_example_of_the_environment_has_every_variable_with_the_value_it_has_without() -> None:
    lines = (FOLDER / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert example == variables()


@pytest.mark.parametrize("name", ADMINISTRATION)
def test_what_a_person_runs_now_and_then_does_not_start_with_the_rest(name: str) -> None:
    assert is_job(SERVICES[name])
    assert SERVICES[name]["entrypoint"] == ["tunnelgate", name]


@pytest.mark.parametrize("name", [name for name, each in SERVICES.items() if "build" in each])
def test_a_command_of_ours_is_one_that_there_is(name: str) -> None:
    service = SERVICES[name]
    stage = read_stages(ROOT / service["build"]["dockerfile"])[service["build"]["target"]]
    program, *words = service.get("entrypoint", stage.last("ENTRYPOINT").exec_form)

    check_command(
        {"tunnelgate": gate, "tunnelgate-servers": servers}[program],
        [*words, *service.get("command", stage.last("CMD").exec_form)],
    )


def test_the_sample_of_a_release_is_one_that_deploy_status_reads() -> None:
    folder = FOLDER / "releases"
    (file,) = folder.rglob("*.yaml")

    release = read_release(str(file.relative_to(folder)), file.read_bytes())

    assert release.record.service == "checkout"
