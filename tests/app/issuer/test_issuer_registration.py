from pathlib import Path
from typing import Any

import pytest

from tests.app.issuer.browsing import Browser
from tests.app.issuer.flows import ISSUER, REDIRECT, Issuer, authorization_url
from tunnelgate_app.issuer.clients import MAX_REGISTERED

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


async def test_a_public_client_gets_a_name_and_no_secret(issuer: Issuer) -> None:
    reply = await issuer.register(application_type="native", contacts=["a@b.example"], scope="docs:read")

    client = reply.json()
    assert (reply.status, reply.header("cache-control")) == (201, "no-store")
    assert client == {
        "client_id": client["client_id"],
        "client_id_issued_at": int(issuer.clock.now),
        "client_name": "Inspector",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
    }


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", ...])
async def test_a_confidential_client_gets_a_secret(issuer: Issuer, method: object) -> None:
    client = await issuer.registered(token_endpoint_auth_method=method)

    assert client["client_secret_expires_at"] == 0
    assert len(client["client_secret"]) == 43
    wanted = "client_secret_basic" if method is ... else method
    assert client["token_endpoint_auth_method"] == wanted


async def test_no_two_clients_have_the_same_name_or_secret(issuer: Issuer) -> None:
    clients = [await issuer.registered(token_endpoint_auth_method=...) for _ in range(2)]

    assert clients[0]["client_id"] != clients[1]["client_id"]
    assert clients[0]["client_secret"] != clients[1]["client_secret"]


async def test_grants_that_we_do_not_have_are_left_out_and_the_client_can_read_that(issuer: Issuer) -> None:
    grants = ["refresh_token", "authorization_code", "client_credentials", "implicit"]

    client = await issuer.registered(grant_types=grants, response_types=["code", "token"])

    assert client["grant_types"] == ["authorization_code", "refresh_token"]
    assert client["response_types"] == ["code"]


async def test_what_is_left_out_is_what_the_specification_says(issuer: Issuer) -> None:
    client = await issuer.registered(grant_types=..., client_name=...)

    assert client["grant_types"] == ["authorization_code"]
    assert "client_name" not in client


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        pytest.param({"redirect_uris": ...}, "invalid_redirect_uri", id="no redirect URIs"),
        pytest.param({"redirect_uris": []}, "invalid_redirect_uri", id="an empty list of them"),
        pytest.param({"redirect_uris": REDIRECT}, "invalid_redirect_uri", id="a text of one"),
        pytest.param({"redirect_uris": None}, "invalid_redirect_uri", id="null for them"),
        pytest.param({"redirect_uris": [1]}, "invalid_redirect_uri", id="a number for one"),
        pytest.param(
            {"redirect_uris": [REDIRECT, "javascript:alert(1)"]}, "invalid_redirect_uri", id="a script"
        ),
        pytest.param(
            {"redirect_uris": ["http://client.example/cb"]}, "invalid_redirect_uri", id="http elsewhere"
        ),
        pytest.param(
            {"redirect_uris": [f"{REDIRECT}/{n}" for n in range(21)]},
            "invalid_redirect_uri",
            id="one too many",
        ),
        pytest.param({"client_name": 5}, "invalid_client_metadata", id="a number for a name"),
        pytest.param({"client_name": "x" * 101}, "invalid_client_metadata", id="a name that is too long"),
        pytest.param({"client_name": "a\u202eb"}, "invalid_client_metadata", id="a name that turns the text"),
        pytest.param({"client_name": "a\nb"}, "invalid_client_metadata", id="a name of two lines"),
        *(
            pytest.param(
                {"client_name": f"a{letter}b"},
                "invalid_client_metadata",
                id=f"a name with the shapeless U+{ord(letter):04X}",
            )
            for letter in "\u115f\u1160\u2800\u3164\uffa0"
        ),
        pytest.param(
            {"client_name": "a" + "\u0335" * 3}, "invalid_client_metadata", id="a name with stacked marks"
        ),
        pytest.param(
            {"client_name": "e" + "\u0301\u0489\u20dd\ufe20"},
            "invalid_client_metadata",
            id="a name with different marks stacked",
        ),
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata", id="another method"
        ),
        pytest.param({"token_endpoint_auth_method": []}, "invalid_client_metadata", id="a list of methods"),
        pytest.param({"grant_types": ["implicit"]}, "invalid_client_metadata", id="only another grant"),
        pytest.param({"grant_types": [["a"]]}, "invalid_client_metadata", id="a list in a list of grants"),
        pytest.param({"grant_types": "authorization_code"}, "invalid_client_metadata", id="a text of grants"),
        pytest.param({"response_types": ["token"]}, "invalid_client_metadata", id="only another response"),
        pytest.param({"application_type": "tv"}, "invalid_client_metadata", id="another kind of application"),
    ],
)
async def test_metadata_that_cannot_be_is_refused_with_a_sentence(
    issuer: Issuer, metadata: dict[str, Any], error: str
) -> None:
    reply = await issuer.register(**metadata)

    assert (reply.status, reply.json()["error"]) == (400, error)
    assert reply.json()["error_description"].startswith(next(iter(metadata)))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("Inspektör", id="a letter with its mark"),
        pytest.param("Tro\u031b\u0323 ly\u0301 Vie\u0323\u0302t", id="Vietnamese in parts"),
        pytest.param("מַסְמֵךְ", id="Hebrew with its vowels"),
        pytest.param("ผู้ช่วย", id="Thai"),
        pytest.param("문서 도우미", id="Korean"),
        pytest.param("資料 🗂", id="ideographs and a picture"),
    ],
)
async def test_a_client_may_have_a_name_of_any_language(issuer: Issuer, name: str) -> None:
    assert (await issuer.registered(client_name=name))["client_name"] == name


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b'{"redirect_uris":["http://127.0.0.1/a"],"redirect_uris":[]}', id="a member twice"),
    ],
)
async def test_what_is_no_object_is_an_invalid_request(issuer: Issuer, body: bytes) -> None:
    reply = await issuer.send("POST", f"{ISSUER}/register", [], body)

    assert (reply.status, reply.json()["error"]) == (400, "invalid_request")


async def test_metadata_that_is_too_large_is_refused(issuer: Issuer) -> None:
    assert (await issuer.register(tos_uri="x" * 70_000)).status == 413


@pytest.mark.promise("bounded")
async def test_one_client_too_many_costs_the_first_one_its_place(issuer: Issuer) -> None:
    first, second = [await issuer.registered() for _ in range(2)]
    for _ in range(MAX_REGISTERED - 1):
        await issuer.registered()

    statuses = [
        (await Browser(issuer.send).open(authorization_url(each["client_id"]))).reply.status
        for each in (first, second)
    ]

    assert statuses == [400, 200]
