"""The commands against servers that lie, people who mistype, and those who look over the shoulder."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from typer.testing import CliRunner, Result

from tests.app.doctor.fakes import Cloudflared, answering
from tests.app.doctor.fakes import connector as cloudflared
from tests.support import tunnels_api
from tests.support.certificates import DAY
from tests.support.listing import answering_server, listed, tool
from tests.support.processes import SCRIPTS, environment, free_port, timed
from tests.support.remote import served_elsewhere
from tests.support.tokens import ISSUER
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.asking.answers import Limits
from tunnelgate_app.asking.mcp import call_tool
from tunnelgate_app.certificates.making import Issued, make_authority, make_server_certificate, new_key
from tunnelgate_app.certificates.rules import faults_of_authority, faults_of_server_certificate
from tunnelgate_app.cli import app

TOKEN = "s3cr3t-" + "".join(chr(ord("a") + each % 26) for each in range(200))
LIMIT = 30  # seconds that a command may take
DOMAIN = "tunnel.example.com"
AS_ROOT = os.geteuid() == 0

Says = Callable[[str, Request], Response | Mapping[str, Any]]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def tunnelgate(*arguments: str, **variables: str) -> Result:
    return CliRunner(env=variables).invoke(app, arguments)


def as_a_person(
    folder: Path, *arguments: str, octets: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command as a program, which may write files of ``octets`` at most."""
    limit = "" if octets is None else f"resource.setrlimit(resource.RLIMIT_FSIZE, ({octets}, {octets})); "
    code = f"import os, resource, sys; {limit}os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, str(SCRIPTS / "tunnelgate"), *arguments]
    env = environment(folder)
    if octets is not None:  # which is no room for notes of branches either
        env = timed(env)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)


@contextmanager
def repeating(says: Says) -> Generator[int]:
    """Serve a server that repeats what it is asked with, and give its port."""
    heard: list[Request] = []

    def answer(method: str, _: Mapping[str, Any]) -> Response | Mapping[str, Any]:
        return says(method, heard[-1])

    with served_elsewhere(answering_server(answer, heard=heard)) as port:
        yield port


