"""Clients and claims of the configuration."""

from pathlib import Path
from typing import Any

import pytest

from tests.app.issuer.browsing import Browser, sent_to
from tests.app.issuer.flows import (
    CLIENT_ID,
    DOCS,
    KEY,
    OURS,
    REDIRECT,
    TICKETS,
    Issuer,
    authorization_url,
    basic,
)
from tunnelgate_app.issuer.subjects import MAX_CLAIMS, RESERVED

pytestmark = pytest.mark.anyio

DESK = {"client_id": "desk", "name": "The desk", "redirect_uris": [REDIRECT]}
SECRET = "s-of-it"
FAULTY_CLIENTS: list[Any] = [
    pytest.param(["desk"], "clients.0: ", id="a name alone"),
    pytest.param({"desk": DESK}, "clients: ", id="a mapping"),
    pytest.param("desk", "clients: ", id="a text"),
    pytest.param([{"name": "x"}], "clients.0.client_id: ", id="without a client_id"),
    pytest.param([{**DESK, "client_id": ""}], "clients.0.client_id: ", id="an empty client_id"),
    pytest.param([{**DESK, "client_id": "a b"}], "clients.0.client_id: ", id="two words"),
    pytest.param([{**DESK, "client_id": "a:b"}], "clients.0.client_id: ", id="a colon, as in Basic"),
    pytest.param([{**DESK, "client_id": "desk\n"}], "clients.0.client_id: ", id="a line"),
    pytest.param([{**DESK, "client_id": 5}], "clients.0.client_id: ", id="a number"),
    pytest.param(
        [{**DESK, "client_id": "https://a.example/c.json"}],
        "clients.0.client_id: ",
        id="the URL of a document",
    ),
    pytest.param([{**DESK, "client_id": CLIENT_ID}], "demo is there twice", id="the first client again"),
    pytest.param([DESK, DESK], "desk is there twice", id="a client twice"),
    pytest.param([{**DESK, "client_secret": ""}], "clients.0.client_secret: ", id="an empty secret"),
    pytest.param([{**DESK, "client_secret": "é"}], "clients.0.client_secret: ", id="a secret beyond ASCII"),
    pytest.param([{**DESK, "client_secret": 12345}], "clients.0.client_secret: ", id="a number for a secret"),
    pytest.param([{**DESK, "name": "a\x00b"}], "clients.0.name: has characters", id="a name with a NUL"),
    pytest.param([{**DESK, "name": "x" * 101}], "clients.0.name: ", id="a long name"),
    pytest.param(
        [{**DESK, "redirect_uris": ["http://evil.example/"]}],
        "clients.0.redirect_uris.0: is http, which only this machine may have",
        id="a redirect over plain HTTP",
    ),
    pytest.param([{**DESK, "redirect_uris": REDIRECT}], "clients.0.redirect_uris: ", id="a text of URIs"),
    pytest.param([{**DESK, "redirect_uris": [REDIRECT] * 21}], "clients.0.redirect_uris: ", id="many URIs"),
    pytest.param([{**DESK, "scope": "a"}], "clients.0.scope: ", id="an unknown setting"),
    pytest.param([{"client_id": "desk"}], "desk can do nothing", id="neither a secret nor a redirect"),
    pytest.param(
        [{**DESK, "may_exchange": True, "exchange_from": [DOCS]}],
        "desk needs a client_secret",
        id="a public client that exchanges",
    ),
    pytest.param(
        [{"client_id": "gate", "client_secret": SECRET, "may_exchange": True}],
        "gate needs both may_exchange and exchange_from",
        id="exchanging from nowhere",
    ),
    pytest.param(
        [{"client_id": "gate", "client_secret": SECRET, "exchange_from": [DOCS]}],
        "gate needs both may_exchange and exchange_from",
        id="a resource to exchange from, and no word that it may",
    ),
    pytest.param(
        [{"client_id": "gate", "client_secret": SECRET, "may_exchange": "yes", "exchange_from": [DOCS]}],
        "clients.0.may_exchange: ",
        id="a text for true",
    ),
    pytest.param(
        [
            {
                "client_id": "gate",
                "client_secret": SECRET,
                "may_exchange": True,
                "exchange_from": [f"{DOCS}/"],
            }
        ],
        f"gate cannot exchange from {DOCS}/, which is none of the resources",
        id="exchanging from a resource that there is not",
    ),
]


