import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate_app.administration.failures import Failure, Step, printable, sentence, with_doubt

LOOK = "look at `tunnelgate tunnel list` before you try again, because each time makes another tunnel"
LIST_CAS = "look at `tunnelgate tunnel list-cas` before you try again"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        pytest.param(
            Failure(
                Step.CREATE,
                400,
                said="Organization already has the maximum of 10 non-archived Tunnels",
                request_id="req_1",
            ),
            "the tunnel was not created: an organization has at most 10 tunnels that are not archived;"
            " archive one (`tunnelgate tunnel list`, `tunnelgate tunnel archive`), or go on with one that is"
            " there (it said: Organization already has the maximum of 10 non-archived Tunnels; request id"
            " req_1)",
            id="ten tunnels",
        ),
        pytest.param(
            Failure(Step.REVEAL, 400, "tunnel_token_not_revealable"),
            "the token was not revealed: the token of a relay tunnel is shown once, when it is made, and only"
            " a hash of it is kept; `tunnelgate tunnel rotate-token` makes a new one and closes the"
            " connections of the old one",
            id="the token of a relay",
        ),
        pytest.param(
            Failure(Step.LIST, 401),
            "the tunnels were not listed: the token is not accepted: it is expired, revoked or cut short, or"
            " it is an API key, which the Tunnels API does not take",
            id="a token that is not accepted",
        ),
        pytest.param(
            Failure(Step.LIST, 403, federated=True),
            "the tunnels were not listed: the federation rule lacks the scope workspace:manage_tunnels, or"
            " its service account is not a member of the tunnel's workspace; fix the rule or the membership",
            id="forbidden after an exchange",
        ),
        pytest.param(
            Failure(Step.LIST, 403),
            "the tunnels were not listed: the token lacks the scope workspace:manage_tunnels, or belongs to"
            " another workspace or organization than the tunnel",
            id="forbidden with a token",
        ),
        pytest.param(
            Failure(Step.SHOW, 404),
            "the tunnel was not read: there is no such thing for these credentials; compare the id with"
            " `tunnelgate tunnel list`, and the workspace and the organization with those of the tunnel",
            id="not there",
        ),
        pytest.param(
            Failure(Step.ROTATE, 429, retry_after="30"),
            "the token was not rotated: too many requests, and rotations of a relay token are limited for"
            " each tunnel; try again in 30 s",
            id="too many rotations",
        ),
        pytest.param(
            Failure(Step.LIST, 429),
            "the tunnels were not listed: too many requests, and rotations of a relay token are limited for"
            " each tunnel; try again later",
            id="too many requests, without a time",
        ),
        pytest.param(
            Failure(Step.LIST, 529),
            "the tunnels were not listed: the API answered with status 529; try again later",
            id="an API that is overloaded",
        ),
        pytest.param(
            Failure(Step.CREATE, 500),
            f"whether the tunnel was created is not known: the API answered with status 500; {LOOK}",
            id="a tunnel that may have been made before the error",
        ),
        pytest.param(
            Failure(Step.CREATE, said="Server disconnected"),
            f"whether the tunnel was created is not known: the API did not answer; {LOOK}"
            " (it said: Server disconnected)",
            id="a tunnel that may have been made before the connection was lost",
        ),
        pytest.param(
            Failure(Step.CREATE, sent=False),
            "the tunnel was not created: the API cannot be reached; allow outgoing TCP connections to its"
            " port 443",
            id="an API that cannot be reached",
        ),
        pytest.param(
            Failure(Step.ROTATE),
            "whether the token was rotated is not known: the API did not answer; take the old token for"
            " invalid, and rotate again to have one that is known",
            id="a token that may have been rotated",
        ),
        pytest.param(
            Failure(Step.ARCHIVE),
            "the tunnel was not archived: the API did not answer",
            id="what is tried again by itself",
        ),
        pytest.param(
            Failure(Step.LIST, 302),
            "the tunnels were not listed: the API sent elsewhere with status 302, where no token is sent;"
            " check --api-url",
            id="sent elsewhere",
        ),
        pytest.param(
            Failure(Step.ADD_CA, 400, said="ca_certificate_pem: \x1b[31mnot \u202eone"),
            "the CA was not registered: the API refused with status 400 (it said: ca_certificate_pem: [31mnot"
            " one)",
            id="anything else, in the API's words as far as they are printable",
        ),
        pytest.param(
            Failure(Step.CREATE, 401, exchange=True),
            "the tunnel was not created: the federation rule does not accept the identity token; compare"
            " issuer, subject and audience with the rule, where the audience must match byte for byte"
            " (api.anthropic.com is not https://api.anthropic.com), and name the workspace if the rule has"
            " several",
            id="an identity token that is not accepted",
        ),
        pytest.param(
            Failure(Step.CREATE, 403, exchange=True),
            "the tunnel was not created: the service account may not use the federation rule; fix the rule or"
            " the membership",
            id="a service account that may not",
        ),
        pytest.param(
            Failure(Step.CREATE, 500, exchange=True),
            "the tunnel was not created: the exchange of the identity token answered with status 500; try"
            " again later",
            id="an exchange that fails, before which nothing was made",
        ),
        pytest.param(
            Failure(Step.CREATE, said="no file", exchange=True),
            "the tunnel was not created: the identity token was not exchanged (it said: no file)",
            id="an exchange that was not made",
        ),
    ],
)
def test_a_failure_says_what_happened_and_what_to_do(failure: Failure, expected: str) -> None:
    assert sentence(failure) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step.LIST, "the tunnels were not listed: odd"),
        (
            Step.ADD_CA,
            f"whether the CA was registered is not known: odd; {LIST_CAS}",
        ),
    ],
)
def test_an_answer_that_cannot_be_read_leaves_doubt_where_it_matters(step: Step, expected: str) -> None:
    assert with_doubt(step, "odd") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Invalid bearer token: s3cr3t", "Invalid bearer token: …", id="a token that is known"),
        pytest.param("got sk-ant-oat01-abc_DEF-1.", "got …", id="a token of the API"),
        pytest.param("got eyJhbGciOi.eyJpc3M.c2ln!", "got …!", id="a JWT"),
        pytest.param("a\r\nb\tc", "a b c", id="several lines"),
        pytest.param("x" * 301, "x" * 300 + "…", id="a long text"),
    ],
)
def test_what_others_say_is_shown_without_secrets_on_one_line(text: str, expected: str) -> None:
    assert printable(text, ("s3cr3t",)) == expected


@given(
    step=st.sampled_from(Step),
    status=st.none() | st.integers(100, 599),
    said=st.text(),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_every_failure_is_one_line_without_the_secret(
    step: Step, status: int | None, said: str, flags: tuple[bool, bool, bool]
) -> None:
    sent, exchange, federated = flags
    failure = Failure(
        step, status, said=f"{said}s3cr3t{said}", sent=sent, exchange=exchange, federated=federated
    )

    told = sentence(failure, ("s3cr3t",))

    assert told.isprintable()
    assert "s3cr3t" not in told
