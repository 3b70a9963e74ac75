from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any, cast

import pytest
from starlette.datastructures import MutableHeaders

from tests.support.asgi import Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.tokens import RESOURCE, Token, trusted_issuer
from tunnelgate import (
    Allow,
    AuditLog,
    AuditUnavailable,
    BearerAuthentication,
    Deny,
    HostAllowlist,
    Principal,
    Reason,
    Verdict,
    principal_of,
)
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate.exchange import (
    Exchange,
    Load,
    caller_of,
    exchange_of,
    load_of,
    new_request_id,
    with_exchange,
    with_load,
    without_exchange,
)
from tunnelgate.handover import PUBLIC_HEADERS, Handover

ALICE = Principal("https://login.example.com", "alice", "agent", frozenset({"docs:read"}), {"sub": "alice"})


def test_a_request_id_is_sixteen_hexadecimal_digits_and_occurs_once() -> None:
    ids = {new_request_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(each) == 16 and set(each) <= set("0123456789abcdef") for each in ids)


def test_every_layer_of_one_request_finds_the_same_record() -> None:
    scope = http_scope()

    assert exchange_of(scope) is exchange_of(scope)
    assert exchange_of({**scope, "root_path": "/gate"}) is exchange_of(scope)


def test_another_request_has_another_record() -> None:
    first, second = exchange_of(http_scope()), exchange_of(http_scope())

    assert first is not second
    assert first.request_id != second.request_id


@pytest.mark.parametrize(
    "kind", [pytest.param("http", id="HTTP"), pytest.param("websocket", id="a WebSocket")]
)
def test_a_record_knows_a_websocket_from_a_request(kind: str) -> None:
    scope = {**http_scope(), "type": kind}

    assert exchange_of(scope).is_websocket is (kind == "websocket")


def test_a_record_that_a_copy_of_a_scope_carries_is_not_that_of_the_scope() -> None:
    scope = http_scope()
    exchange = exchange_of(http_scope())

    assert exchange_of(with_exchange(scope, exchange)) is exchange
    assert exchange_of(scope) is not exchange


def _replace(scope: Scope) -> Scope:
    return {**scope, "headers": [(b"host", b"evil.example")]}


def _replace_in_the_same_scope(scope: Scope) -> Scope:
    scope["headers"] = [(b"host", b"evil.example")]
    return scope


def _write_with_starlette(scope: Scope) -> Scope:
    MutableHeaders(scope=scope)["host"] = "evil.example"
    return scope


def _write_into_the_raw_list(scope: Scope) -> Scope:
    MutableHeaders(raw=scope["headers"])["host"] = "evil.example"
    return scope


def _append_to_the_list(scope: Scope) -> Scope:
    scope["headers"].append((b"host", b"evil.example"))
    return scope


def _remove_from_the_list(scope: Scope) -> Scope:
    scope["headers"].clear()
    return scope


CHANGES = [
    pytest.param(_replace, Reason.HOST_UNKNOWN, id="a new scope with a new list"),
    pytest.param(_replace_in_the_same_scope, Reason.HOST_UNKNOWN, id="the same scope with a new list"),
    pytest.param(_write_with_starlette, Reason.HOST_UNKNOWN, id="Starlette's headers of a scope"),
    pytest.param(_write_into_the_raw_list, Reason.HOST_UNKNOWN, id="Starlette's headers over the same list"),
    pytest.param(_append_to_the_list, Reason.HEADER_DUPLICATED, id="one more line in the same list"),
    pytest.param(_remove_from_the_list, Reason.HOST_MISSING, id="no line left in the same list"),
]


class Foreign:
    """A middleware between two of our layers that changes headers."""

    def __init__(self, app: ASGIApp, change: Callable[[Scope], Scope]) -> None:
        self.app = app
        self.change = change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(self.change(scope), receive, send)


@pytest.mark.parametrize(("change", "reason"), CHANGES)
@pytest.mark.anyio
async def test_headers_that_a_foreign_middleware_changed_are_judged_as_they_are_now(
    change: Callable[[Scope], Scope], reason: Reason
) -> None:
    spy, records = Spy(), Records()
    app = AuditLog(Foreign(HostAllowlist(spy, hosts=["docs.example.com"]), change), sink=records)

    await call(app, http_scope())

    assert [("deny", reason)] == records.verdicts
    assert spy.scopes == []


