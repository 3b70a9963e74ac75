"""A gate at a tunnel's end with everything around it, in which a test plants what it likes."""

import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.app.doctor.fakes import Cloudflared, connector
from tests.support.audit import Records
from tests.support.certificates import Authority, Credential
from tests.support.listing import answering_server, listed, tool
from tests.support.remote import served_elsewhere
from tests.support.resolving import Names
from tests.support.servers import serve
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import Policy
from tunnelgate_app.connector.address import GateAddress
from tunnelgate_app.doctor.examining import examine
from tunnelgate_app.doctor.findings import Finding, Layer, Status
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls

DOMAIN = "tunnel.example.com"
HOST = f"docs.{DOMAIN}"
RESOURCE = f"https://{HOST}/mcp"
READS = {"readOnlyHint": True}
TOOLS = (
    tool("search", annotations=READS, inputSchema={"type": "object", "required": ["query"]}),
    tool("list", annotations=READS),
    tool("reindex", annotations={"destructiveHint": True}),
)


RETURNED = {
    "resultType": "complete",
    "content": [{"type": "text", "text": "3 documents"}],
    "isError": False,
}


def server(*tools: Mapping[str, Any], returned: Mapping[str, Any] = RETURNED) -> ASGIApp:
    """Return a server that lists ``tools``, each of which returns the same."""
    return answering_server(lambda method, _: returned if method == "tools/call" else listed(*tools))


def token(**claims: Any) -> str:
    return Token(claims={"aud": RESOURCE, **claims}).mint()


@dataclass
class Plan:
    """What is to be set up; as it is, nothing is wrong with it.

    ``known`` is the CA that the tunnel knows, ``shown`` the certificate that the gate was started with
    where it is not the one on disk. ``running`` is laid over the settings that the running gate has.
    ``upstream`` stands behind the gate, whose URL is ``{upstream}`` in the settings.
    """

    folder: Path
    settings: dict[str, Any]
    known: Authority
    credential: Credential
    shown: Credential | None = None
    running: dict[str, Any] = field(default_factory=dict[str, Any])
    upstream: ASGIApp = field(default_factory=lambda: server(*TOOLS))
    cloudflared: Cloudflared = field(default_factory=Cloudflared)
    names: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    is_running: bool = True
    without_ca: bool = False

    @property
    def route(self) -> dict[str, Any]:
        """The settings of the one route."""
        route: dict[str, Any] = self.settings["routes"]["docs"]
        return route


Plant = Callable[[Plan], None]
_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's take long to read


def plan(folder: Path) -> Plan:
    """Return a plan with nothing wrong in it."""
    authority = Authority("The tunnel's CA")
    (folder / "jwks.json").write_bytes(jwks("ES256"))
    settings = {
        "transport": "tunnel",
        "tunnel_domain": DOMAIN,
        "tls": {"cert_file": "data/tls.crt", "key_file": "data/tls.key"},
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": "jwks.json"}]},
        "routes": {"docs": {"upstream": "{upstream}", "tools": ["search", "list"]}},
        "audit": {"file": "audit.jsonl"},
    }
    credential = authority.issue_for_server(DOMAIN, f"*.{DOMAIN}")
    return Plan(folder, settings, authority, credential)


@dataclass(frozen=True)
class Standing:
    """Where everything is."""

    config: Path
    gate: GateAddress
    connector: str


class Elsewhere:
    """The server behind the gate and the connector before it, for one test after the other."""

    def __init__(self) -> None:
        self.upstream: ASGIApp = server()
        self.cloudflared = Cloudflared()
        self.port = 0
        self.metrics = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.upstream(scope, receive, send)


@contextmanager
def elsewhere() -> Generator[Elsewhere]:
    """Serve what is not the gate until the block ends."""
    there = Elsewhere()
    with served_elsewhere(there) as there.port, connector(lambda: there.cloudflared) as there.metrics:
        yield there


@contextmanager
def standing(plan: Plan, others: Elsewhere) -> Generator[Standing]:
    """Set everything up until the block ends, with ``others`` as the plan has them."""
    others.upstream, others.cloudflared = plan.upstream, plan.cloudflared
    data = plan.folder / "data"
    data.mkdir(exist_ok=True)
    if not plan.without_ca:
        (data / "ca.crt").write_text(plan.known.pem)
    write_pair(data, plan.shown or plan.credential)
    with ExitStack() as stack:
        settings = _with_port(plan.settings, others.port)
        running = _with_port({**plan.settings, **plan.running}, others.port)
        gate = stack.enter_context(_gate(plan.folder, running)) if plan.is_running else 1
        write_pair(data, plan.credential)
        config = _write(plan.folder, "tunnelgate.yaml", {"listen_addr": f"127.0.0.1:{gate}", **settings})
        yield Standing(config, GateAddress("127.0.0.1", gate), others.metrics)


def write_pair(folder: Path, credential: Credential) -> None:
    """Write a certificate and its key as `tunnelgate certs` does."""
    (folder / "tls.crt").write_text(credential.chain_pem)
    key = folder / "tls.key"
    key.touch(0o600)
    key.write_text(credential.key_pem())


async def examined(plan: Plan, others: Elsewhere) -> list[Finding]:
    """Return what the doctor finds where everything is as in ``plan``."""
    findings: list[Finding] = []
    with standing(plan, others) as there:
        said: dict[str, Any] = {
            "connector": there.connector,
            "is_offline": True,
            "seconds": 3.0,
            **plan.options,
        }
        options = Options(there.config, **said)
        await examine(options, surroundings(plan.names), findings.append)
    return findings


def surroundings(
    names: Mapping[str, Sequence[str]] | None = None,
    *,
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    **others: Any,
) -> Surroundings:
    """Return surroundings in which there are only these names."""
    defaults: dict[str, Any] = {"authorities": _NOBODY, "resolve": resolve or Names(names or {})}
    return Surroundings({}, lambda _: None, **{**defaults, **others})


def of(findings: Sequence[Finding], layer: Layer, *statuses: Status) -> list[Finding]:
    """Return the findings of a layer that have one of these statuses, or any where none is named."""
    return [each for each in findings if each.layer is layer and each.status in (statuses or tuple(Status))]


def matches(finding: Finding, status: Status, found: str, advice: str) -> bool:
    """Return whether a finding is of ``status``, and its texts have these in them."""
    return (
        finding.status is status and found in f"{finding.tried}: {finding.found}" and advice in finding.advice
    )


def planted(plant: Plant, layer: Layer, status: Status, found: str, advice: str, *, id: str) -> Any:  # noqa: A002
    """Return a row of a table of what is planted."""
    return pytest.param(plant, layer, status, found, advice, id=id)


@contextmanager
def _gate(folder: Path, settings: Mapping[str, Any]) -> Generator[int]:
    policy = Policy.from_file(_write(folder, "running.yaml", settings), {})
    tls = None
    if policy.tls is not None:
        tls = open_tls(TlsFiles(policy.tls.cert_file, policy.tls.key_file, policy.tls.client_ca_file))
    with serve(create_gateway(policy, audit=Records()), tls=tls, transport=policy.transport) as port:
        yield port


def _with_port(settings: Mapping[str, Any], port: int) -> dict[str, Any]:
    text = yaml.safe_dump(dict(settings)).replace("{upstream}", f"http://127.0.0.1:{port}")
    loaded: dict[str, Any] = yaml.safe_load(text.replace("{port}", str(port)))
    return loaded


def _write(folder: Path, name: str, settings: Mapping[str, Any]) -> Path:
    file = folder / name
    file.write_text(yaml.safe_dump(dict(settings)))
    return file
