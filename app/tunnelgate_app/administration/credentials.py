"""Where the right to administer tunnels comes from: Workload Identity Federation, or a token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunnelgate_app.administration.errors import AdministrationError

AUTH_TOKEN = "ANTHROPIC_AUTH_TOKEN"  # noqa: S105 - the name of a variable
API_KEY = "ANTHROPIC_API_KEY"
RULE = "ANTHROPIC_FEDERATION_RULE_ID"
ORGANIZATION = "ANTHROPIC_ORGANIZATION_ID"
WORKSPACE = "ANTHROPIC_WORKSPACE_ID"
SERVICE_ACCOUNT = "ANTHROPIC_SERVICE_ACCOUNT_ID"
IDENTITY_TOKEN = "ANTHROPIC_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable
IDENTITY_TOKEN_FILE = "ANTHROPIC_IDENTITY_TOKEN_FILE"  # noqa: S105 - the name of a variable

_FEDERATION = f"{RULE}, {ORGANIZATION}, and {IDENTITY_TOKEN_FILE} or {IDENTITY_TOKEN}"
_NO_KEYS = (
    "the Tunnels API takes no Admin API keys and no API keys of the Claude API;"
    f" use Workload Identity Federation ({_FEDERATION}) or a token ({AUTH_TOKEN} or --auth-token-file)"
)
_VISIBLE = re.compile(r"[!-~]+")
_MAX_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token that was made elsewhere, and the workspace that it is to be used for."""

    value: str = field(repr=False)
    workspace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Federation:
    """Whose identity token is exchanged for a token of the API, and by which rule.

    Exactly one of ``identity_token`` and ``identity_token_file`` is there.
    """

    rule_id: str
    organization_id: str
    workspace_id: str | None
    service_account_id: str | None
    identity_token: str | None = field(repr=False)
    identity_token_file: Path | None


def credentials_from(
    environment: Mapping[str, str], auth_token_file: Path | None = None
) -> StaticToken | Federation:
    """Return the credentials that ``auth_token_file`` holds, or else ``environment``.

    A variable that is empty is one that is not set. Two ways at once are one too many, because the
    wrong one would administer somebody else's tunnels. Raises :class:`AdministrationError`.
    """
    values = {name: value.strip() for name, value in environment.items() if value.strip()}
    workspace_id = values.get(WORKSPACE)
    if auth_token_file is not None:
        return StaticToken(_checked(_read(auth_token_file), str(auth_token_file)), workspace_id)
    if AUTH_TOKEN in values and RULE in values:
        raise AdministrationError(f"both {AUTH_TOKEN} and {RULE} are set; unset one of them")
    if AUTH_TOKEN in values:
        return StaticToken(_checked(values[AUTH_TOKEN], AUTH_TOKEN), workspace_id)
    if RULE in values:
        return _federation(values)
    if API_KEY in values:
        raise AdministrationError(f"only {API_KEY} is set, and {_NO_KEYS}")
    raise AdministrationError(
        f"nothing says who asks: set {_FEDERATION} for Workload Identity Federation,"
        f" or give a token by {AUTH_TOKEN} or --auth-token-file"
    )


def _federation(values: Mapping[str, str]) -> Federation:
    if ORGANIZATION not in values:
        raise AdministrationError(f"{RULE} is set, but not {ORGANIZATION}")
    if IDENTITY_TOKEN in values and IDENTITY_TOKEN_FILE in values:
        raise AdministrationError(f"both {IDENTITY_TOKEN} and {IDENTITY_TOKEN_FILE} are set; unset one")
    if IDENTITY_TOKEN not in values and IDENTITY_TOKEN_FILE not in values:
        raise AdministrationError(f"{RULE} is set, but neither {IDENTITY_TOKEN_FILE} nor {IDENTITY_TOKEN}")
    file = values.get(IDENTITY_TOKEN_FILE)
    return Federation(
        rule_id=values[RULE],
        organization_id=values[ORGANIZATION],
        workspace_id=values.get(WORKSPACE),
        service_account_id=values.get(SERVICE_ACCOUNT),
        identity_token=values.get(IDENTITY_TOKEN),
        identity_token_file=None if file is None else Path(file),
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_TOKEN + 1)
    except OSError as error:
        raise AdministrationError(f"{file} cannot be read: {error.strerror}") from None
    return content.decode("latin-1").strip()


def _checked(token: str, source: str) -> str:
    # What is not fit for a header would be shown by the library that refuses to send it.
    if len(token) > _MAX_TOKEN or _VISIBLE.fullmatch(token) is None:
        raise AdministrationError(f"{source} holds no token: a token is one line of visible ASCII characters")
    if token.startswith("sk-ant-admin"):
        raise AdministrationError(f"{source} holds an Admin API key, and {_NO_KEYS}")
    return token
