import pytest

from tunnelgate_app.issuer.clients import Client


@pytest.mark.parametrize("secret", ["", "None", "x"])
def test_no_secret_is_right_for_a_client_that_has_none(secret: str) -> None:
    assert not Client("public").check_client_secret(secret)


def test_a_secret_is_right_octet_by_octet() -> None:
    client = Client.configured("demo", "s3crét")

    assert client.check_client_secret("s3crét")
    assert not any(client.check_client_secret(wrong) for wrong in ("", "s3cr", "s3crét ", "S3CRÉT"))


def test_a_secret_is_in_no_representation_of_its_client() -> None:
    assert "s3cret" not in repr(Client.configured("demo", "s3cret"))


def test_before_it_is_known_what_a_request_is_about_the_client_says_nothing_about_scopes() -> None:
    client = Client("public")

    assert [client.get_allowed_scope(asked) for asked in (None, "", "a b", ["a", "b"])] == [
        "",
        "",
        "a b",
        "a b",
    ]
