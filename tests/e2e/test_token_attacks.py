"""Every row of the corpus of tokens, sent over a real connection to a whole gate, with either parser."""

import json
import re
import socket
from base64 import b64decode
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote_plus

import pytest

from tests.e2e.token_attacks import (
    claim_rows,
    dpop_rows,
    header_rows,
    introspection_rows,
    key_rows,
    presentation_rows,
)
from tests.e2e.token_attacks.gates import CLIENT_SECRET, Setting, Stand, Stands, issuer_with_keys
from tests.e2e.token_attacks.minting import jwk_set, private_jwk, token
from tests.e2e.token_attacks.rows import BUILDERS, Case, Pairs, bearer, read_rows
from tests.support.raw import (
    LEGACY_HEADERS,
    LIMIT,
    PARSERS,
    Outcome,
    Parser,
    as_json,
    call_of,
    request_of,
)
from tunnelgate.jwks import ALGORITHMS

MODULES = (claim_rows, dpop_rows, header_rows, introspection_rows, key_rows, presentation_rows)
ROWS = read_rows()
CASES = [
    Case(ROWS[row_id], attempt) for row_id, build in BUILDERS.items() if row_id in ROWS for attempt in build()
]
PIECE = 48  # octets
# The corpus has words of its own for what docs/refusals.md calls otherwise.
OUR_WORDS = {"invalid_request": "bad_request", "temporarily_unavailable": "unavailable"}
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
ADDED = ("accept-encoding", "content-length", "x-request-id")
WITHOUT_TOKEN = {"scope": "mcp:call", "resource_metadata": METADATA}
IN_ITS_PLACE = re.compile(r"[A-Za-z0-9\-._~+/=]{40,}")


def test_every_row_has_a_builder_and_no_builder_lacks_a_row() -> None:
    assert BUILDERS.keys() == ROWS.keys()


def test_every_row_has_a_request_that_ends_as_the_row_says() -> None:
    ending = {case.row.id for case in CASES if not case.attempt.differs}

    assert ending == ROWS.keys()


def test_every_request_has_a_name_of_its_own_and_ends_as_its_row_says_or_says_why_not() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        is_as_said = case.attempt.is_allowed == (case.row.expected == "allow")
        assert is_as_said or case.attempt.differs, case.id


def test_every_row_of_ours_says_why_it_is_there() -> None:
    assert [row.id for row in ROWS.values() if int(row.id[1:]) > 100 and not row.why] == []


@pytest.fixture(scope="module", params=PARSERS, ids=lambda parser: f"with the {parser} parser")
def stands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stands]:
    with ExitStack() as stack:
        yield Stands(request.param, tmp_path_factory.mktemp("issuers"), stack)