@pytest.mark.anyio
async def test_headers_that_nobody_changed_are_read_once() -> None:
    scope = http_scope()
    head = exchange_of(scope).head

    assert exchange_of(scope).head is head
    scope["headers"] = [*scope["headers"], (b"origin", b"https://evil.example")]
    assert exchange_of(scope).head.fields[b"origin"] == b"https://evil.example"


def _exchange(written: list[Verdict]) -> Exchange:
    exchange = exchange_of(http_scope())
    exchange.write_down = lambda _, verdict: written.append(verdict)
    return exchange


@pytest.mark.parametrize("part", ["token", "upstream_token"])
@pytest.mark.promise("token-stays-here")
def test_a_record_that_is_shown_shows_no_token(part: str) -> None:
    exchange = exchange_of(http_scope())
    setattr(exchange, part, b"secret" if part == "token" else "secret")

    assert "secret" not in repr(exchange)
    assert "secret" not in str(exchange)


def test_nothing_of_tokens_and_proofs_is_known_before_a_layer_has_found_it() -> None:
    exchange = exchange_of(http_scope())

    assert (exchange.principal, exchange.token, exchange.upstream_token) == (None, None, None)
    assert (exchange.proof_algorithms, exchange.dpop_nonce, exchange.required_scopes) == ((), None, ())


@pytest.mark.promise("token-stays-here")
def test_an_application_behind_the_gate_sees_neither_token() -> None:
    scope = http_scope()
    exchange = exchange_of(scope)
    exchange.token, exchange.upstream_token = b"secret", "secret"

    assert "secret" not in repr(without_exchange(scope, []))


def test_only_the_first_decision_about_a_request_is_written_down() -> None:
    written: list[Verdict] = []
    exchange = _exchange(written)

    exchange.decide(Allow())
    exchange.decide(Deny(Reason.ANSWER_NOT_VALID))

    assert written == [Allow()]
    assert exchange.is_decided


def test_a_decision_that_could_not_be_written_down_is_still_open() -> None:
    written: list[Verdict] = []
    exchange = _exchange(written)
    exchange.write_down = lambda exchange, verdict: FullDisk().write({})

    with pytest.raises(AuditUnavailable):
        exchange.decide(Allow())
    assert not exchange.is_decided

    exchange.write_down = lambda _, verdict: written.append(verdict)
    exchange.decide(Deny(Reason.HOST_UNKNOWN))
    assert written == [Deny(Reason.HOST_UNKNOWN)]


def test_without_an_audit_log_a_decision_is_made_all_the_same() -> None:
    exchange = exchange_of(http_scope())

    exchange.decide(Allow())

    assert exchange.is_decided


def test_an_application_behind_the_gate_sees_the_principal_and_nothing_else_of_the_record() -> None:
    scope = http_scope()
    exchange = exchange_of(scope)
    exchange.principal = ALICE

    target = without_exchange(scope, [(b"host", b"docs.example.com")])

    assert principal_of(target) == ALICE
    assert target["headers"] == [(b"host", b"docs.example.com")]
    assert exchange not in target.values()


def test_the_scope_of_the_gate_is_left_as_it_was_when_another_one_is_made_for_the_application() -> None:
    scope = http_scope()
    exchange = exchange_of(scope)

    without_exchange(scope, [])

    assert exchange_of(scope) is exchange
    assert scope["headers"] != []


