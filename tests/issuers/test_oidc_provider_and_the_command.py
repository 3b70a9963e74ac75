"""The gateway as a person starts it, with one file of configuration and a certified issuer."""

from pathlib import Path

import orjson
import pytest
import yaml
from anyio import run_process

from tests.issuers.configuration import credentials, introspecting
from tests.issuers.gate import DOCS, SCOPE, TICKETS, Gate, route_of
from tests.issuers.provider import CALLER, GATE, Resource, provider
from tests.support.processes import READY, SCRIPTS, environment, free_port, running

ROOT = Path(__file__).parents[2]
TUNNELGATE = str(SCRIPTS / "tunnelgate")


@pytest.mark.anyio
async def test_the_command_serves_what_its_file_says(tmp_path: Path) -> None:
    front = Gate(free_port())
    file = tmp_path / "tunnelgate.yaml"
    with provider() as issuer:
        issuer.serve(
            {front.resource(DOCS): Resource(SCOPE), front.resource(TICKETS): Resource(SCOPE, "opaque")}
        )
        trusted = {**introspecting(issuer.url, tmp_path), "token_formats": ["jwt", "opaque"]}
        upstream = credentials("client_credentials", issuer.url, tmp_path, resource=front.resource(DOCS))
        policy = {
            "listen_addr": f"127.0.0.1:{front.port}",
            "public_scheme": "http",
            "public_port": front.port,
            "log_level": "debug",
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": [trusted], "allowed_ips": ["127.0.0.0/8"]},
            "routes": {DOCS: route_of({}), TICKETS: route_of({"credentials": upstream})},
            "audit": {"file": "audit.jsonl"},
        }
        file.write_text(yaml.safe_dump(orjson.loads(orjson.dumps(policy))), "utf-8")
        env = environment(tmp_path, PYTHONPATH=str(ROOT))
        checked = await run_process([TUNNELGATE, "check", "--config", str(file)], env=env, check=False)
        with running([TUNNELGATE, "serve", "--config", str(file)], env, tmp_path, READY) as gateway:
            jwt, opaque = [await issuer.token(front.resource(route)) for route in (DOCS, TICKETS)]

            answers = [
                await front.whoami(jwt, route=DOCS),
                await front.whoami(opaque, route=TICKETS),
            ]
            refused = await front.call(opaque, route=DOCS)

    assert checked.returncode == 0, (checked.stdout, checked.stderr)
    assert [answer["subject"] for answer in answers] == ["agent", "agent"]
    handed_over = answers[1]["authorization"].removeprefix("Bearer ")
    assert (answers[0]["authorization"], refused.status_code) == (None, 401)
    records = (tmp_path / "audit.jsonl").read_text("utf-8")
    verdicts = [orjson.loads(line)["verdict"] for line in records.splitlines()]
    assert verdicts == ["allow", "allow", "deny"]
    for secret in (jwt, opaque, handed_over, GATE.secret, CALLER.secret):
        assert secret not in gateway.output
        assert secret not in records
