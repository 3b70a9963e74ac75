from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.audit import Records
from tests.support.token_endpoint import Asked, ScriptedIssuer, answered, issued
from tests.support.tokens import ISSUER, jwks
from tunnelgate import (
    ConfigurationError,
    Credentials,
    Fetched,
    Issuer,
    KeySource,
    Policy,
    RemoteKeys,
    Sealer,
    StaticKeys,
    TokenProfile,
)
from tunnelgate.materials import Materials, gather

OTHER = "https://other.example.com"
JWKS_URI = "https://login.example.com/jwks"
TOKEN_ENDPOINT = "https://login.example.com/token"
INTROSPECTION = "https://login.example.com/introspect"
CLIENT: Mapping[str, Any] = {"client_id": "gate", "client_secret_env": "SECRET"}
OPAQUE: Mapping[str, Any] = {
    "token_formats": ["opaque"],
    "introspection": {**CLIENT, "endpoint": INTROSPECTION},
}
REQUEST: Mapping[str, Any] = {**CLIENT, "token_endpoint": TOKEN_ENDPOINT}
ENVIRONMENT = {"SECRET": "s3cr3t", "TOKEN": "upstream-token"}
HTTP = "is to be asked over HTTP, and no fetch was given to do that"


def policy(*issuers: Mapping[str, Any], route: Mapping[str, Any] | None = None, **more: Any) -> Policy:
    routes: dict[str, Any] = {"docs.example.com": {"public_paths": ["/x"], **(route or {})}}
    given = [{"issuer": ISSUER, **issuer} for issuer in issuers]
    return Policy.from_mapping(
        {
            "clients": {"allowed_ips": ["127.0.0.1"]},
            "oauth": {"issuers": given} if given else None,
            "routes": routes,
            **more,
        }
    )


def gathered(made: Policy, **options: Any) -> Materials:
    given: dict[str, Any] = {"audit": Records(), "environment": ENVIRONMENT, **options}
    return gather(made, **given)


def faults(made: Policy, **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError, match=r"^gate: ") as caught:
        gathered(made, **options)
    return [str(fault) for fault in caught.value.faults]


def written(folder: Path, name: str, octets: bytes) -> Path:
    (folder / name).write_bytes(octets)
    return folder / name


def basic(secret: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(f'gate:{secret}'.encode()).decode('ascii')}"}


def test_a_policy_that_names_nothing_needs_nothing() -> None:
    records, sealer = Records(), Sealer.random()

    made = gather(policy(), audit=records, sealer=sealer)

    assert made == Materials({}, {}, sealer, records)


# Issuers.


@pytest.mark.anyio
async def test_the_keys_of_an_issuer_are_those_of_its_file(tmp_path: Path) -> None:
    file = written(tmp_path, "jwks.json", jwks("ES256"))

    trusted = gathered(policy({"jwks_file": file})).issuers[ISSUER]

    assert isinstance(trusted.keys, StaticKeys)
    assert await trusted.keys.find("ES256") is not None
    assert await trusted.keys.find("RS256") is None
    assert trusted.introspection is None


@pytest.mark.anyio
async def test_the_keys_of_an_issuer_are_fetched_from_its_url() -> None:
    issuer = ScriptedIssuer(answered(jwks("ES256")))

    trusted = gathered(policy({"jwks_uri": JWKS_URI}), fetch=issuer.fetch).issuers[ISSUER]

    assert isinstance(trusted.keys, RemoteKeys)
    assert issuer.asked == [], "nothing is fetched before somebody comes with a token"
    assert await trusted.keys.find("ES256") is not None
    assert issuer.asked == [Asked(JWKS_URI, None)]


@pytest.mark.anyio
async def test_without_a_file_and_a_url_keys_are_where_the_issuer_s_metadata_says() -> None:
    metadata = {"issuer": ISSUER, "jwks_uri": "https://keys.example.com/jwks"}
    issuer = ScriptedIssuer(answered(metadata), answered(jwks("ES256")))

    trusted = gathered(policy({}), fetch=issuer.fetch).issuers[ISSUER]

    assert trusted.keys is not None
    assert await trusted.keys.find("ES256") is not None
    assert [asked.url for asked in issuer.asked] == [
        f"{ISSUER}/.well-known/oauth-authorization-server",
        "https://keys.example.com/jwks",
    ]


