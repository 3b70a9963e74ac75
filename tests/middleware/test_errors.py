import pytest

from tunnelgate import (
    AuditUnavailable,
    ConfigurationError,
    ConfigurationFault,
    KeysUnavailable,
    Reason,
    TunnelgateError,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        pytest.param(ConfigurationError, TunnelgateError, id="a configuration that cannot be run"),
        pytest.param(Unavailable, TunnelgateError, id="something that we depend on"),
        pytest.param(KeysUnavailable, Unavailable, id="the keys of an issuer"),
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
        pytest.param(AuditUnavailable("x"), Reason.AUDIT_UNAVAILABLE, id="audit"),
    ],
)
def test_what_is_down_says_under_which_reason(error: Unavailable, reason: Reason) -> None:
    assert error.reason is reason


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