@pytest.mark.parametrize("part", ["issuer", "subject", "client_id", "scopes", "claims"])
def test_no_application_can_change_who_asks(part: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(ALICE, part, None)


def test_without_a_gate_nobody_is_known() -> None:
    assert principal_of(http_scope()) is None


def test_between_the_layers_the_principal_is_the_one_that_was_found_so_far() -> None:
    scope = http_scope()
    exchange = exchange_of(scope)

    assert principal_of(scope) is None
    exchange.principal = ALICE
    assert principal_of(scope) == ALICE


@pytest.mark.parametrize(
    "is_behind", [pytest.param(False, id="a layer"), pytest.param(True, id="the application")]
)
@pytest.mark.promise("token-for-this-server")
def test_who_is_told_who_asks_cannot_change_the_claims_that_the_next_request_is_judged_by(
    *, is_behind: bool
) -> None:
    claims = {"sub": "alice", "groups": ["readers"], "address": {"country": "AT"}}
    scope = http_scope()
    exchange_of(scope).principal = replace(ALICE, claims=claims)
    told = principal_of(without_exchange(scope, []) if is_behind else scope)
    assert told is not None

    cast("dict[str, Any]", told.claims)["sub"] = "bob"
    told.claims["groups"].append("admins")
    told.claims["address"].clear()

    assert claims == {"sub": "alice", "groups": ["readers"], "address": {"country": "AT"}}
    again = principal_of(scope)
    assert again is not None
    assert again.claims == claims


@pytest.mark.anyio
async def test_an_application_with_its_own_authentication_behind_a_public_path_knows_who_asks() -> None:
    seen: list[Principal | None] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(principal_of(scope))
        await Spy()(scope, receive, send)

    authenticated = BearerAuthentication(endpoint, resource=RESOURCE, issuers=[trusted_issuer()])

    async def with_a_token_of_its_own(scope: Scope, receive: Receive, send: Send) -> None:
        token = (b"authorization", b"Bearer " + Token().mint().encode())
        await authenticated({**scope, "headers": [*scope["headers"], token]}, receive, send)

    app = Handover(with_a_token_of_its_own, headers=PUBLIC_HEADERS)

    reply = await call(app, http_scope())

    assert reply.status == 200
    assert [None if each is None else each.subject for each in seen] == ["alice"]


# What a request is to a server, and whose


def _behind(principal: Principal | None) -> Scope:
    """Return a scope as an application behind a gate gets it."""
    scope = http_scope()
    exchange_of(scope).principal = principal
    return without_exchange(scope, [])


@pytest.mark.parametrize(
    ("scope", "load"),
    [
        pytest.param(http_scope(), None, id="where there is no gate"),
        pytest.param(_behind(None), Load.PUBLIC, id="behind a gate, of nobody in particular"),
        pytest.param(_behind(ALICE), None, id="behind a gate, of somebody, and nothing else is known"),
        *(
            pytest.param(with_load(_behind(principal), load), load, id=f"{load.name} of {whose}")
            for principal, whose in ((None, "nobody in particular"), (ALICE, "somebody"))
            for load in Load
        ),
    ],
)
def test_what_a_request_is_to_a_server(scope: Scope, load: Load | None) -> None:
    assert load_of(scope) is load


def test_what_a_request_is_to_a_server_reaches_the_application_behind_the_gate() -> None:
    scope = with_load(http_scope(), Load.ASIDE)
    exchange_of(scope)

    assert load_of(without_exchange(scope, [])) is Load.ASIDE


def test_the_scope_of_the_gate_is_left_as_it_was_when_it_is_said_what_a_request_is() -> None:
    scope = http_scope()

    with_load(scope, Load.STREAM)

    assert load_of(scope) is None


@pytest.mark.parametrize("is_behind", [False, True], ids=["a layer", "the application"])
def test_a_caller_is_known_by_issuer_subject_and_client(*, is_behind: bool) -> None:
    scope = http_scope()
    exchange_of(scope).principal = ALICE

    told = without_exchange(scope, []) if is_behind else scope
    assert caller_of(told) == ("https://login.example.com", "alice", "agent")


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(http_scope(), id="where there is no gate"),
        pytest.param(with_exchange(http_scope(), exchange_of(http_scope())), id="before anybody has looked"),
        pytest.param(_behind(None), id="on a public path"),
    ],
)
def test_without_a_token_a_caller_is_nobody_in_particular(scope: Scope) -> None:
    assert caller_of(scope) is None


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(replace(ALICE, issuer="https://partner.example.com"), False, id="of another issuer"),
        pytest.param(replace(ALICE, subject="bob"), False, id="with another subject"),
        pytest.param(replace(ALICE, client_id="other"), False, id="by another client"),
        pytest.param(replace(ALICE, issuer="alice", subject=ALICE.issuer), False, id="the other way round"),
        pytest.param(None, False, id="who is nobody in particular"),
        pytest.param(
            replace(ALICE, scopes=frozenset(), claims={"sub": "alice", "exp": 1}), True, id="with a new token"
        ),
    ],
)
def test_a_caller_is_told_from_one(other: Principal | None, *, is_same: bool) -> None:
    assert (caller_of(_behind(other)) == caller_of(_behind(ALICE))) is is_same


@pytest.mark.anyio
async def test_where_gates_stand_in_each_other_the_caller_is_the_one_that_the_inner_one_knows() -> None:
    seen: list[object] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(caller_of(scope))
        await Spy()(scope, receive, send)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).principal = replace(ALICE, subject="bob")
        await Handover(endpoint)(scope, receive, send)
        seen.append(caller_of(scope))

    scope = http_scope()
    exchange_of(scope).principal = ALICE

    await call(Handover(inner), scope)

    assert seen == [("https://login.example.com", "bob", "agent")] * 2