@pytest.mark.anyio
async def test_about_opaque_tokens_the_issuer_is_asked_as_the_policy_says() -> None:
    introspection = {**OPAQUE["introspection"], "max_age": 7, "client_authentication": "client_secret_post"}
    issuer = ScriptedIssuer(answered({"active": True}))

    trusted = gathered(
        policy({"token_formats": ["opaque"], "introspection": introspection}), fetch=issuer.fetch
    ).issuers[ISSUER]

    assert trusted.keys is None
    assert trusted.introspection is not None
    assert trusted.introspection.max_age == 7
    assert await trusted.introspection.ask(b"opaque") == {"active": True}
    (asked,) = issuer.asked
    assert (asked.url, asked.headers) == (INTROSPECTION, {})
    assert asked.form is not None
    assert (asked.form["client_id"], asked.form["client_secret"]) == ("gate", "s3cr3t")


@pytest.mark.promise("keys-follow-issuer")
@pytest.mark.anyio
async def test_what_an_issuer_says_about_itself_is_fetched_once_for_whatever_it_is_needed_for() -> None:
    metadata = {
        "issuer": ISSUER,
        "jwks_uri": JWKS_URI,
        "introspection_endpoint": INTROSPECTION,
        "token_endpoint": TOKEN_ENDPOINT,
    }
    issuer = ScriptedIssuer(
        answered(metadata), answered(jwks("ES256")), answered({"active": True}), issued(), issued()
    )
    request = {**CLIENT, "issuer": ISSUER}
    made = gathered(
        policy(
            {"token_formats": ["jwt", "opaque"], "introspection": CLIENT},
            routes={
                "docs.example.com": {"tools": ["a"], "credentials": {"token_exchange": request}},
                "wiki.example.com": {"tools": ["a"], "credentials": {"client_credentials": request}},
            },
        ),
        fetch=issuer.fetch,
    )
    trusted = made.issuers[ISSUER]
    assert trusted.keys is not None
    assert trusted.introspection is not None

    await trusted.keys.find("ES256")
    await trusted.introspection.ask(b"opaque")
    for credential in made.credentials.values():
        await credential.token_for(b"caller")

    assert [asked.url for asked in issuer.asked] == [
        f"{ISSUER}/.well-known/oauth-authorization-server",
        JWKS_URI,
        INTROSPECTION,
        TOKEN_ENDPOINT,
        TOKEN_ENDPOINT,
    ]


def test_each_issuer_has_its_own_profile() -> None:
    settings = {"algorithms": ["EdDSA"], "scope_claims": ["scp"], "max_token_lifetime": "1h"}

    made = gathered(
        policy({**settings, "jwks_uri": JWKS_URI}, {"issuer": OTHER, "jwks_uri": JWKS_URI}),
        fetch=ScriptedIssuer(issued()).fetch,
    )

    assert made.issuers[OTHER].profile == TokenProfile()
    assert made.issuers[ISSUER].profile == TokenProfile(
        algorithms=frozenset({"EdDSA"}), scope_claims=("scp",), max_lifetime=3600
    )


@pytest.mark.anyio
async def test_keys_from_elsewhere_stand_in_for_those_of_the_policy_and_for_nothing_else() -> None:
    asked: list[str] = []

    def keys_of(issuer: Issuer) -> KeySource:
        asked.append(issuer.issuer)
        return StaticKeys(jwks("ES256"))

    made = gathered(
        policy({"jwks_file": "missing.json"}, {**OPAQUE, "issuer": OTHER}),
        keys_of=keys_of,
        fetch=ScriptedIssuer(issued()).fetch,
    )

    assert asked == [ISSUER]
    assert made.issuers[ISSUER].keys is not None
    assert made.issuers[OTHER].keys is None


@pytest.mark.parametrize("error", [ValueError("is not a JWK set"), PermissionError(13, "Permission denied")])
def test_keys_from_elsewhere_that_cannot_be_had_are_a_fault_of_their_issuer(error: Exception) -> None:
    def keys_of(_: Issuer) -> KeySource:
        raise error

    said = getattr(error, "strerror", None) or str(error)

    assert faults(policy({"jwks_uri": JWKS_URI}), keys_of=keys_of) == [f"oauth.issuers[0]: {said}"]


# Whom to ask, and with which secret.


