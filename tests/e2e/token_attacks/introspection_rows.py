"""Rows about opaque tokens, and what their issuer says about them."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import orjson

from tests.e2e.token_attacks.dpop_rows import presented, proof, thumbprint
from tests.e2e.token_attacks.gates import SECRET, SITE, Setting, Stand
from tests.e2e.token_attacks.minting import ISSUER, NOW, RESOURCE, SCOPE, jwk_set, token
from tests.e2e.token_attacks.rows import Attempt, Pairs, bearer, builds, presents
from tests.support.raw import Canned, as_json
from tunnelgate.verdict import Reason

UNAVAILABLE = Reason.ISSUER_UNAVAILABLE
INACTIVE = Reason.TOKEN_INACTIVE
AUDIENCE = Reason.TOKEN_AUDIENCE_WRONG
CLAIM = Reason.TOKEN_CLAIM_INVALID
TYPE = Reason.TOKEN_TYPE_WRONG
BINDING = Reason.TOKEN_BINDING_WRONG

Members = Mapping[str, Any]
INTROSPECTION = {"endpoint": f"{SITE}/introspect", "client_id": "gate", "client_secret_file": SECRET}
ISSUER_OF_OPAQUE: Members = {"token_formats": ["opaque"], "introspection": INTROSPECTION}
PUBLISHED = {"/introspect": as_json(b'{"active":false}')}
OPAQUE = Setting("an issuer of opaque tokens", ISSUER_OF_OPAQUE, published=PUBLISHED)
BOTH = Setting(
    "an issuer of both forms",
    {**ISSUER_OF_OPAQUE, "token_formats": ["jwt", "opaque"], "jwks_uri": f"{SITE}/jwks"},
    published={**PUBLISHED, "/jwks": as_json(jwk_set("e1"))},
)
SAID: Members = {
    "active": True,
    "iss": ISSUER,
    "aud": RESOURCE,
    "sub": "alice",
    "client_id": "agent",
    "scope": SCOPE,
    "token_type": "Bearer",
    "iat": NOW,
    "exp": NOW + 300,
}


def saying(changes: Members | None = None) -> bytes:
    """Return an answer with these changes; a member that is ``None`` is left out."""
    merged = {**SAID, **(changes or {})}
    return orjson.dumps({name: value for name, value in merged.items() if value is not None})


def asked_about(
    name: str,
    reason: Reason | None,
    answer: Members | bytes | Canned | None,
    *,
    setting: Setting = OPAQUE,
    **more: Any,
) -> Attempt:
    """Return the attempt with a new opaque token, about which the issuer answers so."""

    def headers(stand: Stand) -> Pairs:
        stand.publisher.documents["/introspect"] = (
            as_json(answer if isinstance(answer, bytes) else saying(answer))
            if isinstance(answer, bytes | Mapping)
            else answer
        )
        return bearer(secrets.token_urlsafe(32))

    return Attempt(name, headers, reason, setting, **more)


def typed(media_type: str | None, body: bytes | None = None, status: int = 200) -> Canned:
    """Return an answer of a media type."""
    headers = [] if media_type is None else [(b"content-type", media_type.encode("latin-1"))]
    return Canned(headers, [saying() if body is None else body], status=status)


@builds("T601")
def good_answers() -> Iterable[Attempt]:
    yield asked_about("all of it", None, {})
    yield asked_about(
        "no more than is needed", None, {"iss": None, "sub": None, "iat": None, "token_type": None}
    )
    yield asked_about("with a charset", None, typed("Application/JSON; charset=utf-8"))
    yield asked_about("in both forms", None, {}, setting=BOTH)
    yield asked_about("aud lists us", None, {"aud": ["https://x.example", RESOURCE]})
    yield asked_about("expired within the leeway", None, {"exp": NOW - 29})
    yield asked_about("with what nobody knows", None, {"username": "alice", "x": [1, {"y": None}]})


@builds("T079")
def broken_introspection() -> Iterable[Attempt]:
    yield asked_about("no answer", UNAVAILABLE, None)
    yield asked_about("status 500", UNAVAILABLE, typed("application/json", status=500))
    yield asked_about("HTML", UNAVAILABLE, typed("text/html", b"<html>"))
    yield asked_about("10 MB", UNAVAILABLE, typed("application/json", saying() + b" " * 10_000_000))
    redirect = Canned([(b"location", b"{site}/elsewhere")], [saying()], status=302)
    yield asked_about("a redirect", UNAVAILABLE, redirect)


@builds("T602")
def answers_with_another_status() -> Iterable[Attempt]:
    for status in (201, 203, 206, 301, 307, 308, 400, 401, 403, 404, 429, 503):
        yield asked_about(f"status {status}", UNAVAILABLE, typed("application/json", status=status))


@builds("T603")
def answers_of_another_kind() -> Iterable[Attempt]:
    for media_type in (
        None,
        "text/html",
        "text/plain",
        "application/jwt",
        "application/token-introspection+jwt",
        "json",
    ):
        yield asked_about(f"{media_type}", UNAVAILABLE, typed(media_type))
    two = Canned([(b"content-type", b"application/json"), (b"content-type", b"text/html")], [saying()])
    yield asked_about("two media types", UNAVAILABLE, two)


@builds("T604")
def answers_that_are_not_strict() -> Iterable[Attempt]:
    good = saying()
    bodies = {
        "nothing": b"",
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-16 without a mark": good.decode().encode("utf-16-le"),
        "a list": b"[" + good + b"]",
        "true": b"true",
        "null": b"null",
        "something behind": good + b"{}",
        "active twice": b'{"active":false,' + good[1:],
        "active twice, false at the end": good[:-1] + b',"active":false}',
        "active twice, once escaped": good[:-1] + b',"\\u0061ctive":false}',
        "aud twice": b'{"aud":"https://x.example",' + good[1:],
        "NaN": good[:-1] + b',"nbf":NaN}',
        "an integer that doubles cannot hold": good[:-1] + b',"x":9007199254740993}',
        "half a character": good[:-1] + b',"x":"\\ud800"}',
        "nested without end": b'{"active":' + b"[" * 5000,
        "single quotes": good.replace(b'"', b"'"),
        "an error": b'{"error":"server_error"}',
        "a form": b"active=true&scope=mcp%3Acall",
        "a JWT": token(),
    }
    for name, body in bodies.items():
        yield asked_about(name, UNAVAILABLE, body)


@builds("T605")
def active_is_not_a_truth_value() -> Iterable[Attempt]:
    for value in ("true", "True", "1", 1, 1.5, [True], {"active": True}, "false", 0, [], {}, ""):
        yield asked_about(f"{value!r}", UNAVAILABLE, {"active": value})
    yield asked_about("null", UNAVAILABLE, saying().replace(b"true", b"null", 1))
    yield asked_about("missing", UNAVAILABLE, {"active": None})
    yield asked_about("in capitals", UNAVAILABLE, {"active": None, "ACTIVE": True})


@builds("T606")
def inactive() -> Iterable[Attempt]:
    yield asked_about("false alone", INACTIVE, b'{"active":false}')
    yield asked_about("false among all that is good", INACTIVE, {"active": False})

    def asked_before(stand: Stand) -> Pairs:
        stand.publisher.documents["/introspect"] = as_json(b'{"active":false}')
        headers = bearer(secrets.token_urlsafe(32))
        assert stand.send(headers).answer.status == 401
        stand.publisher.documents["/introspect"] = as_json(saying())
        return headers

    yield Attempt("false a moment ago", asked_before, INACTIVE, OPAQUE)


@builds("T080")
def answers_about_other_tokens() -> Iterable[Attempt]:
    yield asked_about("aud is another", AUDIENCE, {"aud": "https://other.example.com/mcp"})
    yield asked_about("expired", Reason.TOKEN_EXPIRED, {"exp": NOW - 31})


@builds("T607")
def introspected_audience() -> Iterable[Attempt]:
    values: Mapping[str, Any] = {
        "missing": None,
        "empty": "",
        "an empty list": [],
        "a number": 7,
        "an object": {RESOURCE: 1},
    }
    for name, value in values.items():
        yield asked_about(name, AUDIENCE, {"aud": value})
    yield asked_about("a list without us", AUDIENCE, {"aud": ["https://x.example", "gate"]})
    yield asked_about("us and a number", AUDIENCE, {"aud": [RESOURCE, 7]})
    yield asked_about("the gate as a client", AUDIENCE, {"aud": "gate"})
    yield asked_about("with a slash", AUDIENCE, {"aud": RESOURCE + "/"})
    yield asked_about("null", AUDIENCE, saying({"aud": None})[:-1] + b',"aud":null}')


@builds("T608")
def introspected_times() -> Iterable[Attempt]:
    early = Reason.TOKEN_NOT_YET_VALID
    yield asked_about("no exp", CLAIM, {"exp": None})
    yield asked_about("exp is null", CLAIM, saying({"exp": None})[:-1] + b',"exp":null}')
    yield asked_about("exp is a text", CLAIM, {"exp": str(NOW + 300)})
    yield asked_about("exp is true", CLAIM, {"exp": True})
    yield asked_about("exp is negative", CLAIM, {"exp": -1})
    yield asked_about("exp is zero", Reason.TOKEN_EXPIRED, {"exp": 0})
    yield asked_about("exp is beyond all dates", CLAIM, {"exp": 253402300800})
    yield asked_about("exp is in milliseconds", CLAIM, {"exp": (NOW + 300) * 1000})
    yield asked_about("iat is ahead", early, {"iat": NOW + 31})
    yield asked_about("nbf is ahead", early, {"nbf": NOW + 31})
    yield asked_about("nbf is a text", CLAIM, {"nbf": "0"})


@builds("T623")
def introspected_lifetime() -> Iterable[Attempt]:
    too_long = Reason.TOKEN_LIFETIME_TOO_LONG
    yield asked_about("a day and a second", too_long, {"exp": NOW + 86401})
    yield asked_about("until the year 9999", too_long, {"exp": 253402300799})


@builds("T609")
def introspected_issuer() -> Iterable[Attempt]:
    wrong = Reason.TOKEN_ISSUER_UNKNOWN
    for value in ("https://x.example", ISSUER + "/", "", ISSUER.upper()):
        yield asked_about(f"{value!r}", wrong, {"iss": value})
    for name, other in {
        "a list": [ISSUER],
        "a number": 7,
        "true": True,
        "an object": {"iss": ISSUER},
    }.items():
        yield asked_about(name, wrong, {"iss": other})


@builds("T610")
def introspected_type() -> Iterable[Attempt]:
    for value in (
        "refresh_token",
        "id_token",
        "N_A",
        "mac",
        "access_token",
        "",
        " Bearer",
        "Bearer ",
        "urn:x",
    ):
        yield asked_about(f"{value!r}", TYPE, {"token_type": value})
    for name, other in {"a number": 7, "a list": ["Bearer"], "true": True}.items():
        yield asked_about(name, TYPE, {"token_type": other})
    yield asked_about("null", TYPE, saying({"token_type": None})[:-1] + b',"token_type":null}')


@builds("T611")
def introspected_binding() -> Iterable[Attempt]:
    yield asked_about("to a DPoP key", BINDING, {"cnf": {"jkt": thumbprint("e5")}, "token_type": "DPoP"})
    yield asked_about("to a certificate", BINDING, {"cnf": {"x5t#S256": "a" * 43}})
    yield asked_about("to what is no object", BINDING, {"cnf": "jkt"})
    yield asked_about("of the type DPoP, to a key that is not named", BINDING, {"token_type": "DPoP"})


@builds("T612")
def introspected_people() -> Iterable[Attempt]:
    for name in ("client_id", "sub"):
        for shown, value in {"empty": "", "a number": 7, "a list": ["agent"], "true": True}.items():
            yield asked_about(f"{name} is {shown}", CLAIM, {name: value})
        yield asked_about(f"{name} is null", CLAIM, saying({name: None})[:-1] + f',"{name}":null}}'.encode())
    yield asked_about("no client_id", CLAIM, {"client_id": None})


@builds("T613")
def introspected_scope() -> Iterable[Attempt]:
    missing = Reason.SCOPE_MISSING
    for name, value in {"missing": None, "a list": [SCOPE], "another": "mcp:calls", "a number": 5}.items():
        yield asked_about(name, missing, {"scope": value})


@builds("T614")
def introspected_machine() -> Iterable[Attempt]:
    required = Reason.USER_REQUIRED
    setting = Setting(
        "opaque tokens where a user is required",
        ISSUER_OF_OPAQUE,
        route={"require_user": True},
        published=PUBLISHED,
    )
    yield asked_about("no sub", required, {"sub": None}, setting=setting)
    yield asked_about("sub is the client", required, {"sub": "agent"}, setting=setting)


def unasked(make: Callable[[], bytes], stand: Stand) -> Pairs:
    """Present a token about which the issuer is not to be asked; it would never answer."""
    stand.publisher.documents["/introspect"] = None
    return bearer(make())


@builds("T615")
def second_chances() -> Iterable[Attempt]:
    forms: Mapping[str, tuple[Callable[[], bytes], Reason]] = {
        "a bad signature": (partial(token, signer="e9"), Reason.TOKEN_SIGNATURE_WRONG),
        "an expired JWT": (partial(token, None, {"exp": NOW - 31, "iat": NOW - 300}), Reason.TOKEN_EXPIRED),
        "a JWT of another issuer": (
            partial(token, None, {"iss": "https://x.example"}),
            Reason.TOKEN_ISSUER_UNKNOWN,
        ),
        "an ID token": (partial(token, {"typ": "JWT"}), TYPE),
        "three segments of nothing": (lambda: b"a.b.c", Reason.TOKEN_MALFORMED),
        "an encrypted token": (lambda: b"eyJhbGciOiJkaXIifQ..YQ.YQ.YQ", Reason.TOKEN_MALFORMED),
        "a JWT without its signature": (
            lambda: token().rpartition(b".")[0],
            Reason.TOKEN_MALFORMED,
        ),
        "a JWT with a segment more": (lambda: token() + b".YQ", Reason.TOKEN_MALFORMED),
        "the header of a JWT": (lambda: token().partition(b".")[0], Reason.TOKEN_MALFORMED),
    }
    for name, (make, reason) in forms.items():
        yield Attempt(name, partial(unasked, make), reason, BOTH)


@builds("T616")
def opaque_where_nobody_can_be_asked() -> Iterable[Attempt]:
    for raw in (b"opaque", b"a.b", b"a.b.c.d", b"A" * 43, b"2YotnFZFEjr1zCsicMWpAA=="):
        yield Attempt(raw.decode(), presents(partial(bytes, raw)), Reason.TOKEN_MALFORMED)


@builds("T617")
def opaque_and_bound() -> Iterable[Attempt]:
    setting = Setting(
        "opaque tokens with DPoP", ISSUER_OF_OPAQUE, route={"proof": "dpop"}, published=PUBLISHED
    )

    def headers(stand: Stand) -> Pairs:
        said = {"cnf": {"jkt": thumbprint("e5")}, "token_type": "DPoP"}
        stand.publisher.documents["/introspect"] = as_json(saying(said))
        access = secrets.token_urlsafe(32).encode()
        return presented(access, proof(stand, access))

    yield Attempt("with a proof", headers, None, setting)


def was_good(stand: Stand, age: float, answer: Canned | None) -> Pairs:
    """Present a token that was good so many seconds ago, and about which the issuer now says this."""
    now = int(stand.clock.now)
    stand.publisher.documents["/introspect"] = as_json(saying({"iat": now, "exp": now + 7200}))
    headers = bearer(secrets.token_urlsafe(32))
    stand.send(headers).check_allowed()
    stand.publisher.documents["/introspect"] = answer
    stand.clock.now += age
    return headers


LATER = Setting("opaque tokens that grow old", ISSUER_OF_OPAQUE, published=PUBLISHED)


@builds("T618")
def answers_that_are_remembered() -> Iterable[Attempt]:
    late = Canned([], [], status=500)
    yield Attempt("for 29 seconds", partial(was_good, age=29, answer=late), None, LATER)


@builds("T619")
def answers_that_are_too_old() -> Iterable[Attempt]:
    late = Canned([], [], status=500)
    yield Attempt("after 30 seconds", partial(was_good, age=30, answer=late), UNAVAILABLE, LATER)
    yield Attempt("after an hour", partial(was_good, age=3600, answer=late), UNAVAILABLE, LATER)


@builds("T620")
def tokens_that_were_revoked() -> Iterable[Attempt]:
    revoked = as_json(b'{"active":false}')
    yield Attempt("30 seconds ago", partial(was_good, age=30, answer=revoked), INACTIVE, LATER)


@builds("T621")
def failures_that_are_over() -> Iterable[Attempt]:
    def failed_before(stand: Stand) -> Pairs:
        headers = bearer(secrets.token_urlsafe(32))
        stand.publisher.documents["/introspect"] = Canned([], [], status=500)
        assert stand.send(headers).answer.status == 503
        stand.publisher.documents["/introspect"] = as_json(saying())
        return headers

    yield Attempt("a moment ago", failed_before, None, OPAQUE)


def was_refused(stand: Stand, age: float) -> Pairs:
    """Present a token that was another server's so many seconds ago, and is ours by now."""
    now = int(stand.clock.now)
    ours = {"iat": now, "exp": now + 7200}
    stand.publisher.documents["/introspect"] = as_json(saying({**ours, "aud": "https://x.example"}))
    headers = bearer(secrets.token_urlsafe(32))
    assert stand.send(headers).reasons == [AUDIENCE]
    stand.publisher.documents["/introspect"] = as_json(saying(ours))
    stand.clock.now += age
    return headers


