import pytest

from tunnelgate_app.doctor.wording import Wording

SECRET = "s3cr3t-of-the-gate"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(f"Bearer {SECRET} is no good", "Bearer (left out) is no good", id="whole"),
        pytest.param("Bearer s3cr3t-of…", "Bearer (left out)…", id="cut by somebody else"),
        pytest.param("a s3cr3t…, and s3cr3t-o… too", "a (left out)…, and (left out)… too", id="cut twice"),
        pytest.param("it is s3c…", "it is s3c…", id="too little of it to be one"),
        pytest.param("s3cr3t-of is said", "s3cr3t-of is said", id="something that begins like it"),
    ],
)
def test_a_secret_is_left_out(said: str, shown: str) -> None:
    wording = Wording()
    wording.leave_out(SECRET)

    assert wording.clean(said) == shown