@pytest.mark.parametrize(
    ("made", "path"),
    [
        pytest.param(policy({}), "oauth.issuers[0]", id="keys to be found"),
        pytest.param(policy({"jwks_uri": JWKS_URI}), "oauth.issuers[0]", id="keys at a URL"),
        pytest.param(policy(OPAQUE), "oauth.issuers[0].introspection", id="introspection"),
        pytest.param(
            policy({"token_formats": ["opaque"], "introspection": CLIENT}),
            "oauth.issuers[0].introspection",
            id="introspection whose endpoint is to be found",
        ),
        pytest.param(
            policy(route={"credentials": {"client_credentials": REQUEST}}),
            'routes."docs.example.com".credentials.client_credentials',
            id="client credentials",
        ),
        pytest.param(
            policy(route={"credentials": {"token_exchange": {**CLIENT, "issuer": ISSUER}}}),
            'routes."docs.example.com".credentials.token_exchange',
            id="an exchange whose endpoint is to be found",
        ),
    ],
)
@pytest.mark.promise("whole-configuration")
def test_whoever_is_to_be_asked_needs_somebody_who_asks(made: Policy, path: str) -> None:
    assert faults(made) == [f"{path}: {HTTP}"]
    assert gathered(made, fetch=ScriptedIssuer(issued()).fetch) is not None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"s3cr3t", id="bare"),
        pytest.param(b"s3cr3t\n", id="with a line end"),
        pytest.param(b"s3cr3t\r\n", id="with a line end as Windows writes it"),
    ],
)
@pytest.mark.anyio
async def test_a_secret_in_a_file_is_what_stands_in_it_without_the_line_end(
    tmp_path: Path, octets: bytes
) -> None:
    file = written(tmp_path, "secret", octets)
    issuer = ScriptedIssuer(issued())
    request = {"client_id": "gate", "client_secret_file": file, "token_endpoint": TOKEN_ENDPOINT}

    made = gathered(policy(route={"credentials": {"client_credentials": request}}), fetch=issuer.fetch)
    await made.credentials["docs.example.com"].token_for(None)

    assert issuer.asked[0].headers == basic("s3cr3t")


@pytest.mark.parametrize("octets", [b" s3cr3t ", b"s3cr3t\n\n", b"\ns3cr3t", b"s3cr3t\t\n"])
@pytest.mark.anyio
async def test_every_other_octet_of_a_file_belongs_to_its_secret(tmp_path: Path, octets: bytes) -> None:
    file = written(tmp_path, "secret", octets)
    issuer = ScriptedIssuer(answered({"active": True}))
    introspection = {"client_id": "gate", "client_secret_file": file, "endpoint": INTROSPECTION}
    made = gathered(policy({"token_formats": ["opaque"], "introspection": introspection}), fetch=issuer.fetch)
    trusted = made.issuers[ISSUER].introspection
    assert trusted is not None

    await trusted.ask(b"opaque")

    assert issuer.asked[0].headers != basic("s3cr3t")


CREDENTIALS = 'routes."docs.example.com".credentials'
PLACES = {
    "bearer": f"{CREDENTIALS}.bearer",
    "client_credentials": f"{CREDENTIALS}.client_credentials.client_secret",
    "token_exchange": f"{CREDENTIALS}.token_exchange.client_secret",
    "introspection": "oauth.issuers[0].introspection.client_secret",
}


def with_secret(place: str, kind: str, value: str | Path) -> tuple[Policy, str]:
    """Return a policy with a secret at this place, in a file or a variable, and the path of its name."""
    path = f"{PLACES[place]}_{kind}"
    client = {"client_id": "gate", f"client_secret_{kind}": value}
    if place == "introspection":
        return policy({"token_formats": ["opaque"], "introspection": client}), path
    request = {**client, "token_endpoint": TOKEN_ENDPOINT}
    credentials = {f"bearer_{kind}": value} if place == "bearer" else {place: request}
    return policy(route={"credentials": credentials}), path


@pytest.mark.parametrize("inside", ["\n", "\r", "\r\n"])
@pytest.mark.anyio
async def test_a_line_end_inside_a_secret_stays_as_it_is(tmp_path: Path, inside: str) -> None:
    secret = f"s3{inside}cr3t"
    file = written(tmp_path, "secret", f"{secret}\n".encode())
    request = {"client_id": "gate", "client_secret_file": file, "token_endpoint": TOKEN_ENDPOINT}
    issuer = ScriptedIssuer(issued())
    request["client_authentication"] = "client_secret_post"

    made = gathered(policy(route={"credentials": {"client_credentials": request}}), fetch=issuer.fetch)
    await made.credentials["docs.example.com"].token_for(None)

    assert (issuer.asked[0].form or {})["client_secret"] == secret