def write_proxy_file(port: int) -> None:
    settings: dict[str, Any] = {
        "listen_addr": ":8080",
        "tunnel_domain": DOMAIN,
        "tls": {"cert_file": "/data/tls.crt", "key_file": "/data/tls.key"},
        "routes": {"docs": f"http://127.0.0.1:{port}"},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
    }
    Path("config.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    write_token()


def write_token() -> None:
    Path("docs.token").write_text(f"{TOKEN}\n")
    Path("docs.token").chmod(0o600)


def write_gate(port: int, *, issuer: str = ISSUER, credentials: bool = True) -> None:
    route: dict[str, Any] = {"upstream": f"http://127.0.0.1:{port}", "tools": ["search"]}
    settings: dict[str, Any] = {
        "listen_addr": f"127.0.0.1:{free_port()}",
        "tunnel_domain": DOMAIN,
        "clients": {"allowed_ips": ["127.0.0.1"]},
        "oauth": {"allowed_ips": ["127.0.0.1"], "issuers": [{"issuer": issuer}]},
        "upstream": {"allowed_ips": ["127.0.0.1"]},
        "routes": {"docs": route | ({"credentials": {"bearer_file": "docs.token"}} if credentials else {})},
    }
    Path("tunnelgate.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    write_token()


def examine(*options: str, metrics: str = "http://127.0.0.1:1") -> Result:
    return tunnelgate("doctor", "--offline", "--timeout", "3s", "--connector-metrics", metrics, *options)


def longest_part_shown(shown: str) -> int:
    """Return how many characters of the token's beginning stand in ``shown``."""
    return max((length for length in range(len(TOKEN) + 1) if TOKEN[:length] in shown), default=0)


def in_an_error(method: str, request: Request) -> Response:
    said = request.headers.get("authorization", "")
    return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": said}}, 400)


def in_a_long_error(method: str, request: Request) -> Response:
    said = "x" * 150 + request.headers.get("authorization", "")
    return JSONResponse({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": said}}, 400)


def in_a_challenge(method: str, request: Request) -> Response:
    said = f'Bearer error_description="{request.headers.get("authorization", "")}"'
    return PlainTextResponse("no", 401, {"www-authenticate": said})


def in_a_redirect(method: str, request: Request) -> Response:
    said = request.headers.get("authorization", "").replace(" ", "+")
    return PlainTextResponse("there", 302, {"location": f"http://127.0.0.1/?{said}"})


def in_a_media_type(method: str, request: Request) -> Response:
    said = request.headers.get("authorization", "").rpartition(" ")[2]
    return Response(b"", media_type=f"text/{said}")


def in_a_description(method: str, request: Request) -> Mapping[str, Any]:
    said = request.headers.get("authorization", "").rpartition(" ")[2]
    reads = {"readOnlyHint": True}
    return listed(
        tool("search", title=said, description=said, annotations=reads),
        tool(f"a_{said}"[:128], annotations=reads),
        tool("drop", description="x" * 80 + said),
    )


REPEATED = [
    pytest.param(in_an_error, id="in an error"),
    pytest.param(in_a_long_error, id="in an error that is cut"),
    pytest.param(in_a_challenge, id="in a challenge"),
    pytest.param(in_a_redirect, id="in a redirect"),
    pytest.param(in_a_media_type, id="in a media type"),
]


@pytest.mark.parametrize("says", REPEATED)
def test_an_import_shows_and_writes_no_token_that_a_server_repeats(says: Says) -> None:
    with repeating(says) as port:
        write_proxy_file(port)
        done = tunnelgate("import", "config.yaml", "--token-file", "docs=docs.token")

    assert done.exit_code == 1
    assert longest_part_shown(done.output + Path("tunnelgate.yaml").read_text("utf-8")) < 4


def test_an_import_writes_no_token_that_a_server_repeats_about_its_tools() -> None:
    whole = TOKEN[:60]
    with repeating(in_a_description) as port:
        write_proxy_file(port)
        Path("docs.token").write_text(whole)
        done = tunnelgate("import", "config.yaml", "--token-file", "docs=docs.token")

    written = Path("tunnelgate.yaml").read_text("utf-8")
    assert (done.exit_code, "- search" in written) == (0, True)
    assert longest_part_shown(done.output + written) < 4


@pytest.mark.parametrize("says", REPEATED)
def test_a_connector_that_asks_shows_no_secret_of_the_gate_that_a_server_repeats(says: Says) -> None:
    with repeating(says) as port:
        write_gate(port)
        done = tunnelgate("connector", "--route", "docs", "--ask")

    assert done.exit_code == 1
    assert longest_part_shown(done.output) < 4


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["for people", "for machines"])
@pytest.mark.parametrize("says", [in_an_error, in_a_long_error], ids=["whole", "cut in the middle"])
def test_the_doctor_shows_no_part_of_a_secret_that_a_server_repeats(
    says: Says, options: Sequence[str]
) -> None:
    with repeating(says) as port:
        write_gate(port)
        done = examine(*options)

    assert done.exit_code == 1
    assert "answers" in done.output
    assert longest_part_shown(done.output) < 4


@pytest.mark.anyio
async def test_the_patterns_of_a_server_s_schemas_are_not_run() -> None:
    asked: list[str] = []
    schema = {"type": "object", "properties": {"said": {"type": "string", "pattern": "^(a+)+$"}}}
    said = {"said": "a" * 18 + "!"}

    def answer(method: str, _: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(method)
        if method == "tools/list":
            return listed(tool("search", outputSchema=schema))
        return {"resultType": "complete", "content": [], "structuredContent": said}

    with served_elsewhere(answering_server(answer)) as port:
        async with httpx2.AsyncClient() as http, asyncio.timeout(LIMIT):
            url = f"http://127.0.0.1:{port}/mcp"
            called = await call_tool(http, url, "search", {}, limits=Limits(seconds=10))

    assert called.structured == said
    assert asked == ["tools/call"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("1e999", id="more than any number"),
        pytest.param("-1e999", id="less than any number"),
        pytest.param("9" * 400, id="four hundred digits"),
    ],
)
def test_a_connector_with_numbers_that_are_none_is_a_finding(value: str) -> None:
    write_gate(free_port(), credentials=False)
    state = Cloudflared(text=f"cloudflared_tunnel_ha_connections {value}\n")
    with cloudflared(lambda: state) as url:
        done = examine(metrics=url)

    assert isinstance(done.exception, SystemExit), done.exception
    assert "\ncall\n" in done.output


@pytest.mark.parametrize(
    "date",
    [
        pytest.param("Mon, 99999999999999999999 Jan 2026 00:00:00 GMT", id="a day of twenty digits"),
        pytest.param("Mon, 01 Jan 2026 00:00:00 +9999999999999999", id="an offset of sixteen digits"),
        pytest.param("Mon, 01 Jan 2026 00:00:00 -2400", id="an offset of a day"),
        pytest.param("\x1b[31mnever", id="an escape"),
    ],
)
def test_an_issuer_without_a_date_that_is_one_is_examined_all_the_same(date: str) -> None:
    with answering(lambda _: (200, {"Content-Type": "application/json", "Date": date}, b"{}")) as port:
        write_gate(free_port(), issuer=f"http://127.0.0.1:{port}/", credentials=False)
        done = examine()

    assert isinstance(done.exception, SystemExit), done.exception
    assert f"http://127.0.0.1:{port}/: metadata and keys" in done.output
    assert "\ncall\n" in done.output


@pytest.mark.skipif(not AS_ROOT, reason="only root gives files away")
def test_a_file_in_the_place_of_a_ca_key_does_not_get_the_key_of_the_ca() -> None:
    assert tunnelgate("certs", "init", "--domain", DOMAIN).exit_code == 0
    os.chown("data", 65532, 65532)
    for name in ("ca-next.key", "ca-old.key", "mine"):
        Path("data", name).touch()
        os.chown(Path("data", name), 65532, 65532)
    Path("data", "ca-old.key").unlink()
    Path("data", "ca-old.key").symlink_to("mine")

    assert tunnelgate("certs", "rotate-ca").exit_code == 0
    assert Path("data", "ca-next.key").stat().st_uid == 0
    assert tunnelgate("certs", "rotate-ca", "--sign").exit_code == 0
    assert {Path("data", each).stat().st_uid for each in ("ca.key", "ca-old.key")} == {0}
    assert Path("data", "mine").read_bytes() == b""


def test_nobody_else_may_write_what_commands_make_whatever_the_umask() -> None:
    write_proxy_file(free_port())
    was = os.umask(0)
    try:
        assert tunnelgate("import", "config.yaml", "--no-connect").exit_code == 0
        made = tunnelgate("certs", "init", "--domain", DOMAIN, "--output", "a/b/data")
    finally:
        os.umask(was)

    assert made.exit_code == 0
    made_now = [Path("tunnelgate.yaml"), Path("a"), *Path("a").rglob("*")]
    assert {path.name for path in made_now if path.stat().st_mode & 0o022} == set()
    assert {
        path.name for path in Path("a").rglob("*.key") if stat.S_IMODE(path.stat().st_mode) != 0o600
    } == set()


def test_a_disk_that_is_full_leaves_no_part_of_a_configuration(tmp_path: Path) -> None:
    write_proxy_file(free_port())

    done = as_a_person(tmp_path, "import", "config.yaml", "--no-connect", octets=100)

    assert (done.returncode, done.stderr) == (1, "tunnelgate.yaml cannot be written: File too large\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.yaml", "docs.token"]


LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("certs", "show", "--output", LONG), id="a folder of certificates"),
        pytest.param(("certs", "init", "--domain", DOMAIN, "--output", LONG), id="a folder that is made"),
        pytest.param(("import", "config.yaml", "--no-connect", "--output", LONG), id="a configuration"),
        pytest.param(("import", LONG), id="a file of the proxy"),
        pytest.param(("tunnel", "show", "--output", LONG), id="a folder of a tunnel"),
        pytest.param(("connect", "--fake", "--ca", LONG), id="a CA"),
    ],
)
def test_a_path_that_no_system_has_is_a_sentence(arguments: Sequence[str]) -> None:
    write_proxy_file(free_port())

    done = tunnelgate(*arguments, ANTHROPIC_AUTH_TOKEN=TOKEN)

    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in {1, 2}
    assert "File name too long" in done.output


