from base64 import b64decode
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate import ClientSecret

FORM = {"token": "opaque", "token_type_hint": "access_token"}


@pytest.mark.parametrize(
    ("client_id", "client_secret", "header"),
    [
        pytest.param(
            "s6BhdRkqt3",
            "gX1fBat3bV",
            "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW",
            id="the example of RFC 6749, 2.3.1",
        ),
        pytest.param("gate", "s3cret", "Basic Z2F0ZTpzM2NyZXQ=", id="letters and digits"),
        pytest.param("a:b", "c:d", "Basic YSUzQWI6YyUzQWQ=", id="colons, as a%3Ab:c%3Ad"),
        pytest.param("a b", "c+d&e=f%", "Basic YStiOmMlMkJkJTI2ZSUzRGYlMjU=", id="what a form encodes"),
        pytest.param(
            " %&+£€",  # RFC 6749, appendix B
            "x",
            "Basic KyUyNSUyNiUyQiVDMiVBMyVFMiU4MiVBQzp4",
            id="the example of RFC 6749, appendix B",
        ),
    ],
)
def test_name_and_secret_stand_in_the_header_encoded_as_in_a_form(
    client_id: str, client_secret: str, header: str
) -> None:
    form, headers = ClientSecret(client_id, client_secret).authenticate(FORM)

    assert (form, headers) == (FORM, {"authorization": header})


def test_name_and_secret_stand_in_the_form_where_the_issuer_takes_them_there() -> None:
    client = ClientSecret("gate", "c:d&e", "client_secret_post")

    form, headers = client.authenticate(FORM)

    assert form == {**FORM, "client_id": "gate", "client_secret": "c:d&e"}
    assert headers == {}


def test_what_is_sent_cannot_say_whose_it_is() -> None:
    form, _ = ClientSecret("gate", "s3cret", "client_secret_post").authenticate(
        {"client_id": "evil", "client_secret": "x"}
    )

    assert form == {"client_id": "gate", "client_secret": "s3cret"}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_form_that_was_given_stays_as_it_is(method: Any) -> None:
    given_form = dict(FORM)

    form, _ = ClientSecret("gate", "s3cret", method).authenticate(given_form)
    form["token"] = "another"

    assert given_form == FORM


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.promise("token-stays-here")
def test_the_secret_stands_in_no_representation(method: Any) -> None:
    client = ClientSecret("gate", "s3cret", method)

    assert "s3cret" not in f"{client} {client!r}"
    assert "gate" in repr(client)


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [
        pytest.param("gate", "s3cret\udcff", id="a secret that is not UTF-8, as the environment gives it"),
        pytest.param("gate\udcff", "s3cret", id="a name that is not UTF-8"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_construction_without_repeating_it(
    client_id: str, client_secret: str
) -> None:
    with pytest.raises(ValueError, match=r"client_(id|secret)") as caught:
        ClientSecret(client_id, client_secret)

    assert "s3cret" not in str(caught.value)
    assert "\udcff" not in str(caught.value)
    assert "udcff" not in str(caught.value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(client_id=TEXTS, client_secret=TEXTS)
def test_an_issuer_reads_the_very_name_and_secret(client_id: str, client_secret: str) -> None:
    _, headers = ClientSecret(client_id, client_secret).authenticate({})

    scheme, _, credentials = headers["authorization"].partition(" ")
    name, _, secret = b64decode(credentials, validate=True).decode("ascii").partition(":")
    assert scheme == "Basic"
    assert (unquote_plus(name), unquote_plus(secret)) == (client_id, client_secret)