@pytest.mark.parametrize(
    ("octets", "sentence"),
    [
        pytest.param(None, "No such file or directory", id="a file that is not there"),
        pytest.param(b"", "is empty", id="an empty file"),
        pytest.param(b"\n", "is empty", id="a line end"),
        pytest.param(b"\r\n", "is empty", id="a line end as Windows writes it"),
        pytest.param(b"s3cr3t-\xff", "is not UTF-8", id="octets"),
        pytest.param("s3cr3t".encode("utf-16"), "is not UTF-8", id="UTF-16"),
    ],
)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.promise("whole-configuration")
def test_a_file_without_a_secret_is_a_fault_of_the_setting_that_names_it(
    tmp_path: Path, place: str, octets: bytes | None, sentence: str
) -> None:
    file = tmp_path / "secret"
    if octets is not None:
        file.write_bytes(octets)
    made, path = with_secret(place, "file", file)

    told = faults(made, fetch=ScriptedIssuer(issued()).fetch)

    assert told == [f"{path} = '{file}': {sentence}"]
    assert "s3cr3t" not in str(told)


def test_a_folder_is_no_file_with_a_secret(tmp_path: Path) -> None:
    assert faults(policy(route={"credentials": {"bearer_file": tmp_path}})) == [
        f"routes.\"docs.example.com\".credentials.bearer_file = '{tmp_path}': Is a directory"
    ]


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="that is not set"),
        pytest.param({"SECRET": ""}, id="that is empty"),
        pytest.param({"secret": "s3cr3t"}, id="in small letters"),
    ],
)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.promise("whole-configuration")
def test_a_variable_without_a_secret_is_a_fault_of_the_setting_that_names_it(
    place: str, environment: dict[str, str]
) -> None:
    made, path = with_secret(place, "env", "SECRET")

    told = faults(made, fetch=ScriptedIssuer(issued()).fetch, environment=environment)

    assert told == [f"{path}: names no variable that is set in the environment"]
    assert "s3cr3t" not in str(told)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.promise("token-stays-here")
