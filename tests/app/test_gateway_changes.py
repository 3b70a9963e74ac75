"""A gateway whose policy changes keeps what both policies have, starts what is new, and stops the rest."""

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.asgi import Reply, call, http_scope
from tests.support.audit import Records
from tests.support.mcp import legacy, modern
from tests.support.processes import free_port
from tests.support.proofs import Proof, bound_token
from tests.support.proxied import Client, let_pass, until
from tests.support.reloading import lives
from tests.support.tokens import ISSUER, RESOURCE, Token, jwks
from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate_app.gateway import Gateway, create_gateway
from tunnelgate_app.reloading.changes import Changes

pytestmark = pytest.mark.anyio

HOST = "docs.example.com"
WIKI = "wiki.example.com"

MODULE = '''
    """An application that keeps a diary of its life, and holds the requests that ask for it."""

    import asyncio

    DIARY = []
    HELD = []

    class App:
        def __init__(self, name, fails=False, hangs=False, never_stops=False, breaks=""):
            if fails == "factory":
                raise LookupError("no such table")
            self.name, self.fails, self.hangs, self.never_stops = name, fails, hangs, never_stops
            self.breaks = breaks
            self.may_answer = asyncio.Event()

        async def __call__(self, scope, receive, send):
            if scope["type"] == "lifespan":
                return await self.live(receive, send)
            if scope["path"] == "/held":
                HELD.append(self)
                await self.may_answer.wait()
            body = f'"{self.name}"'.encode()
            if scope["path"] == "/mcp":
                body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
            headers = [(b"content-type", b"application/json"), (b"mcp-session-id", self.name.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        async def live(self, receive, send):
            await receive()
            if self.hangs:
                await asyncio.Event().wait()
            if self.fails:
                await send({"type": "lifespan.startup.failed", "message": self.fails})
                return
            DIARY.append(f"start {self.name}")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if self.never_stops:
                await asyncio.Event().wait()
            if self.breaks:
                await send({"type": "lifespan.shutdown.failed", "message": self.breaks})
                return
            DIARY.append(f"stop {self.name}")
            await send({"type": "lifespan.shutdown.complete"})

    THREADS = []

    def create_app(**options):
        import threading
        THREADS.append(threading.current_thread())
        return App(**options)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Give a module that is forgotten with the test."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "diary.py").write_text(dedent(MODULE), "utf-8")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    yield importlib.import_module("diary")
    del sys.modules["diary"]


def mount(name: str, **options: Any) -> dict[str, Any]:
    return {
        "mount": "diary:create_app",
        "options": {"name": name, **options},
        "public_paths": ["/x", "/held"],
    }


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Policy]:
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))

    def make(routes: Mapping[str, Any], **more: Any) -> Policy:
        return Policy.from_mapping(
            {
                "clients": {"allowed_ips": ["127.0.0.1"]},
                "oauth": {"issuers": [{"issuer": ISSUER, "jwks_file": tmp_path / "jwks.json"}]},
                "routes": routes,
                "shutdown_timeout": 0.2,
                **more,
            }
        )

    return make


async def ask(gateway: Gateway, path: str = "/x", host: str = HOST) -> Reply:
    return await call(gateway, http_scope("GET", path, [("host", host)]))


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def is_open(file: Path) -> bool:
    return any(each.exists() and each.readlink() == file for each in Path("/proc/self/fd").iterdir())


def faults(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    return [str(fault) for fault in error.value.faults]


async def test_an_application_with_the_same_options_goes_on_and_others_start_and_stop(
    module: Any, policy: Callable[..., Policy], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tunnelgate")
    gateway = create_gateway(policy({HOST: mount("kept"), WIKI: mount("old")}), audit=Records())
    first = gateway.revision
    async with lives(gateway):
        changed = {HOST: {**mount("kept"), "clients": {"allowed_ips": ["127.0.0.0/8"]}}, WIKI: mount("new")}
        caplog.clear()
        changes = await gateway.change_to(policy({**changed, "more.example.com": mount("more")}))
        await until(lambda: "stop old" in module.DIARY)
        answers = [(await ask(gateway, host=host)).json() for host in (HOST, WIKI, "more.example.com")]
        assert module.DIARY == ["start kept", "start old", "start new", "start more", "stop old"]
        messages = list(caplog.messages)
        await gateway.change_to(policy({HOST: mount("kept")}))
        await until(lambda: "stop more" in module.DIARY)

    assert module.DIARY[5:] == ["stop more", "stop new", "stop kept"]
    assert answers == ["kept", "new", "more"]
    assert changes == Changes(added=("more.example.com",), removed=(), changed=frozenset({HOST, WIKI}))
    assert first != gateway.revision
    assert messages == [
        f"route configured: {WIKI} to diary:create_app",
        "route configured: more.example.com to diary:create_app",
        messages[-1],
    ]
    assert messages[-1].startswith("configuration reloaded: 2 routes changed, 1 added, 0 removed; revision ")
    assert messages[-1].endswith("; 0 calls ended")
    assert f"route removed: {WIKI}" in caplog.messages
    assert set(module.THREADS) == {threading.current_thread()}


@pytest.mark.promise("changes-whole")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"fails": "no database"}, "does not start: no database", id="at its start"),
        pytest.param({"fails": "factory"}, "does not start: no such table", id="in its factory"),
        pytest.param({"hangs": True}, "does not start: did not start within 0.05 seconds", id="for ever"),
    ],
)
async def test_an_application_that_fails_changes_nothing(
    module: Any,
    policy: Callable[..., Policy],
    options: dict[str, Any],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tunnelgate_app.gateway.START_SECONDS", 0.05)
    first = policy({HOST: mount("kept")})
    gateway = create_gateway(first, audit=Records())
    async with lives(gateway):
        with pytest.raises(ConfigurationError) as refused:
            await gateway.change_to(policy({"a.example.com": mount("a"), HOST: mount("new", **options)}))
        answer = (await ask(gateway)).json()
        assert gateway.policy is first

    assert faults(refused) == [f"routes.\"{HOST}\".mount = 'diary:create_app': {sentence}"]
    assert answer == "kept"
    started = [] if options.get("fails") == "factory" else ["start a", "stop a"]
    assert module.DIARY[1:-1] == started
    assert (module.DIARY[0], module.DIARY[-1]) == ("start kept", "stop kept")


@pytest.mark.promise("changes-whole")
async def test_every_fault_is_told_also_of_what_is_to_change_together(
    module: Any, policy: Callable[..., Policy], tmp_path: Path
) -> None:
    first = policy({HOST: mount("kept")})
    gateway = create_gateway(first)
    audit = gateway.policy.audit.file

    def open_beside(_: Policy) -> Callable[[], object]:
        raise ConfigurationError("beside", [ConfigurationFault("beside", "", "is broken")])

    new = {HOST: {**mount("new", fails="factory"), "credentials": {"bearer_file": tmp_path / "no"}}}
    with pytest.raises(ConfigurationError) as refused:
        await gateway.change_to(policy(new, audit={"file": str(tmp_path / "other.jsonl")}), open_beside)

    assert [each.path for each in refused.value.faults] == [
        "beside",
        f'routes."{HOST}".credentials.bearer_file',
        f'routes."{HOST}".mount',
    ]
    assert (gateway.policy, gateway.policy.audit.file) == (first, audit)


async def test_what_changes_together_is_put_to_use_with_the_policy(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("kept")}), audit=Records())
    used: list[object] = []

    def open_beside(opened: Policy) -> Callable[[], object]:
        return lambda: used.append((opened, gateway.policy))

    new = policy({HOST: mount("new")})
    await gateway.change_to(new, open_beside)
    assert await gateway.change_to(policy({HOST: mount("new")}), open_beside) is None

    assert used == [(new, new)]


async def test_before_its_server_has_started_an_application_is_only_made(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("first")}), audit=Records())

    await gateway.change_to(policy({HOST: mount("second")}))
    assert ((await ask(gateway)).json(), module.DIARY) == ("second", [])

    async with lives(gateway):
        assert module.DIARY == ["start second"]


async def test_two_changes_at_once_follow_one_upon_another(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("first")}), audit=Records())
    async with lives(gateway):
        policies = [policy({HOST: mount(name)}) for name in ("second", "third", "third")]
        done = await asyncio.gather(*(gateway.change_to(each) for each in policies))
        await until(lambda: "stop second" in module.DIARY)

        assert (await ask(gateway)).json() == "third"
    assert [each is not None for each in done] == [True, True, False]
    assert [each for each in module.DIARY if each.startswith("start")] == [
        "start first",
        "start second",
        "start third",
    ]


async def test_an_application_that_is_replaced_stops_when_its_last_request_is_answered(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("old")}, shutdown_timeout=60), audit=Records())
    async with lives(gateway):
        held = asyncio.create_task(ask(gateway, "/held"))
        await until(lambda: len(module.HELD) == 1)
        await gateway.change_to(policy({HOST: mount("new")}, shutdown_timeout=60))
        assert (await ask(gateway)).json() == "new"
        assert "stop old" not in module.DIARY
        module.HELD[0].may_answer.set()
        assert (await held).json() == "old"
        await until(lambda: "stop old" in module.DIARY)


async def test_a_request_that_an_application_never_answers_ends_when_the_time_is_over(
    module: Any, policy: Callable[..., Policy], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = create_gateway(policy({HOST: mount("old"), WIKI: mount("kept")}), audit=Records())
    async with lives(gateway):
        held = asyncio.create_task(ask(gateway, "/held"))
        elsewhere = asyncio.create_task(ask(gateway, "/held", WIKI))
        await until(lambda: len(module.HELD) == 2)
        await gateway.change_to(policy({HOST: mount("new"), WIKI: mount("kept")}))
        reply = await held
        await until(lambda: "stop old" in module.DIARY)
        assert not elsewhere.done(), "it is with an application that goes on"
        module.HELD[1].may_answer.set()
        assert (await elsewhere).json() == "kept"

    assert (reply.status, reply.json()) == (503, {"error": "policy_changed"})
    assert "policy-changed: what stands behind its route is another" in caplog.text


async def test_an_application_that_does_not_stop_is_left_behind_and_said(
    module: Any, policy: Callable[..., Policy], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = create_gateway(policy({HOST: mount("old", never_stops=True)}), audit=Records())
    async with lives(gateway):
        await gateway.change_to(policy({HOST: mount("new")}))
        await until(lambda: "did not stop within 0.2 seconds" in caplog.text)
        assert (await ask(gateway)).json() == "new"


async def test_a_gateway_that_stops_waits_for_no_application_that_was_to_stop_later(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("old")}, shutdown_timeout=60), audit=Records())
    async with lives(gateway):
        held = asyncio.create_task(ask(gateway, "/held"))
        await until(lambda: len(module.HELD) == 1)
        await gateway.change_to(policy({HOST: mount("new")}, shutdown_timeout=60))

    assert module.DIARY == ["start old", "start new", "stop new", "stop old"]
    module.HELD[0].may_answer.set()
    assert (await held).json() == "old"


async def test_an_application_that_does_not_start_with_the_server_keeps_it_from_starting(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(
        policy({HOST: mount("a"), WIKI: mount("b", fails="no database")}), audit=Records()
    )

    async with lives(gateway) as said:
        assert said == [{"type": "lifespan.startup.failed", "message": "no database"}]

    assert module.DIARY == ["start a", "stop a"]


async def test_an_application_that_fails_to_stop_is_told_to_the_server(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("a", breaks="half a file")}), audit=Records())

    async with lives(gateway) as said:
        pass

    assert said[-1] == {"type": "lifespan.shutdown.failed", "message": "half a file"}


async def test_a_companion_lives_from_the_start_to_the_stop(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: mount("a")}), audit=Records())

    class Companion:
        def start(self) -> None:
            module.DIARY.append("start companion")

        async def stop(self) -> None:
            module.DIARY.append("stop companion")

    gateway.accompany(Companion())
    async with lives(gateway):
        pass

    assert module.DIARY == ["start a", "start companion", "stop companion", "stop a"]


# What is kept


def route(**more: Any) -> dict[str, Any]:
    return {**mount("server"), "tools": ["search_docs"], **more}


def bearer() -> tuple[str, str]:
    return ("authorization", f"Bearer {Token(claims={'aud': RESOURCE}).mint()}")


@pytest.mark.promise("session-bound")
async def test_what_was_sealed_can_be_opened_after_a_change(
    module: Any, policy: Callable[..., Policy]
) -> None:
    gateway = create_gateway(policy({HOST: route()}), audit=Records())
    headers, body = legacy("ping")
    headers = [*headers, bearer()]
    session = (await call(gateway, http_scope(headers=headers), body)).header("mcp-session-id")

    await gateway.change_to(policy({HOST: route(tools=["search_docs", "read_doc"])}))
    reply = await call(gateway, http_scope(headers=[*headers, ("mcp-session-id", str(session))]), body)

    assert (reply.status, reply.json()["result"]) == (200, {})


@pytest.mark.promise("bound-stays-bound")
@pytest.mark.parametrize(
    "between",
    [
        pytest.param([("search_docs", "read_doc")], id="which changes the route"),
        pytest.param(
            [(), ("search_docs",)], id="which takes the route away, and another that brings it back"
        ),
    ],
)
async def test_a_proof_that_was_shown_is_not_new_after_a_change(
    module: Any, policy: Callable[..., Policy], between: list[tuple[str, ...]]
) -> None:
    gateway = create_gateway(policy({HOST: route(proof="dpop")}), audit=Records())
    token = bound_token()
    headers, body = modern("tools/call", {"name": "search_docs", "arguments": {}})
    shown = [("authorization", f"DPoP {token}"), ("dpop", Proof().mint(token))]
    first = await call(gateway, http_scope(headers=[*headers, *shown]), body)

    for tools in between:
        routes = {HOST: route(proof="dpop", tools=tools)} if tools else {WIKI: route()}
        await gateway.change_to(policy(routes, dpop={"max_age": 120}))
    second = await call(gateway, http_scope(headers=[*headers, *shown]), body)
    another = [shown[0], ("dpop", Proof().mint(token))]
    third = await call(gateway, http_scope(headers=[*headers, *another]), body)

    assert [each.status for each in (first, second, third)] == [200, 401, 200]


async def test_records_go_to_the_file_that_the_policy_of_the_request_names(
    module: Any, policy: Callable[..., Policy], tmp_path: Path
) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    policies = [policy({HOST: mount("server")}, audit={"file": str(file)}) for file in files]
    gateway = create_gateway(policies[0])
    held = asyncio.create_task(ask(gateway, "/held"))
    await until(lambda: len(module.HELD) == 1)

    await gateway.change_to(policies[1])
    await ask(gateway)
    await let_pass(0.3)
    assert all(map(is_open, files)), "the request that is held has not ended"
    module.HELD[0].may_answer.set()
    await held
    await until(lambda: not is_open(files[0]))

    assert is_open(files[1])
    assert [len(file.read_text().splitlines()) for file in files] == [1, 1]


async def test_a_file_for_records_that_was_opened_in_vain_is_closed(
    module: Any, policy: Callable[..., Policy], tmp_path: Path
) -> None:
    gateway = create_gateway(policy({HOST: mount("server")}, audit={"file": str(tmp_path / "a.jsonl")}))
    before = open_files()

    for _ in range(5):
        with pytest.raises(ConfigurationError):
            await gateway.change_to(
                policy({HOST: mount("new", fails="factory")}, audit={"file": str(tmp_path / "b.jsonl")})
            )

    assert open_files() <= before


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        pytest.param({}, True, id="itself"),
        pytest.param({"tools": ["search_docs"]}, True, id="what may be used of it"),
        pytest.param({"upstream": {"read_timeout": 7}}, False, id="how it is asked"),
    ],
)
async def test_what_is_known_of_a_remote_server_is_kept_unless_what_changes_is(
    module: Any, policy: Callable[..., Policy], change: dict[str, Any], *, is_kept: bool
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    here = {"allowed_ips": ["127.0.0.1"]}
    remote: dict[str, Any] = {"upstream": {"url": url}, "public_paths": ["/x"]}
    gateway = create_gateway(policy({HOST: remote}, upstream=here), audit=Records())
    client = Client()
    await gateway(http_scope("GET", "/x", [("host", HOST)]), client.receive, client.send)
    assert client.reply.status == 502

    changed = {**remote, **change, "upstream": {"url": url, **change.get("upstream", {})}}
    await gateway.change_to(policy({HOST: changed, WIKI: mount("more")}, upstream=here))

    assert {name: report.failures for name, report in gateway.health.items()} == {HOST: 1 if is_kept else 0}


async def test_a_warning_is_said_once_and_a_new_one_when_it_is_new(
    module: Any, policy: Callable[..., Policy], caplog: pytest.LogCaptureFixture
) -> None:
    wide = {"allowed_ips": ["0.0.0.0/0"], "allow_wide_networks": True}
    gateway = create_gateway(policy({HOST: mount("a")}, clients=wide), audit=Records())
    caplog.clear()

    upstream = {"disable_ip_validation": True}
    await gateway.change_to(policy({HOST: mount("a")}, clients=wide, upstream=upstream))

    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [each.partition(":")[0] for each in warned] == ["upstream.disable_ip_validation"]
