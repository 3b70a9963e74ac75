import re

import pytest

from tunnelgate import (
    AuditUnavailable,
    ConfigurationError,
    ConfigurationFault,
    CredentialUnavailable,
    IssuerUnavailable,
    KeysUnavailable,
    Reason,
    ReplayWindowFull,
    TunnelgateError,
    Unavailable,
    errors,
)


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        pytest.param(ConfigurationError, TunnelgateError, id="a configuration that cannot be run"),
        pytest.param(Unavailable, TunnelgateError, id="something that we depend on"),
        pytest.param(KeysUnavailable, Unavailable, id="the keys of an issuer"),
        pytest.param(IssuerUnavailable, Unavailable, id="an issuer that does not answer"),
        pytest.param(CredentialUnavailable, Unavailable, id="a token for the application"),
        pytest.param(ReplayWindowFull, Unavailable, id="a window with no room for one more proof"),
        pytest.param(AuditUnavailable, Unavailable, id="a decision that cannot be written down"),
    ],
)
def test_every_exception_hangs_where_the_tree_says(error: type[Exception], parent: type[Exception]) -> None:
    assert parent in error.__bases__


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Unavailable("x"), Reason.INTERNAL_ERROR, id="nobody says what"),
        pytest.param(KeysUnavailable("x"), Reason.KEYS_UNAVAILABLE, id="keys"),
        pytest.param(IssuerUnavailable("x"), Reason.ISSUER_UNAVAILABLE, id="an issuer"),
        pytest.param(CredentialUnavailable("x"), Reason.CREDENTIAL_UNAVAILABLE, id="a credential"),
        pytest.param(ReplayWindowFull("x"), Reason.REPLAY_WINDOW_FULL, id="a replay window"),
        pytest.param(AuditUnavailable("x"), Reason.AUDIT_UNAVAILABLE, id="audit"),
    ],
)
def test_what_is_down_says_under_which_reason(error: Unavailable, reason: Reason) -> None:
    assert error.reason is reason


def _below(error: type[TunnelgateError]) -> set[type[TunnelgateError]]:
    return {error}.union(*map(_below, error.__subclasses__()))


def test_everything_that_can_be_down_has_a_reason_of_its_own() -> None:
    ours = [each for each in _below(Unavailable) if each.__module__ == errors.__name__]

    reasons = [each.reason for each in ours if issubclass(each, Unavailable)]

    assert len(ours) == 6
    assert len(set(reasons)) == 6


def test_the_documentation_draws_the_tree_as_it_is() -> None:
    drawn = re.findall(r"^( {4,})([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: dict[int, str] = {}
    edges: set[tuple[str, str]] = set()
    for indent, name in drawn:
        parents[len(indent)] = name
        if len(indent) > 4:
            edges.add((parents[len(indent) - 2], name))

    expected = {
        (each.__base__.__name__, each.__name__)
        for each in _below(TunnelgateError) - {TunnelgateError}
        if each.__module__ == errors.__name__ and each.__base__ is not None
    }
    assert edges == expected


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param(
            ConfigurationFault("routes.docs.path", "'mcp'", "is not a path such as /mcp"),
            "routes.docs.path = 'mcp': is not a path such as /mcp",
            id="with the value that was found",
        ),
        pytest.param(
            ConfigurationFault("routes.docs", "", "would serve nothing"),
            "routes.docs: would serve nothing",
            id="where nothing was found",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_begins_with_its_path(fault: ConfigurationFault, sentence: str) -> None:
    assert str(fault) == sentence


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        pytest.param(
            [ConfigurationFault("a", "1", "is wrong")],
            "gate.yaml: 1 fault\n  a = 1: is wrong",
            id="one fault",
        ),
        pytest.param(
            [ConfigurationFault("a", "1", "is wrong"), ConfigurationFault("b", "", "is missing")],
            "gate.yaml: 2 faults\n  a = 1: is wrong\n  b: is missing",
            id="two faults",
        ),
    ],
)
def test_a_configuration_error_lists_every_fault_at_once(faults: list[ConfigurationFault], text: str) -> None:
    error = ConfigurationError("gate.yaml", faults)

    assert str(error) == text
    assert (error.source, error.faults) == ("gate.yaml", tuple(faults))