@pytest.mark.parametrize(("clients", "sentence"), FAULTY_CLIENTS)
def test_clients_that_cannot_be_are_refused_with_a_sentence(
    tmp_path: Path, clients: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=r"^clients") as refused:
        Issuer(tmp_path, clients=clients)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "12345" not in str(refused.value)


async def test_a_public_client_of_the_configuration_gets_tokens_for_users(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, clients=[DESK])

    page = await issuer.ask("desk")
    tokens = await issuer.tokens("desk")

    assert "The desk" in page.text
    assert (await issuer.introspect(tokens["access_token"]))["client_id"] == "desk"
    assert (await issuer.refresh("desk", tokens["refresh_token"])).status == 200


async def test_a_confidential_client_with_redirects_needs_its_secret_and_asks_not_for_itself(
    tmp_path: Path,
) -> None:
    issuer = Issuer(tmp_path, clients=[{**DESK, "client_secret": SECRET}])
    code = await issuer.code("desk")

    without = await issuer.redeem("desk", code)
    itself = await issuer.post(
        "/token", {"grant_type": "client_credentials", "resource": DOCS}, basic("desk", SECRET)
    )
    redeemed = await issuer.redeem("desk", code, client_secret=SECRET)

    assert (without.status, without.json()["error"]) == (401, "invalid_client")
    assert (itself.status, itself.json()["error"]) == (400, "unauthorized_client")
    assert redeemed.status == 200


async def test_a_client_with_nothing_but_a_secret_asks_for_itself_and_cannot_introspect(
    tmp_path: Path,
) -> None:
    issuer = Issuer(tmp_path, clients=[{"client_id": "agent", "client_secret": SECRET}])
    form = {"grant_type": "client_credentials", "resource": DOCS}

    reply = await issuer.post("/token", form, basic("agent", SECRET))
    token = reply.json()["access_token"]
    told = await issuer.post("/introspect", {"token": token}, basic("agent", SECRET))

    assert (await issuer.introspect(token))["sub"] == "agent"
    assert (told.status, told.json()["error"]) == (401, "invalid_client")


async def test_a_redirect_that_was_not_configured_is_not_followed(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, clients=[DESK])

    page = await issuer.ask("desk", redirect_uri="https://evil.example/callback")

    assert (page.reply.status, page.action) == (400, None)
    assert page.reply.header("location") is None


@pytest.mark.parametrize("name", ["desk", "agent", CLIENT_ID])
async def test_nobody_signs_in_under_the_name_of_a_client(tmp_path: Path, name: str) -> None:
    issuer = Issuer(tmp_path, clients=[DESK, {"client_id": "agent", "client_secret": SECRET}])
    browser = Browser(issuer.send)

    page = await browser.submit(await browser.open(authorization_url("desk")), other=name)

    assert page.reply.status == 400
    assert "is the name of a client" in page.text