@builds("T624")
def refusals_that_are_remembered() -> Iterable[Attempt]:
    yield Attempt("at once", partial(was_refused, age=0), AUDIENCE, LATER)
    yield Attempt("29 seconds ago", partial(was_refused, age=29), AUDIENCE, LATER)


@builds("T625")
def refusals_that_are_forgotten() -> Iterable[Attempt]:
    yield Attempt("30 seconds ago", partial(was_refused, age=30), None, LATER)


@builds("T622")
def endpoints_from_metadata() -> Iterable[Attempt]:
    def discovered(url: Any) -> Setting:
        document = orjson.dumps({"issuer": SITE, "introspection_endpoint": url})
        return Setting(
            f"an introspection endpoint {url}",
            {
                "issuer": SITE,
                "token_formats": ["opaque"],
                "introspection": {"client_id": "gate", "client_secret_file": SECRET},
            },
            published={**PUBLISHED, "/.well-known/oauth-authorization-server": as_json(document)},
        )

    for url in (None, 7, "introspect", "file:///etc/passwd", "http://127.0.0.1:1/introspect"):
        yield asked_about(f"{url}", UNAVAILABLE, {}, setting=discovered(url))
    yield asked_about(
        "the right one",
        None,
        {"iss": None},
        setting=discovered(f"{SITE}/introspect"),
        differs="it is where the metadata says",
    )
