from pathlib import Path

import pytest

from tests.support.tokens import ISSUER, jwks
from tunnelgate import ConfigurationError
from tunnelgate_app.reloading.reading import read_configuration
from tunnelgate_app.reloading.stamps import stamps_of

TEXT = """
clients: {{allowed_ips: [127.0.0.1]}}
oauth: {{issuers: [{{issuer: "{issuer}", jwks_file: jwks.json}}]}}
routes: {{docs.example.com: {{tools: [{tool}]}}}}
audit: {{file: audit.jsonl}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "jwks.json").write_bytes(jwks("ES256"))
    path = tmp_path / "tunnelgate.yaml"
    path.write_text(TEXT.format(issuer=ISSUER, tool="search"))
    return path


def test_a_configuration_comes_with_the_stamps_of_its_files(file: Path) -> None:
    reading = read_configuration(file, {}, besides=["/dev/null"])

    assert reading.policy.routes["docs.example.com"].tools == ("search",)
    assert reading.stamps == stamps_of([str(file), str(file.parent / "jwks.json"), "/dev/null"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param(
            TEXT.format(issuer=ISSUER, tool="'*'"), ["jwks.json"], id="what can be read of it is named"
        ),
        pytest.param("- nothing\n", [], id="nothing of what cannot"),
    ],
)
def test_a_configuration_with_faults_says_why_and_which_files_may_mend_it(
    file: Path, text: str, named: list[str]
) -> None:
    file.write_text(text)

    reading = read_configuration(file, {})

    with pytest.raises(ConfigurationError):
        _ = reading.policy
    assert [*reading.stamps] == [*(str(file.parent / name) for name in named), str(file)]


def test_the_environment_names_files_as_well(file: Path) -> None:
    variables = {"TUNNELGATE_TLS__CERT_FILE": "/a.pem", "TUNNELGATE_TLS__KEY_FILE": "/a.key"}

    reading = read_configuration(file, variables)

    assert {"/a.pem", "/a.key"} <= set(reading.stamps)