@pytest.mark.parametrize("address", ["bad", "127.0.0.1:99999", "127.0.0.1:-1"])
def test_an_address_that_is_none_is_a_sentence(address: str) -> None:
    assert tunnelgate("certs", "init", "--domain", DOMAIN).exit_code == 0

    done = tunnelgate("connect", "--fake", "--ca", "data/ca.crt", "--listen", address)

    assert isinstance(done.exception, SystemExit), done.exception
    assert address in done.output


def test_a_token_for_an_api_on_this_machine_goes_to_no_proxy() -> None:
    sent: list[tuple[bytes, bytes]] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        sent.extend(scope.get("headers", ()))
        await JSONResponse({"data": []})(scope, receive, send)

    with tunnels_api.serving() as service, served_elsewhere(_with_lifespan(proxy)) as port:
        url = f"http://127.0.0.1:{port}"
        proxies = {"HTTP_PROXY": url, "http_proxy": url, "ALL_PROXY": url, "NO_PROXY": "", "no_proxy": ""}
        api = service.start_anew()
        token = api.grant()
        done = tunnelgate("tunnel", "list", "--api-url", service.url, ANTHROPIC_AUTH_TOKEN=token, **proxies)

    assert sent == []
    assert done.exit_code == 0


def test_headers_of_the_environment_do_not_take_the_place_of_the_token() -> None:
    with tunnels_api.serving() as service:
        api = service.start_anew()
        token = api.grant()
        headers = "Authorization: Bearer another\nX-Gateway-Key: of another service"
        done = tunnelgate(
            *("tunnel", "list", "--api-url", service.url),
            ANTHROPIC_AUTH_TOKEN=token,
            ANTHROPIC_CUSTOM_HEADERS=headers,
        )
        (seen,) = api.seen

    assert done.exit_code == 0
    assert seen.headers["authorization"] == f"Bearer {token}"
    assert "x-gateway-key" not in seen.headers


