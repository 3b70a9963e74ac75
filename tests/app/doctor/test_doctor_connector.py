"""What cloudflared says of itself is asked for where it usually is, and told in words."""

from contextlib import ExitStack

import httpx2
import pytest

from tests.app.doctor.fakes import Cloudflared, connector
from tests.support.processes import free_port
from tests.support.resolving import not_answering
from tunnelgate_app.doctor.answers import Answer, NoAnswerError
from tunnelgate_app.doctor.findings import Finding, Status
from tunnelgate_app.doctor.judging.connector import Metrics, NoMetrics, findings_of_connector
from tunnelgate_app.doctor.trying import connector as trying
from tunnelgate_app.doctor.trying.connector import USUAL_URLS, ask_connector
from tunnelgate_app.doctor.trying.http import MAX_BODY, ask


async def found(url: str | None) -> list[Finding]:
    return list(findings_of_connector(await ask_connector(url, 3.0)))


@pytest.mark.anyio
@pytest.mark.parametrize("suffix", ["", "/", "/metrics"])
async def test_a_connector_with_all_its_connections_is_fine(suffix: str) -> None:
    with connector(Cloudflared) as url:
        (fine,) = await found(f"{url}{suffix}")

    assert fine == Finding(
        fine.layer,
        Status.FINE,
        f"{url}/ready",
        "cloudflared 2026.8.0 has 4 of 4 connections to the edge",
    )


@pytest.mark.anyio
async def test_the_first_of_the_usual_places_with_a_cloudflared_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        other = stack.enter_context(connector(lambda: Cloudflared(text="up 1")))
        real = stack.enter_context(connector(Cloudflared))
        monkeypatch.setattr(trying, "USUAL_URLS", (f"http://127.0.0.1:{free_port()}", other, real))
        (fine,) = await found(None)

    assert fine.tried == f"{real}/ready"
    assert fine.status is Status.FINE


@pytest.mark.anyio
async def test_no_cloudflared_at_the_usual_places_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = free_port(), free_port()
    monkeypatch.setattr(trying, "USUAL_URLS", (f"http://127.0.0.1:{first}", f"http://127.0.0.1:{last}"))

    (warning,) = await found(None)

    assert warning.status is Status.WARNING
    assert warning.tried == f"http://127.0.0.1:{first} to {last}"
    assert "--connector-metrics" in warning.advice


def test_the_usual_places_are_those_that_cloudflared_documents() -> None:
    assert tuple(f"http://127.0.0.1:{port}" for port in (20241, 20242, 20243, 20244, 20245)) == USUAL_URLS


@pytest.mark.anyio
async def test_an_answer_that_is_too_large_is_none() -> None:
    with connector(lambda: Cloudflared(text="x" * (MAX_BODY + 1))) as url:
        (wrong,) = await found(url)

    assert wrong.status is Status.WRONG
    assert wrong.found == f"an answer of more than {MAX_BODY} octets"


@pytest.mark.anyio
async def test_a_connector_that_does_not_answer_is_given_its_time_alone() -> None:
    with not_answering() as port:
        came = await ask_connector(f"http://127.0.0.1:{port}", 0.2)

    (wrong,) = findings_of_connector(came)
    assert wrong.found == "no answer within 0.2 s"


def test_numbers_that_are_none_are_passed_over() -> None:
    text = "cloudflared_tunnel_request_errors 1.2.3\ncloudflared_tunnel_ha_connections 4\n"

    (fine,) = findings_of_connector(Metrics("http://127.0.0.1:1", 200, "", text))

    assert fine.found == "cloudflared has 4 of 4 connections to the edge"


def test_of_nobody_at_a_named_place_the_reason_is_said() -> None:
    (wrong,) = findings_of_connector(NoMetrics(("http://10.0.0.1:1",), "no route to host", is_named=True))

    assert (wrong.status, wrong.found) == (Status.WRONG, "no route to host")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("octets", "is_whole"),
    [pytest.param(MAX_BODY, True, id="the most"), pytest.param(MAX_BODY + 1, False, id="one more")],
)
async def test_an_answer_has_a_size(octets: int, is_whole: bool) -> None:  # noqa: FBT001
    with connector(lambda: Cloudflared(text="x" * octets)) as url:
        async with httpx2.AsyncClient() as client:
            if is_whole:
                assert len((await ask(client, "GET", f"{url}/metrics", 5.0)).body) == octets
            else:
                with pytest.raises(NoAnswerError, match="an answer of more than"):
                    await ask(client, "GET", f"{url}/metrics", 5.0)


def test_a_body_that_is_no_object_has_no_members() -> None:
    assert Answer(200, {}, b"[" * 100_000).document == {}
    assert Answer(200, {}, b'{"a": 1}').document == {"a": 1}
    assert Answer(200, {}, b"\xff").text == "\ufffd"