def test_a_secret_in_the_place_of_its_variables_name_is_not_shown(place: str) -> None:
    made, path = with_secret(place, "env", "s3cr3t")

    told = faults(made, fetch=ScriptedIssuer(issued()).fetch)

    assert told == [f"{path}: names no variable that is set in the environment"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.promise("token-stays-here")
def test_a_variable_that_is_not_utf_8_is_a_fault_that_shows_nothing_of_it(place: str) -> None:
    made, path = with_secret(place, "env", "SECRET")

    (told,) = faults(made, fetch=ScriptedIssuer(issued()).fetch, environment={"SECRET": "s3cr3t\udcff"})

    assert told.startswith(f"{path}: ")
    assert told.endswith(("is not UTF-8", "is not a bearer token"))


@pytest.mark.parametrize("text", ["s3cr3t s3cr3t", "s3cr3t\nx-admin: 1", "Bearer s3cr3t", "s3cr3t\u00e9"])
@pytest.mark.promise("token-stays-here")
def test_a_bearer_token_that_is_none_is_a_fault_that_does_not_show_it(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, "token", text.encode())

    of_file = faults(policy(route={"credentials": {"bearer_file": file}}))
    of_variable = faults(
        policy(route={"credentials": {"bearer_env": "SECRET"}}), environment={"SECRET": text}
    )

    assert of_file == [f"{CREDENTIALS}.bearer_file = '{file}': is not a bearer token"]
    assert of_variable == [f"{CREDENTIALS}.bearer_env: is not a bearer token"]


@pytest.mark.anyio
async def test_each_route_has_its_own_credentials_or_none(tmp_path: Path) -> None:
    issuer = ScriptedIssuer(issued("own"), issued("exchanged"))
    credentials: Mapping[str, Any] = {
        "file.example.com": {"bearer_file": written(tmp_path, "token", b"of-a-file\n")},
        "variable.example.com": {"bearer_env": "TOKEN"},
        "own.example.com": {"client_credentials": REQUEST},
        "exchanged.example.com": {"token_exchange": REQUEST},
        "none.example.com": None,
    }

    made = gathered(
        policy(
            routes={
                name: {"public_paths": ["/x"], "credentials": section}
                for name, section in credentials.items()
            }
        ),
        fetch=issuer.fetch,
    ).credentials

    assert {name: await each.token_for(b"caller") for name, each in made.items()} == {
        "file.example.com": "of-a-file",
        "variable.example.com": "upstream-token",
        "own.example.com": "own",
        "exchanged.example.com": "exchanged",
    }


@pytest.mark.anyio
async def test_credentials_built_in_code_that_name_none_are_none() -> None:
    # A policy refuses them; whoever builds one without its checks gets no token by accident.
    made = policy()
    routes = {
        name: route.model_copy(update={"credentials": Credentials()}) for name, route in made.routes.items()
    }

    assert gathered(made.model_copy(update={"routes": routes})).credentials == {}


@pytest.mark.anyio
async def test_a_token_is_asked_for_as_the_policy_says() -> None:
    issuer = ScriptedIssuer(issued())
    request = {
        **REQUEST,
        "scopes": ["a", "b"],
        "resource": "https://wiki.example.com/mcp",
        "audience": "wiki",
    }

    made = gathered(policy(route={"credentials": {"client_credentials": request}}), fetch=issuer.fetch)
    await made.credentials["docs.example.com"].token_for(None)

    assert issuer.asked == [
        Asked(
            TOKEN_ENDPOINT,
            {
                "grant_type": "client_credentials",
                "scope": "a b",
                "resource": "https://wiki.example.com/mcp",
                "audience": "wiki",
            },
            basic("s3cr3t"),
        )
    ]


@pytest.mark.anyio
async def test_without_another_environment_it_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of-the-process")

    made = gather(policy(route={"credentials": {"bearer_env": "SECRET"}}), audit=Records())

    assert await made.credentials["docs.example.com"].token_for(None) == "of-the-process"


@pytest.mark.promise("token-stays-here")
def test_no_secret_shows_in_what_was_gathered(tmp_path: Path) -> None:
    made = gathered(
        policy(
            OPAQUE,
            routes={
                "docs.example.com": {"public_paths": ["/x"], "credentials": {"bearer_env": "TOKEN"}},
                "wiki.example.com": {"public_paths": ["/x"], "credentials": {"token_exchange": REQUEST}},
            },
        ),
        fetch=ScriptedIssuer(issued()).fetch,
    )

    shown = f"{made} {made.issuers} {list(made.credentials.values())}"

    assert [secret for secret in ENVIRONMENT.values() if secret in shown] == []


# The sealing keys and the file of records.


def test_a_sealer_from_elsewhere_stands_in_for_the_files_of_the_policy() -> None:
    sealer = Sealer.random()

    assert gathered(policy(sealing_keys=["missing.key"]), sealer=sealer).sealer is sealer


def test_the_first_file_seals_and_all_of_them_open(tmp_path: Path) -> None:
    new, old = (written(tmp_path, name, name.encode() * 32) for name in ("n", "o"))
    sealed = Sealer.from_files([old]).seal(b"x", [b"y"])

    made = gathered(policy(sealing_keys=[new, old])).sealer

    assert made.open(sealed, [b"y"]) == b"x"
    assert Sealer.from_files([new]).open(made.seal(b"x", [b"y"]), [b"y"]) == b"x"


def test_without_files_a_sealer_is_this_one_s_alone() -> None:
    first, second = (gathered(policy()).sealer for _ in range(2))

    assert second.open(first.seal(b"x", [b"y"]), [b"y"]) is None


@pytest.mark.promise("recorded-first")
def test_records_go_to_the_file_of_the_policy(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    made = gather(policy(audit={"file": str(file)}))
    made.audit.write({"a": 1})

    assert orjson.loads(file.read_bytes()) == {"a": 1}


def test_a_sink_from_elsewhere_stands_in_for_the_file(tmp_path: Path) -> None:
    records = Records()

    made = gather(policy(audit={"file": str(tmp_path / "missing" / "audit.jsonl")}), audit=records)

    assert made.audit is records


# What cannot be had.


@pytest.mark.promise("whole-configuration")
def test_everything_that_cannot_be_had_is_named_at_once(tmp_path: Path) -> None:
    short = written(tmp_path, "short.key", b"k" * 31)
    empty = written(tmp_path, "empty", b"\n")
    no_keys = written(tmp_path, "no-keys.json", b'{"keys":[]}')
    request = {"client_id": "gate", "client_secret_file": empty, "token_endpoint": TOKEN_ENDPOINT}
    made = policy(
        {"jwks_file": tmp_path / "missing.json"},
        {"issuer": OTHER, "jwks_file": no_keys},
        {"issuer": "https://third.example.com"},
        {"issuer": "https://fourth.example.com", "token_formats": ["opaque"], "introspection": CLIENT},
        routes={
            "docs.example.com": {
                "public_paths": ["/x"],
                "credentials": {"bearer_file": empty},
                "issuers": [ISSUER],
            },
            "wiki.example.com": {
                "public_paths": ["/x"],
                "credentials": {"bearer_env": "TOKEN"},
                "issuers": [ISSUER],
            },
            "mail.example.com": {
                "public_paths": ["/x"],
                "credentials": {"token_exchange": request},
                "issuers": [ISSUER],
            },
        },
        sealing_keys=[tmp_path / "missing.key", short],
        audit={"file": str(tmp_path)},
    )

    assert faults(made, audit=None, environment={}) == [
        f"oauth.issuers[0].jwks_file = '{tmp_path / 'missing.json'}': No such file or directory",
        f"oauth.issuers[1].jwks_file = '{no_keys}': has no key that tokens may be signed with",
        f"oauth.issuers[2]: {HTTP}",
        "oauth.issuers[3].introspection.client_secret_env: names no variable that is set in the environment",
        f"oauth.issuers[3].introspection: {HTTP}",
        f"routes.\"docs.example.com\".credentials.bearer_file = '{empty}': is empty",
        'routes."wiki.example.com".credentials.bearer_env: names no variable that is set in the environment',
        f"routes.\"mail.example.com\".credentials.token_exchange.client_secret_file = '{empty}': is empty",
        f"sealing_keys[0] = '{tmp_path / 'missing.key'}': No such file or directory",
        f"sealing_keys[1] = '{short}': short.key holds a key of fewer than 32 octets",
        f"audit.file = '{tmp_path}': Is a directory",
    ]


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"s3cr3t", id="a secret alone"),
        pytest.param(b'{"s3cr3t": 1, "s3cr3t": 2}', id="a secret that stands twice"),
        pytest.param(b'{"client_secret": "s3cr3t"', id="half of JSON"),
        pytest.param(b'{"keys": [{"kty": "oct", "kid": "a", "k": "s3cr3t"}]}', id="a symmetric key"),
        pytest.param(b'{"keys": [{"kty": "EC", "kid": "a", "crv": "P-256", "d": "s3cr3t"}]}', id="no point"),
        pytest.param(b'{"keys": ["s3cr3t"]}', id="a text for a key"),
    ],
)
@pytest.mark.promise("token-stays-here")
def test_a_file_of_secrets_in_place_of_one_of_keys_is_not_repeated(
    tmp_path: Path, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = faults(policy({"jwks_file": written(tmp_path, "jwks.json", octets)}))

    assert len(told) == 1
    assert "s3cr3t" not in f"{told} {caplog.text}"


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list the files that are open")
def test_a_gate_that_is_not_built_leaves_no_file_open(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    faults(policy({"jwks_file": tmp_path / "missing.json"}, audit={"file": str(file)}), audit=None)

    assert file not in [each.readlink() for each in OPEN_FILES.iterdir() if each.is_symlink()]


# In place of another policy


def issuer_of(made: Materials) -> Any:
    return made.issuers[ISSUER]


async def nowhere(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    raise OSError("nobody is asked")


async def elsewhere(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Fetched:
    raise OSError("nobody is asked there either")


KEPT: dict[str, Any] = {"jwks_uri": JWKS_URI}
BOTH: dict[str, Any] = {
    "token_formats": ["jwt", "opaque"],
    "introspection": {**CLIENT, "endpoint": INTROSPECTION},
}


@pytest.mark.parametrize(
    ("before", "after", "options", "is_kept"),
    [
        pytest.param(KEPT, KEPT, {}, True, id="the same issuer"),
        pytest.param(KEPT, {**KEPT, "client_id_claim": "azp"}, {}, True, id="one that writes other tokens"),
        pytest.param(KEPT, {"jwks_uri": f"{JWKS_URI}/2"}, {}, False, id="one with keys elsewhere"),
        pytest.param(KEPT, KEPT, {"fetch": elsewhere}, False, id="one that is asked in another way"),
        pytest.param({}, {}, {}, True, id="one that is looked for"),
    ],
)
@pytest.mark.promise("keys-follow-issuer")
def test_keys_that_were_fetched_are_kept_where_they_would_be_fetched_from_the_same_place(
    before: dict[str, Any], after: dict[str, Any], options: dict[str, Any], *, is_kept: bool
) -> None:
    first = gathered(policy(before), fetch=nowhere)

    second = gathered(policy(after), **{"fetch": nowhere, "before": first, **options})

    assert (issuer_of(second).keys is issuer_of(first).keys) is is_kept
    assert issuer_of(second).profile == TokenProfile(
        client_id_claim=after.get("client_id_claim", "client_id")
    )


@pytest.mark.parametrize("is_changed", [False, True])
@pytest.mark.promise("keys-follow-issuer")
def test_keys_of_a_file_are_kept_while_it_is_the_same(tmp_path: Path, *, is_changed: bool) -> None:
    made = policy({"jwks_file": written(tmp_path, "jwks.json", jwks("ES256"))})
    first = gathered(made)
    if is_changed:
        written(tmp_path, "jwks.json", jwks("RS256"))

    second = gathered(made, before=first)

    assert (issuer_of(second).keys is not issuer_of(first).keys) is is_changed


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        pytest.param({}, True, id="nothing"),
        pytest.param({"environment": {**ENVIRONMENT, "SECRET": "other"}}, False, id="the secret"),
        pytest.param({"fetch": elsewhere}, False, id="how it is asked"),
    ],
)
def test_an_issuer_and_a_token_endpoint_are_kept_unless_something_about_them_changes(
    change: dict[str, Any], *, is_kept: bool
) -> None:
    own = {"credentials": {"client_credentials": REQUEST}}
    made = policy({**BOTH, **KEPT}, route=own)
    first = gathered(made, fetch=nowhere)

    second = gathered(made, **{"fetch": nowhere, "before": first, **change})

    host = "docs.example.com"
    assert (issuer_of(second).introspection is issuer_of(first).introspection) is is_kept
    assert (second.credentials[host] is first.credentials[host]) is is_kept


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        pytest.param([], [], True, id="that is nobody else's"),
        pytest.param([b"a" * 32], [b"a" * 32], True, id="with the same keys"),
        pytest.param([b"a" * 32], [b"b" * 32, b"a" * 32], False, id="with a new key first"),
        pytest.param([], [b"a" * 32], False, id="that was nobody else's and is shared by now"),
    ],
)
@pytest.mark.promise("session-bound")
def test_the_sealer_is_kept(
    tmp_path: Path, before: list[bytes], after: list[bytes], *, is_kept: bool
) -> None:
    def sealed_with(keys: list[bytes]) -> Policy:
        return policy(
            sealing_keys=[written(tmp_path, f"{number}.key", key) for number, key in enumerate(keys)]
        )

    first = gathered(sealed_with(before))
    handle = first.sealer.seal(b"session", [b"alice"])

    second = gathered(sealed_with(after), before=first)

    assert (second.sealer is first.sealer) is is_kept
    opens = not after or (set(before) <= set(after) and bool(before))
    assert (second.sealer.open(handle, [b"alice"]) == b"session") is opens


def test_records_go_to_the_same_file_until_it_is_another_or_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    first = gathered(policy(audit={"file": str(file)}), audit=None)

    same = gathered(policy(audit={"file": str(file)}), audit=None, before=first)
    other = gathered(policy(audit={"file": str(tmp_path / "other.jsonl")}), audit=None, before=first)
    file.rename(tmp_path / "audit.jsonl.1")
    moved = gathered(policy(audit={"file": str(file)}), audit=None, before=first)

    assert same.audit is first.audit
    assert first.audit is not other.audit
    assert first.audit is not moved.audit
    assert file.exists()


def test_a_file_for_records_that_is_kept_is_not_closed_by_a_policy_that_is_refused(tmp_path: Path) -> None:
    file = {"file": str(tmp_path / "audit.jsonl")}
    first = gathered(policy(audit=file), audit=None)

    faults(policy(audit=file, sealing_keys=[tmp_path / "missing"]), audit=None, before=first)

    first.audit.write({"still": "open"})
