import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.app.issuer.flows import DOCS, OURS, SECRET, TICKETS, VERIFIER, Issuer, basic
from tunnelgate_app.logs import configure_logs


@pytest.fixture(autouse=True)
def unchanged_logging() -> Generator[None]:
    """Put the process's logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.promise("token-stays-here")
@pytest.mark.anyio
async def test_no_code_token_or_secret_is_ever_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("debug")
    issuer = Issuer(tmp_path)
    client = await issuer.registered(token_endpoint_auth_method="client_secret_post")
    public = await issuer.registered()
    secrets = [SECRET, VERIFIER, client["client_secret"]]
    for resource in (DOCS, TICKETS):
        form = {"grant_type": "client_credentials", "resource": resource}
        secrets.append((await issuer.post("/token", form, OURS)).json()["access_token"])
        code = await issuer.code(public["client_id"], resource=resource)
        given = (await issuer.redeem(public["client_id"], code, resource=resource)).json()
        later = (await issuer.refresh(public["client_id"], given["refresh_token"])).json()
        await issuer.redeem(public["client_id"], code)
        await issuer.post("/revoke", {"client_id": public["client_id"], "token": later["refresh_token"]})
        await issuer.introspect(later["access_token"])
        await issuer.post("/introspect", {"token": later["access_token"]}, basic("demo", "wr0ng-s3cret"))
        secrets += [
            code,
            *(each[name] for each in (given, later) for name in ("access_token", "refresh_token")),
        ]

    logged = capsys.readouterr().err
    assert "development issuer" in logged
    assert [secret for secret in [*secrets, "wr0ng-s3cret"] if secret in logged] == []