def test_no_user_is_offered_who_has_the_name_of_a_client(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^users: 'desk' cannot be the name of a user$"):
        Issuer(tmp_path, clients=[DESK], users=["alice", "desk"])


ROW = {
    "accounts": ["acc-1"],
    "groups": ["editors"],
    "email": "alice@example.com",
    "n": 1,
    "deep": {"a": None},
}


@pytest.mark.parametrize("resource", [DOCS, TICKETS], ids=["JWT", "opaque"])
async def test_what_is_claimed_of_a_user_is_in_the_tokens_of_that_user_alone(
    tmp_path: Path, resource: str
) -> None:
    issuer = Issuer(tmp_path, clients=[DESK], claims={"alice": ROW})
    browser = Browser(issuer.send)
    page = await browser.open(authorization_url("desk", resource=resource))
    bobs = sent_to((await browser.submit(page, user="bob")).reply)[1]["code"]

    of_bob = (await issuer.redeem("desk", bobs, resource=resource)).json()
    of_alice = await issuer.tokens("desk", resource)
    again = (await issuer.refresh("desk", of_alice["refresh_token"])).json()

    for tokens in (of_alice, again):
        facts = await issuer.introspect(tokens["access_token"])
        assert {name: facts[name] for name in ROW} == ROW
    facts = await issuer.introspect(of_bob["access_token"])
    assert facts["sub"] == "bob"
    assert not ROW.keys() & facts.keys()


async def test_what_is_claimed_of_a_client_is_in_the_tokens_that_it_gets_for_itself(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, clients=[DESK], claims={CLIENT_ID: {"accounts": "*"}})

    own = await issuer.post("/token", {"grant_type": "client_credentials", "resource": DOCS}, OURS)
    users = await issuer.tokens("desk")

    assert (await issuer.introspect(own.json()["access_token"]))["accounts"] == "*"
    assert "accounts" not in await issuer.introspect(users["access_token"])


async def test_the_claims_are_those_that_were_given_and_not_what_becomes_of_them(tmp_path: Path) -> None:
    accounts = ["acc-1"]
    issuer = Issuer(tmp_path, clients=[DESK], claims={"alice": {"accounts": accounts}})

    accounts.append("acc-2")

    tokens = await issuer.tokens("desk")
    assert (await issuer.introspect(tokens["access_token"]))["accounts"] == ["acc-1"]


async def test_the_most_claims_there_can_be_make_a_token_that_a_gate_reads(tmp_path: Path) -> None:
    claims = {"x": "y" * (MAX_CLAIMS - len('{"x": ""}'))}

    issuer = Issuer(tmp_path, clients=[DESK], claims={"alice": claims})

    assert len((await issuer.tokens("desk"))["access_token"]) < 8192


def test_one_octet_more_is_refused(tmp_path: Path) -> None:
    claims = {"x": "y" * (MAX_CLAIMS - len('{"x": ""}') + 1)}

    with pytest.raises(ValueError, match=rf"^claims.alice: has more than {MAX_CLAIMS} octets$"):
        Issuer(tmp_path, claims={"alice": claims})


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_what_the_issuer_says_itself_cannot_be_configured(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^claims.alice.{name}: is what the issuer itself says in a token$"
    ):
        Issuer(tmp_path, claims={"alice": {"accounts": [], name: "x"}})


async def test_every_name_that_a_token_has_by_itself_is_among_those(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, clients=[DESK])

    assert set(await issuer.introspect((await issuer.tokens("desk"))["access_token"])) <= RESERVED


def nested(depth: int) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for _ in range(depth):
        claims = {"a": claims}
    return claims


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        pytest.param([], "claims: ", id="a list"),
        pytest.param(None, "claims: ", id="nothing"),
        pytest.param({"alice": ["acc-1"]}, "claims.alice: ", id="a list of claims"),
        pytest.param({"alice": {1: "x"}}, "claims.alice.1: ", id="a number for a name"),
        pytest.param({"alice": {"x": KEY}}, "claims.alice.x: ", id="an object of Python"),
        pytest.param({"alice": {"x": float("nan")}}, "claims.alice: is not JSON", id="not a number"),
        pytest.param({"alice": {"x": "\ud800"}}, "claims.alice", id="half of a character"),
        pytest.param({"alice": nested(200)}, "claims.alice", id="deeper than a gate reads"),
        pytest.param({"": {}}, "'' is the name of no user", id="nobody"),
        pytest.param({"a b": {}}, "'a b' is the name of no user", id="two words"),
        pytest.param({5: {}}, "claims.5", id="a number for a subject"),
    ],
)
def test_claims_that_cannot_be_are_refused_with_a_sentence(
    tmp_path: Path, claims: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=r"^claims") as refused:
        Issuer(tmp_path, claims=claims)

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
