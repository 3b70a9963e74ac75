"""What it means when the Tunnels API refuses or cannot be reached, and what to do then."""

import re
from dataclasses import dataclass
from enum import StrEnum

_MAX_SAID = 300
_SECRETS = re.compile(r"(?:sk-ant-|eyJ)[\w.=+/-]*")
_TOO_MANY_TUNNELS = "maximum of 10 non-archived"


class Step(StrEnum):
    """What was asked of the API; the value says that it did not happen."""

    CREATE = "the tunnel was not created"
    LIST = "the tunnels were not listed"
    SHOW = "the tunnel was not read"
    ARCHIVE = "the tunnel was not archived"
    REVEAL = "the token was not revealed"
    ROTATE = "the token was not rotated"
    ADD_CA = "the CA was not registered"
    LIST_CAS = "the CAs were not listed"
    ARCHIVE_CA = "the CA was not archived"


# What is not tried again by itself, because a second time would not be the same as once.
_ONCE = {
    Step.CREATE: (
        "whether the tunnel was created is not known",
        "look at `tunnelgate tunnel list` before you try again, because each time makes another tunnel",
    ),
    Step.ROTATE: (
        "whether the token was rotated is not known",
        "take the old token for invalid, and rotate again to have one that is known",
    ),
    Step.ADD_CA: (
        "whether the CA was registered is not known",
        "look at `tunnelgate tunnel list-cas` before you try again",
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something that was asked of the API did not happen.

    ``status`` is that of the answer, or ``None`` without one; ``sent`` is whether the request may have
    arrived; ``exchange`` is whether it was the identity token that was refused, before the API was asked;
    ``federated`` is whether the token came by such an exchange.
    """

    step: Step
    status: int | None = None
    code: str | None = None
    said: str = ""
    request_id: str | None = None
    retry_after: str | None = None
    sent: bool = True
    exchange: bool = False
    federated: bool = False


def sentence(failure: Failure, secrets: tuple[str, ...] = ()) -> str:
    """Return what happened, what to do, and what the API said, without ``secrets``."""
    happened, advice = _told(failure)
    said = printable(failure.said, secrets)
    details = [f"it said: {said}"] if said else []
    if failure.request_id:
        details.append(f"request id {printable(failure.request_id, secrets)}")
    return f"{happened}: {advice}" + (f" ({'; '.join(details)})" if details else "")


def is_once(step: Step) -> bool:
    """Return whether ``step`` done twice is not the same as once."""
    return step in _ONCE


def with_doubt(step: Step, told: str) -> str:
    """Return ``told``, and what to do where ``step`` may have been done all the same."""
    if step not in _ONCE:
        return f"{step}: {told}"
    happened, advice = _ONCE[step]
    return f"{happened}: {told}; {advice}"


def printable(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return what somebody else wrote so that it fits on a line of a terminal and shows no token."""
    for secret in secrets:
        text = text.replace(secret, "…")
    shown = "".join(each if each.isprintable() else " " for each in _SECRETS.sub("…", text))
    text = " ".join(shown.split())
    return text if len(text) <= _MAX_SAID else f"{text[:_MAX_SAID]}…"


def _told(failure: Failure) -> tuple[str, str]:
    if failure.exchange:
        return failure.step.value, _of_exchange(failure)
    is_unknown = failure.sent and (failure.status is None or failure.status >= 500)  # noqa: PLR2004
    if is_unknown and failure.step in _ONCE:
        happened, advice = _ONCE[failure.step]
        return happened, f"{_of_service(failure)}; {advice}"
    return failure.step.value, _of_api(failure)


def _of_exchange(failure: Failure) -> str:
    match failure.status:
        case None:
            return "the identity token was not exchanged"
        case 400 | 401:
            return (
                "the federation rule does not accept the identity token; compare issuer, subject and"
                " audience with the rule, where the audience must match byte for byte (api.anthropic.com"
                " is not https://api.anthropic.com), and name the workspace if the rule has several"
            )
        case 403:
            return "the service account may not use the federation rule; fix the rule or the membership"
        case status:
            return f"the exchange of the identity token answered with status {status}; try again later"


def _of_api(failure: Failure) -> str:
    if failure.code == "tunnel_token_not_revealable":
        return (
            "the token of a relay tunnel is shown once, when it is made, and only a hash of it is kept;"
            " `tunnelgate tunnel rotate-token` makes a new one and closes the connections of the old one"
        )
    if _TOO_MANY_TUNNELS in failure.said:
        return (
            "an organization has at most 10 tunnels that are not archived; archive one"
            " (`tunnelgate tunnel list`, `tunnelgate tunnel archive`), or go on with one that is there"
        )
    if failure.status is None:
        return _of_service(failure)
    return _of_status(failure.status, failure)


def _of_status(status: int, failure: Failure) -> str:
    match status:
        case 401:
            return (
                "the token is not accepted: it is expired, revoked or cut short, or it is an API key, which"
                " the Tunnels API does not take"
            )
        case 403 if failure.federated:
            return (
                "the federation rule lacks the scope workspace:manage_tunnels, or its service account is not"
                " a member of the tunnel's workspace; fix the rule or the membership"
            )
        case 403:
            return (
                "the token lacks the scope workspace:manage_tunnels, or belongs to another workspace or"
                " organization than the tunnel"
            )
        case 404:
            return (
                "there is no such thing for these credentials; compare the id with `tunnelgate tunnel list`,"
                " and the workspace and the organization with those of the tunnel"
            )
        case 429:
            after = f"try again in {failure.retry_after} s" if failure.retry_after else "try again later"
            return f"too many requests, and rotations of a relay token are limited for each tunnel; {after}"
        case _ if status >= 500:  # noqa: PLR2004
            return f"{_of_service(failure)}; try again later"
        case _ if status < 400:  # noqa: PLR2004
            return f"the API sent elsewhere with status {status}, where no token is sent; check --api-url"
        case _:
            return f"the API refused with status {status}"


def _of_service(failure: Failure) -> str:
    if failure.status is not None:
        return f"the API answered with status {failure.status}"
    if failure.sent:
        return "the API did not answer"
    return "the API cannot be reached; allow outgoing TCP connections to its port 443"
