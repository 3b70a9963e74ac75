from collections.abc import Mapping
from pathlib import Path

import pytest

from tunnelgate_app.administration.credentials import Federation, StaticToken, credentials_from
from tunnelgate_app.administration.errors import AdministrationError

FEDERATION = {
    "ANTHROPIC_FEDERATION_RULE_ID": "fdrl_1",
    "ANTHROPIC_ORGANIZATION_ID": "org",
    "ANTHROPIC_IDENTITY_TOKEN_FILE": "/run/token",
}
NO_KEYS = (
    "the Tunnels API takes no Admin API keys and no API keys of the Claude API; use Workload Identity"
    " Federation (ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_ORGANIZATION_ID, and ANTHROPIC_IDENTITY_TOKEN_FILE"
    " or ANTHROPIC_IDENTITY_TOKEN) or a token (ANTHROPIC_AUTH_TOKEN or --auth-token-file)"
)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"ANTHROPIC_AUTH_TOKEN": "t0k"}, StaticToken("t0k"), id="a token of the environment"),
        pytest.param({"ANTHROPIC_AUTH_TOKEN": " t0k\n"}, StaticToken("t0k"), id="a token with white space"),
        pytest.param(
            {"ANTHROPIC_AUTH_TOKEN": "t0k", "ANTHROPIC_WORKSPACE_ID": "wrkspc_1"},
            StaticToken("t0k", "wrkspc_1"),
            id="a token for a workspace",
        ),
        pytest.param(
            {"ANTHROPIC_AUTH_TOKEN": "t0k", "ANTHROPIC_API_KEY": "sk-ant-api03-x"},
            StaticToken("t0k"),
            id="a token beside a key for other programs",
        ),
        pytest.param(
            FEDERATION,
            Federation("fdrl_1", "org", None, None, None, Path("/run/token")),
            id="an identity token in a file",
        ),
        pytest.param(
            {
                **FEDERATION,
                "ANTHROPIC_IDENTITY_TOKEN_FILE": "",
                "ANTHROPIC_IDENTITY_TOKEN": "jwt",
                "ANTHROPIC_WORKSPACE_ID": "wrkspc_1",
                "ANTHROPIC_SERVICE_ACCOUNT_ID": "svac_1",
                "ANTHROPIC_AUTH_TOKEN": "",
            },
            Federation("fdrl_1", "org", "wrkspc_1", "svac_1", "jwt", None),
            id="an identity token of the environment, where empty variables are none",
        ),
    ],
)
def test_credentials_come_from_the_environment(
    environment: Mapping[str, str], expected: StaticToken | Federation
) -> None:
    assert credentials_from(environment) == expected


def test_a_file_with_a_token_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("t0k\n")

    assert credentials_from(FEDERATION, file) == StaticToken("t0k")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        pytest.param(
            {},
            "nothing says who asks: set ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_ORGANIZATION_ID, and"
            " ANTHROPIC_IDENTITY_TOKEN_FILE or ANTHROPIC_IDENTITY_TOKEN for Workload Identity Federation, or"
            " give a token by ANTHROPIC_AUTH_TOKEN or --auth-token-file",
            id="nothing",
        ),
        pytest.param(
            {"ANTHROPIC_API_KEY": "sk-ant-api03-s3cr3t"},
            f"only ANTHROPIC_API_KEY is set, and {NO_KEYS}",
            id="an API key alone",
        ),
        pytest.param(
            {"ANTHROPIC_AUTH_TOKEN": "sk-ant-admin01-s3cr3t"},
            f"ANTHROPIC_AUTH_TOKEN holds an Admin API key, and {NO_KEYS}",
            id="an Admin API key as a token",
        ),
        pytest.param(
            {**FEDERATION, "ANTHROPIC_AUTH_TOKEN": "s3cr3t"},
            "both ANTHROPIC_AUTH_TOKEN and ANTHROPIC_FEDERATION_RULE_ID are set; unset one of them",
            id="two ways at once",
        ),
        pytest.param(
            {"ANTHROPIC_FEDERATION_RULE_ID": "fdrl_1", "ANTHROPIC_IDENTITY_TOKEN": "s3cr3t"},
            "ANTHROPIC_FEDERATION_RULE_ID is set, but not ANTHROPIC_ORGANIZATION_ID",
            id="a rule without an organization",
        ),
        pytest.param(
            {**FEDERATION, "ANTHROPIC_IDENTITY_TOKEN": "s3cr3t"},
            "both ANTHROPIC_IDENTITY_TOKEN and ANTHROPIC_IDENTITY_TOKEN_FILE are set; unset one",
            id="two identity tokens",
        ),
        pytest.param(
            {**FEDERATION, "ANTHROPIC_IDENTITY_TOKEN_FILE": " "},
            "ANTHROPIC_FEDERATION_RULE_ID is set, but neither ANTHROPIC_IDENTITY_TOKEN_FILE"
            " nor ANTHROPIC_IDENTITY_TOKEN",
            id="a rule without an identity token",
        ),
        pytest.param(
            {"ANTHROPIC_AUTH_TOKEN": "s3cr3t\ns3cr3t"},
            "ANTHROPIC_AUTH_TOKEN holds no token: a token is one line of visible ASCII characters",
            id="two lines",
        ),
        pytest.param(
            {"ANTHROPIC_AUTH_TOKEN": "s3cr3t\u00e9"},
            "ANTHROPIC_AUTH_TOKEN holds no token: a token is one line of visible ASCII characters",
            id="a letter that is not ASCII",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_without_the_secret(
    environment: Mapping[str, str], sentence: str
) -> None:
    with pytest.raises(AdministrationError) as raised:
        credentials_from(environment)

    assert str(raised.value) == sentence
    assert "s3cr3t" not in sentence


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        pytest.param(b"x" * 16384, True, id="a token as long as one may be"),
        pytest.param(b"x" * 16385, False, id="a token that is longer"),
        pytest.param(b"", False, id="an empty file"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\ns3cr3t\n", False, id="a private key"),
        pytest.param(b"\xff\xfe", False, id="octets that are no text"),
    ],
)
def test_a_file_holds_one_token(content: bytes, accepted: bool, tmp_path: Path) -> None:  # noqa: FBT001
    file = tmp_path / "auth"
    file.write_bytes(content)

    if accepted:
        assert credentials_from({}, file) == StaticToken(content.decode())
    else:
        with pytest.raises(AdministrationError, match=f"^{file} holds no token: ") as raised:
            credentials_from({}, file)
        assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "reason"), [("absent", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_named(name: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / name

    with pytest.raises(AdministrationError) as raised:
        credentials_from({}, file)

    assert str(raised.value) == f"{file} cannot be read: {reason}"


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr([StaticToken("s3cr3t"), Federation("fdrl_1", "org", None, None, "s3cr3t", None)])

    assert "fdrl_1" in shown
    assert "s3cr3t" not in shown
