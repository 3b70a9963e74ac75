from tunnelgate import Deny, Reason
from tunnelgate.reading.fault import Fault


def test_a_fault_leads_to_a_denial_with_the_same_reason_detail_and_facts() -> None:
    fault = Fault(Reason.HOST_MALFORMED, "not ASCII", {"host": "?"})

    denial = fault.denial()

    assert denial == Deny(Reason.HOST_MALFORMED, "not ASCII", {"host": "?"})
    assert not denial


def test_a_fault_tells_the_caller_nothing_unless_it_was_told_to() -> None:
    assert Fault(Reason.BODY_NOT_JSON, "line 1").denial().told == {}


def test_a_fault_says_reason_and_detail_where_it_is_printed() -> None:
    assert str(Fault(Reason.BODY_NOT_STRICT, "member 'a' twice")) == "body-not-strict: member 'a' twice"