def test_ctrl_c_in_the_middle_of_making_a_tunnel_says_what_is_not_known(tmp_path: Path) -> None:
    arrived, ended = threading.Event(), threading.Event()

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            arrived.set()
            await asyncio.to_thread(ended.wait, LIMIT)
        tunnel = {"type": "tunnel", "id": "tnl_01", "domain": DOMAIN, "created_at": "2026-01-01T00:00:00Z"}
        await JSONResponse(tunnel)(scope, receive, send)

    with served_elsewhere(_with_lifespan(api)) as port:
        arguments = ["tunnel", "create", "--output", "data", "--api-url", f"http://127.0.0.1:{port}"]
        with subprocess.Popen(
            [str(SCRIPTS / "tunnelgate"), *arguments],
            env=environment(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Who was started in the background inherits that the signal is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        ) as process:
            try:
                assert arrived.wait(LIMIT)
                process.send_signal(signal.SIGINT)
                said, _ = process.communicate(timeout=LIMIT)
            finally:
                ended.set()
                process.kill()

    assert "whether the tunnel was created is not known" in said
    assert process.returncode != 0
    assert TOKEN not in said


def _with_lifespan(inner: ASGIApp) -> ASGIApp:
    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await inner(scope, receive, send)
            return
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    return outer


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\x00")


def authority_with(*extensions: tuple[x509.ExtensionType, bool]) -> Issued:
    """Return a CA with ``extensions``, each with whether it is critical, besides those that a CA has."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = make_authority(NOW).certificate
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A CA of our own")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW - DAY).not_valid_after(NOW + 300 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return Issued(builder.sign(key, SHA256()), key)


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param([(UNKNOWN, True)], id="a critical extension that nobody knows"),
        pytest.param(
            [(x509.NameConstraints([x509.DNSName("example.org")], None), True)],
            id="constraints to other names",
        ),
        pytest.param(
            [(x509.NameConstraints(None, [x509.DNSName("example.com")]), True)], id="constraints without ours"
        ),
        pytest.param([(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)], id="for clients"),
    ],
)
def test_a_ca_whose_certificates_go_and_openssl_refuse_has_a_fault(
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> None:
    authority = authority_with(*extensions)
    server = make_server_certificate(authority, [f"*.{DOMAIN}"], new_key(), NOW)
    pem = authority.certificate.public_bytes(Encoding.PEM)

    faults = faults_of_authority(pem, NOW)
    faults += faults_of_server_certificate(server.certificate_pem, [pem], [f"docs.{DOMAIN}"], NOW)

    assert faults


@pytest.mark.parametrize(
    "extensions",
    [
        pytest.param([], id="without more"),
        pytest.param([(UNKNOWN, False)], id="an extension that nobody knows and need not"),
        pytest.param(
            [(x509.NameConstraints([x509.DNSName("example.com")], None), True)], id="constraints to ours"
        ),
        pytest.param([(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)], id="for servers"),
    ],
)
def test_a_ca_whose_certificates_go_and_openssl_take_has_none(
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> None:
    authority = authority_with(*extensions)
    server = make_server_certificate(authority, [f"*.{DOMAIN}"], new_key(), NOW)
    pem = authority.certificate.public_bytes(Encoding.PEM)

    assert faults_of_authority(pem, NOW) == []
    assert faults_of_server_certificate(server.certificate_pem, [pem], [f"docs.{DOMAIN}"], NOW) == []


def test_names_that_mean_something_to_yaml_json_or_a_terminal_are_listed_as_they_are() -> None:
    names = [
        "yes",
        "~",
        "1_000",
        "12:30",
        "# x",
        "- a",
        "&a",
        "<<",
        "__proto__",
        "a",
        "A",
        "\u0430",
        "'",
        '"',
        "!!x",
    ]
    unseen = ["a\x1b[31m", "a\nb", "a\u202eb", "a\u200b", " ", "get_*"]
    said = "T\n      - evil\x1b]0;x\x07\u2028 # \u202e"
    tools = [
        tool(name, title=said, description=said, annotations={"readOnlyHint": True})
        for name in names + unseen
    ]
    with served_elsewhere(answering_server(lambda method, _: listed(*tools))) as port:
        write_proxy_file(port)
        done = tunnelgate("import", "config.yaml")

    written = Path("tunnelgate.yaml").read_text("utf-8")
    assert done.exit_code == 0
    assert yaml.safe_load(written)["routes"]["docs"]["tools"] == names
    assert all(each.isprintable() or each == "\n" for each in written + done.output)
    Path("tunnelgate.yaml").write_text(written.replace("issuer.invalid", "login.example.com"), "utf-8")
    shown = tunnelgate("connector", "--route", "docs", "--json")
    configs = orjson.loads(shown.stdout)["messages"]["body"]["tools"][0]["configs"]
    assert list(configs) == list(json.loads(shown.stdout)["messages"]["body"]["tools"][0]["configs"]) == names