@pytest.mark.promise("token-for-this-server")
@pytest.mark.parametrize("sending", ["whole", "in small pieces"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id.encode("ascii", "backslashreplace").decode())
def test_a_token_is_let_through_or_refused_as_the_corpus_says(
    stands: Stands, case: Case, sending: Literal["whole", "in small pieces"]
) -> None:
    stand = stands.get(case.attempt.setting)
    if case.attempt.before is not None:
        case.attempt.before(stand)
    headers = case.attempt.headers(stand)
    piece = 2**20 if sending == "whole" else PIECE

    outcome = stand.send(headers, path=case.attempt.path, body=case.attempt.body, piece=piece)

    check(case, outcome, stand)
    assert stand.elsewhere.asked == []
    check_silence(headers, case.attempt.path, outcome)


def check(case: Case, outcome: Outcome, stand: Stand) -> None:
    attempt = case.attempt
    if stand.gate.parser in attempt.refused_by:
        # No parser hands such a thing to the gate, so that there is nothing to write down.
        assert outcome.statuses == [400]
        assert (outcome.forwarded, outcome.records) == ([], [])
        return
    outcome.check_accounts()
    (record,) = outcome.records
    assert record["reason"] == attempt.reason
    if attempt.reason is None:
        outcome.check_allowed()
        check_forwarded(outcome)
        return
    assert outcome.forwarded == []
    status = expected_status(case)
    assert outcome.answer.status == status
    assert record["verdict"] == ("broken" if status >= 500 else "deny")
    check_error(case, outcome, status)


def expected_status(case: Case) -> int:
    if case.attempt.status is not None:
        return case.attempt.status
    return case.row.status if case.row.expected == "deny" else 401


def check_forwarded(outcome: Outcome) -> None:
    (forwarded,) = outcome.forwarded
    assert sorted(forwarded.names) == sorted([*dict(LEGACY_HEADERS), *ADDED])


def check_error(case: Case, outcome: Outcome, status: int) -> None:
    error = case.row.error if case.attempt.error is None else case.attempt.error
    word = OUR_WORDS.get(error, error)
    told = outcome.answer.json()
    if word and "jsonrpc" not in told:
        assert told == {"error": word}
    challenge = outcome.answer.header("www-authenticate")
    if status not in (401, 403):
        assert challenge is None
        return
    assert challenge is not None
    is_dpop = case.attempt.setting.route.get("proof") == "dpop"
    is_silent = record_of(outcome)["reason"] == "token-missing"
    expected = dict(WITHOUT_TOKEN if is_silent else {"error": word or "invalid_token", **WITHOUT_TOKEN})
    if is_dpop:
        expected["algs"] = " ".join(sorted(ALGORITHMS))
    assert read_challenge(challenge) == ("DPoP" if is_dpop else "Bearer", expected)
    assert (outcome.answer.header("dpop-nonce") is not None) == (word == "use_dpop_nonce")


def record_of(outcome: Outcome) -> Mapping[str, Any]:
    (record,) = outcome.records
    return record


def read_challenge(value: str) -> tuple[str, dict[str, str]]:
    """Return the scheme of a challenge and its parameters, each of which stands once."""
    scheme, _, rest = value.partition(" ")
    pairs = re.findall(r'([a-z_]+)="([^"]*)"(?:, |\Z)', rest)
    assert ", ".join(f'{name}="{text}"' for name, text in pairs) == rest
    assert len(dict(pairs)) == len(pairs)
    return scheme, dict(pairs)


def check_silence(headers: Pairs, path: str, outcome: Outcome) -> None:
    """Check that nothing long of what was presented comes back or is written down."""
    told = [json.dumps(outcome.records), repr([reply.headers for reply in outcome.answers])]
    told += [reply.body.decode("latin-1") for reply in outcome.answers]
    told += [repr(each.headers) + each.body.decode("latin-1") for each in outcome.forwarded]
    for value in (*(value for _, value in headers), path):
        for long in IN_ITS_PLACE.findall(value):
            for part in long.split("."):
                assert len(part) < 20 or all(part not in text for text in told)


def test_the_modules_of_builders_are_all_there() -> None:
    owners: Sequence[str] = sorted({builder.__module__ for builder in BUILDERS.values()})
    assert owners == sorted(module.__name__ for module in MODULES)


@pytest.fixture
def alone(tmp_path: Path) -> Generator[Stands]:
    """Give gates that no other test has sent anything to."""
    with ExitStack() as stack:
        yield Stands("strict", tmp_path, stack)


def test_a_private_key_that_is_published_is_a_critical_line_in_the_log_without_the_key(
    alone: Stands, caplog: pytest.LogCaptureFixture
) -> None:
    case = next(case for case in CASES if case.row.id == "T058")
    stand = alone.get(case.attempt.setting)

    with caplog.at_level("DEBUG"):
        stand.send(case.attempt.headers(stand)).check_allowed()

    (line,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert line.getMessage() == "the JWK set publishes the private part of the key 'e1'"
    assert private_jwk("e1")["d"] not in caplog.text


@pytest.mark.promise("bounded")
def test_names_of_keys_that_nobody_has_make_the_gate_ask_its_issuer_once_more(alone: Stands) -> None:
    stand = alone.get(issuer_with_keys("an issuer that is asked too often", jwk_set("e1")))
    stand.send(bearer(token())).check_allowed()

    for number in range(20):
        outcome = stand.send(bearer(token({"kid": f"unknown {number}"})))
        assert outcome.reasons == ["token-key-unknown"]

    # Once at the start, and once more, because a key may be new.
    assert [asked.path for asked in stand.publisher.asked] == ["/jwks", "/jwks"]


def test_an_issuer_is_asked_about_an_opaque_token_in_a_form_by_a_client_that_says_who_it_is(
    alone: Stands,
) -> None:
    stand = alone.get(introspection_rows.OPAQUE)
    stand.publisher.documents["/introspect"] = as_json(introspection_rows.saying())

    stand.send(bearer("opaque~token+/==")).check_allowed()
    stand.send(bearer("opaque~token+/==")).check_allowed()

    (asked,) = stand.publisher.asked
    assert parse_qs(asked.body.decode()) == {
        "token": ["opaque~token+/=="],
        "token_type_hint": ["access_token"],
    }
    scheme, _, credentials = asked.authorization.partition(" ")
    assert scheme == "Basic"
    assert b64decode(credentials).decode() == f"gate:{quote_plus(CLIENT_SECRET)}"


@pytest.mark.promise("token-stays-here")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "DPoP", "dpop"])
def test_a_token_that_is_sent_to_a_public_path_does_not_reach_the_application(
    alone: Stands, scheme: str
) -> None:
    setting = Setting("a route with a public path", route={"public_paths": ["/public"]})

    outcome = alone.get(setting).send(bearer(token(), scheme), path="/public")

    outcome.check_allowed()


@pytest.mark.promise("token-for-this-server")
@pytest.mark.parametrize("parser", PARSERS)
def test_of_many_requests_at_once_with_the_same_proof_one_is_let_through(
    parser: Parser, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        stand = Stands(parser, tmp_path, stack).get(dpop_rows.ROUTE)
        stand.stands.serve(stand)
        access = dpop_rows.bound(stand)
        headers = dpop_rows.presented(access, dpop_rows.proof(stand, access))
        request = request_of(call_of(), [*LEGACY_HEADERS, *headers])
        address = ("127.0.0.1", stand.gate.port)
        connections = [
            stack.enter_context(socket.create_connection(address, timeout=LIMIT)) for _ in range(16)
        ]
        # All but the last octet first, so that they arrive as nearly at once as can be.
        for connection in connections:
            connection.sendall(request[:-1])
        for connection in connections:
            connection.sendall(request[-1:])
        statuses = Counter(int(connection.makefile("rb").readline().split()[1]) for connection in connections)

    assert statuses == {200: 1, 401: 15}
    assert Counter(record["reason"] for record in stand.gate.records.all) == {None: 1, "proof-replayed": 15}
    assert len(stand.gate.app.executed) == 1
