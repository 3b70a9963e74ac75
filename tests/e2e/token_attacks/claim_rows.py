"""Rows about the claims of a token whose signature is good."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson

from tests.e2e.token_attacks.gates import PLAIN, Setting
from tests.e2e.token_attacks.minting import CLAIMS, ISSUER, NOW, RESOURCE, SCOPE, token
from tests.e2e.token_attacks.rows import Attempt, builds, presents
from tunnelgate.verdict import Reason

MALFORMED = Reason.TOKEN_MALFORMED
AUDIENCE = Reason.TOKEN_AUDIENCE_WRONG
CLAIM = Reason.TOKEN_CLAIM_INVALID
EARLY = Reason.TOKEN_NOT_YET_VALID
EXPIRED = Reason.TOKEN_EXPIRED
TOO_LONG = Reason.TOKEN_LIFETIME_TOO_LONG
UNKNOWN_ISSUER = Reason.TOKEN_ISSUER_UNKNOWN
NO_SCOPE = Reason.SCOPE_MISSING

DAY = 86400
LAST_SECOND = 253402300799
NAMED_CLAIMS = Setting("an issuer with its scopes in scp and roles", {"scope_claims": ["scp", "roles"]})
NAMED_CLIENT = Setting(
    "an issuer that names clients in azp and tokens in uti",
    {"client_id_claim": "azp", "token_id_claim": "uti"},
)


def claiming(name: str, reason: Reason | None = None, setting: Setting = PLAIN, /, **claims: Any) -> Attempt:
    """Return the attempt with a good token that has these claims; one that is ``None`` is left out."""
    return Attempt(name, presents(partial(token, None, claims)), reason, setting)


def writing(name: str, reason: Reason, members: str) -> Attempt:
    """Return the attempt with a good token whose claims begin with these octets."""
    raw = b"{" + members.encode("utf-8", "surrogatepass") + b"," + orjson.dumps(CLAIMS)[1:]
    return Attempt(name, presents(partial(token, None, raw)), reason)


def instead(name: str, reason: Reason, claim: str, text: str) -> Attempt:
    """Return the attempt with a good token in which one claim has this value, octet by octet."""
    rest = {key: value for key, value in CLAIMS.items() if key != claim}
    raw = b'{"' + claim.encode() + b'":' + text.encode() + b"," + orjson.dumps(rest)[1:]
    return Attempt(name, presents(partial(token, None, raw)), reason)


@builds("T030")
def expired() -> Iterable[Attempt]:
    yield claiming("by the leeway and a second", EXPIRED, exp=NOW - 31)
    yield claiming("by the leeway", EXPIRED, exp=NOW - 30)
    yield claiming("long ago", EXPIRED, iat=NOW - DAY, exp=NOW - DAY + 300)


@builds("T031")
def expired_within_the_leeway() -> Iterable[Attempt]:
    yield claiming("ten seconds", exp=NOW - 10)
    yield claiming("twenty-nine seconds", exp=NOW - 29)


@builds("T032")
def not_before() -> Iterable[Attempt]:
    yield claiming("a minute ahead", EARLY, nbf=NOW + 60)
    yield claiming("the leeway and a second ahead", EARLY, nbf=NOW + 31)


@builds("T033")
def issued_ahead() -> Iterable[Attempt]:
    yield claiming("an hour ahead", EARLY, iat=NOW + 3600, exp=NOW + 7200)
    yield claiming("the leeway and a second ahead", EARLY, iat=NOW + 31)


@builds("T035")
def expiry_is_no_time() -> Iterable[Attempt]:
    yield claiming("a text", CLAIM, exp=str(NOW + 300))
    yield Attempt(
        "a fraction",
        presents(partial(token, None, {"exp": NOW + 300.5})),
        differs="a NumericDate may have a fraction, as the row says",
    )
    yield instead("NaN", MALFORMED, "exp", "NaN")
    yield instead("1e400", MALFORMED, "exp", "1e400")
    yield instead("-1e400", MALFORMED, "exp", "-1e400")
    yield instead("Infinity", MALFORMED, "exp", "Infinity")
    yield claiming("true", CLAIM, exp=True)
    yield claiming("negative", CLAIM, exp=-1)
    yield instead("negative zero", EXPIRED, "exp", "-0.0")
    yield instead("null", CLAIM, "exp", "null")
    yield claiming("a list", CLAIM, exp=[NOW + 300])
    yield claiming("an object", CLAIM, exp={"$date": NOW + 300})
    yield claiming("missing", CLAIM, exp=None)


@builds("T201")
def huge_expiry() -> Iterable[Attempt]:
    for text in ("1e300", "1.7976931348623157e308", "253402300799.5", "253402300800", "9007199254740991"):
        yield instead(text, CLAIM, "exp", text)
    for text in ("9007199254740993", "18446744073709551616", "1" * 400, "1" * 5000, "1e309"):
        yield instead(f"{text[:20]} of {len(text)} digits", MALFORMED, "exp", text)


@builds("T036")
def lives_for_ever() -> Iterable[Attempt]:
    yield claiming("until the year 9999", TOO_LONG, exp=LAST_SECOND)
    yield claiming("a day and a second", TOO_LONG, exp=NOW + DAY + 1)


@builds("T202")
def lives_as_long_as_may_be() -> Iterable[Attempt]:
    yield claiming("a day", exp=NOW + DAY)
    setting = Setting("an issuer whose tokens live for a minute", {"max_token_lifetime": "1m"})
    yield claiming("a minute where that is the bound", None, setting, exp=NOW + 60)


@builds("T203")
def lives_longer_than_configured() -> Iterable[Attempt]:
    setting = Setting("an issuer whose tokens live for a minute", {"max_token_lifetime": "1m"})
    yield claiming("a second more", TOO_LONG, setting, exp=NOW + 61)
    yield claiming("made ahead of its time", TOO_LONG, setting, iat=NOW - 30, exp=NOW + 31)


@builds("T204")
def other_times_are_no_times() -> Iterable[Attempt]:
    for name in ("iat", "nbf"):
        yield claiming(f"{name} is a text", CLAIM, **{name: str(NOW)})
        yield claiming(f"{name} is true", CLAIM, **{name: True})
        yield claiming(f"{name} is negative", CLAIM, **{name: -1})
        yield claiming(f"{name} is a list", CLAIM, **{name: [NOW]})
        yield claiming(f"{name} is beyond all dates", CLAIM, **{name: LAST_SECOND + 1})
        yield instead(f"{name} is NaN", MALFORMED, name, "NaN")
        yield instead(f"{name} is null", CLAIM, name, "null")
    yield claiming("no iat", CLAIM, iat=None)


@builds("T037")
def audience_lists_us() -> Iterable[Attempt]:
    yield claiming("second", aud=["https://x.example", RESOURCE])
    yield claiming("alone", aud=[RESOURCE])
    yield claiming("twice", aud=[RESOURCE, RESOURCE])


@builds("T038")
def audience_is_none() -> Iterable[Attempt]:
    yield claiming("missing", AUDIENCE, aud=None)
    yield claiming("an empty list", AUDIENCE, aud=[])
    yield instead("null", AUDIENCE, "aud", "null")
    yield claiming("a number", AUDIENCE, aud=7)
    yield claiming("an object", AUDIENCE, aud={RESOURCE: True})
    yield claiming("an empty text", AUDIENCE, aud="")
    yield claiming("true", AUDIENCE, aud=True)
    yield claiming("a list in a list", AUDIENCE, aud=[[RESOURCE]])
    yield claiming("us and a number", AUDIENCE, aud=[RESOURCE, 7])
    yield claiming("us and null", AUDIENCE, aud=[RESOURCE, None])


@builds("T039")
def audience_is_longer_or_shorter() -> Iterable[Attempt]:
    yield claiming("with a path below", AUDIENCE, aud=RESOURCE + "/x")
    yield claiming("without the path", AUDIENCE, aud=RESOURCE.removesuffix("/mcp"))
    yield claiming("with a query", AUDIENCE, aud=RESOURCE + "?a")
    yield claiming("with a slash", AUDIENCE, aud=RESOURCE + "/")
    yield claiming("with a fragment", AUDIENCE, aud=RESOURCE + "#")
    yield claiming("one letter less", AUDIENCE, aud=RESOURCE[:-1])
    yield claiming("only the path", AUDIENCE, aud="/mcp")
    yield claiming("a pattern", AUDIENCE, aud="*")
    yield claiming("two in one text", AUDIENCE, aud=f"{RESOURCE} https://x.example")
    yield claiming("two with a comma", AUDIENCE, aud=f"{RESOURCE},https://x.example")


@builds("T041")
def audience_is_our_neighbour() -> Iterable[Attempt]:
    yield claiming("another host", AUDIENCE, aud="https://other.example.com/mcp")
    yield claiming("a host below", AUDIENCE, aud="https://x.mcp.example.com/mcp")


@builds("T042")
def audience_is_a_client() -> Iterable[Attempt]:
    yield claiming("abc123", AUDIENCE, aud="abc123")
    yield claiming("the client itself", AUDIENCE, aud="agent")
    yield claiming("the issuer", AUDIENCE, aud=ISSUER)


@builds("T205")
def audience_spelled_otherwise() -> Iterable[Attempt]:
    spelled = (
        "HTTPS://mcp.example.com/mcp",
        "https://MCP.example.com/mcp",
        "https://mcp.example.com/MCP",
        "https://mcp.example.com/%6dcp",
        "https://mcp.example.com/%6Dcp",
        "https%3A%2F%2Fmcp.example.com%2Fmcp",
        "https://mcp.example.com:443/mcp",
        "https://mcp.example.com:/mcp",
        "https://mcp.example.com//mcp",
        "https://mcp.example.com/./mcp",
        "https://mcp.example.com/x/../mcp",
        "https://mcp.example.com\\mcp",
        "https://user@mcp.example.com/mcp",
        "http://mcp.example.com/mcp",
        "//mcp.example.com/mcp",
        "mcp.example.com/mcp",
        " https://mcp.example.com/mcp",
        "https://mcp.example.com/mcp ",
        "https://mcp.example.com/mcp\n",
        "https://mcp.example.com/mcp\0",
        "\ufeffhttps://mcp.example.com/mcp",
    )
    for each in spelled:
        yield claiming(ascii(each), AUDIENCE, aud=each)


@builds("T206")
def trailing_dots() -> Iterable[Attempt]:
    yield claiming("behind the host of aud", AUDIENCE, aud="https://mcp.example.com./mcp")
    yield claiming("behind aud", AUDIENCE, aud=RESOURCE + ".")
    yield claiming("behind the host of iss", UNKNOWN_ISSUER, iss=ISSUER + ".")


@builds("T043")
def issuer_spelled_otherwise() -> Iterable[Attempt]:
    yield claiming("with a slash", UNKNOWN_ISSUER, iss=ISSUER + "/")
    yield claiming("http", UNKNOWN_ISSUER, iss="http://as.example")
    yield claiming("the host in capitals", UNKNOWN_ISSUER, iss="https://AS.example")
    for each in (
        "HTTPS://as.example",
        "https://as.example:443",
        " https://as.example",
        "https://as.example\0",
        "as.example",
    ):
        yield claiming(ascii(each), UNKNOWN_ISSUER, iss=each)


@builds("T207")
def issuer_is_no_text() -> Iterable[Attempt]:
    yield claiming("a list", MALFORMED, iss=[ISSUER])
    yield claiming("a list of two", MALFORMED, iss=["https://x.example", ISSUER])
    yield claiming("an object", MALFORMED, iss={"iss": ISSUER})
    yield claiming("a number", MALFORMED, iss=1)
    yield claiming("true", MALFORMED, iss=True)
    yield claiming("an empty text", MALFORMED, iss="")
    yield claiming("missing", MALFORMED, iss=None)
    yield instead("null", MALFORMED, "iss", "null")


@builds("T208")
def unicode_look_alikes() -> Iterable[Attempt]:
    yield claiming("a Kelvin sign in aud", AUDIENCE, aud=RESOURCE.replace("mcp.", "mc\uff50."))
    yield claiming("a full-width stop in aud", AUDIENCE, aud=RESOURCE.replace("mcp.ex", "mcp\uff0eex"))
    yield claiming("an ideographic stop in aud", AUDIENCE, aud=RESOURCE.replace("mcp.ex", "mcp\u3002ex"))
    yield claiming("a soft hyphen in aud", AUDIENCE, aud=RESOURCE.replace("mcp.", "m\u00adcp."))
    yield claiming("a joiner in aud", AUDIENCE, aud=RESOURCE.replace("mcp.", "mcp\u200d."))
    yield claiming("a Cyrillic letter in aud", AUDIENCE, aud=RESOURCE.replace("mcp.", "m\u0441p."))
    yield claiming("a full-width letter in iss", UNKNOWN_ISSUER, iss="https://\uff41s.example")
    yield claiming("a Cyrillic letter in iss", UNKNOWN_ISSUER, iss="https://\u0430s.example")
    yield claiming("a long s in iss", UNKNOWN_ISSUER, iss="https://a\u017f.example")
    yield claiming("a soft hyphen in iss", UNKNOWN_ISSUER, iss="https://a\u00ads.example")


@builds("T209")
def claims_twice() -> Iterable[Attempt]:
    yield writing("aud", MALFORMED, '"aud":"https://x.example"')
    yield writing("exp", MALFORMED, f'"exp":{NOW - 1000}')
    yield writing("iss", MALFORMED, '"iss":"https://x.example"')
    yield writing("sub", MALFORMED, '"sub":"root"')
    yield writing("scope", MALFORMED, '"scope":""')
    yield writing("aud escaped", MALFORMED, '"\\u0061ud":"https://x.example"')
    yield writing("aud with the same value", MALFORMED, f'"aud":"{RESOURCE}"')
    yield writing("one within another claim", MALFORMED, '"x":{"a":1,"a":2}')


@builds("T210")
def claims_in_other_letters() -> Iterable[Attempt]:
    for name in ("aud", "exp", "iss", "sub", "jti", "client_id"):
        value = CLAIMS[name]
        reason = MALFORMED if name == "iss" else AUDIENCE if name == "aud" else CLAIM
        yield claiming(f"{name.upper()} alone", reason, **{name: None, name.upper(): value})


@builds("T211")
def json_that_is_not_strict() -> Iterable[Attempt]:
    good = orjson.dumps(CLAIMS).decode()
    yield Attempt("something behind", presents(partial(token, None, (good + "{}").encode())), MALFORMED)
    yield Attempt("a comment", presents(partial(token, None, ("/**/" + good).encode())), MALFORMED)
    yield Attempt(
        "a comma at the end", presents(partial(token, None, (good[:-1] + ",}").encode())), MALFORMED
    )
    yield Attempt("single quotes", presents(partial(token, None, good.replace('"', "'").encode())), MALFORMED)
    yield Attempt("a list", presents(partial(token, None, f"[{good}]".encode())), MALFORMED)
    yield Attempt("nothing", presents(partial(token, None, b"")), MALFORMED)
    yield Attempt(
        "not UTF-8", presents(partial(token, None, good.replace("alice", "al").encode() + b"\xff")), MALFORMED
    )
    yield writing("half a character", MALFORMED, '"x":"\\ud800"')
    yield writing("half a character as a name", MALFORMED, '"\\udfff":1')
    yield writing("an integer that doubles cannot hold", MALFORMED, '"x":9007199254740993')
    yield writing("NaN elsewhere", MALFORMED, '"x":NaN')
    yield writing("nested too deep", MALFORMED, '"x":' + "[" * 70 + "]" * 70)
    yield writing("nested without end", MALFORMED, '"x":' + "[" * 3000)
    yield writing("a control character", MALFORMED, '"x":"\x01"')


@builds("T212")
def required_claims_missing() -> Iterable[Attempt]:
    for name in ("sub", "client_id", "jti"):
        yield claiming(f"no {name}", CLAIM, **{name: None})
        yield claiming(f"{name} is empty", CLAIM, **{name: ""})
        yield claiming(f"{name} is a number", CLAIM, **{name: 7})
        yield claiming(f"{name} is a list", CLAIM, **{name: ["alice"]})
        yield claiming(f"{name} is true", CLAIM, **{name: True})
        yield instead(f"{name} is null", CLAIM, name, "null")


@builds("T213")
def other_claims_of_the_wrong_type() -> Iterable[Attempt]:
    yield claiming("amr is a text", CLAIM, amr="pwd")
    yield claiming("auth_time is a text", CLAIM, auth_time="yesterday")


@builds("T214")
def client_under_another_name() -> Iterable[Attempt]:
    named = {"azp": "agent", "uti": "1", "client_id": None, "jti": None}
    yield claiming("azp and uti", None, NAMED_CLIENT, **named)
    yield claiming("and the usual ones besides", None, NAMED_CLIENT, azp="agent", uti="1")


@builds("T215")
def client_only_under_the_usual_name() -> Iterable[Attempt]:
    yield claiming("no azp", CLAIM, NAMED_CLIENT, uti="1")
    yield claiming("no uti", CLAIM, NAMED_CLIENT, azp="agent")
    yield claiming("azp is a list", CLAIM, NAMED_CLIENT, azp=["agent"], uti="1")


@builds("T070")
def scope_is_part_of_another() -> Iterable[Attempt]:
    for scope in ("mcp:calls", "xmcp:call", "mcp:cal", "mcp", "mcp:*", "*", "MCP:CALL", "mcp:call:x"):
        yield claiming(scope, NO_SCOPE, scope=scope)


@builds("T071")
def scope_is_no_text() -> Iterable[Attempt]:
    yield claiming("a list", NO_SCOPE, scope=[SCOPE])
    yield claiming("a number", NO_SCOPE, scope=5)
    yield claiming("an object", NO_SCOPE, scope={SCOPE: True})
    yield claiming("an empty object", NO_SCOPE, scope={})
    yield claiming("true", NO_SCOPE, scope=True)
    yield claiming("a list of lists", NO_SCOPE, scope=[[SCOPE]])
    yield claiming("missing", NO_SCOPE, scope=None)
    yield claiming("an empty text", NO_SCOPE, scope="")


@builds("T216")
def scope_with_other_separators() -> Iterable[Attempt]:
    separators = (
        "\t",
        "\n",
        "\r\n",
        "\u00a0",
        ",",
        ", x",
        ";",
        "+",
        "%20",
        "\u2003",
        "\u200b",
        "\0",
        "|",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
    )
    for separator in separators:
        yield claiming(f"{separator!a} behind", NO_SCOPE, scope=f"{SCOPE}{separator}x")
        yield claiming(f"{separator!a} in front", NO_SCOPE, scope=f"x{separator}{SCOPE}")


@builds("T217")
def scope_in_other_letters() -> Iterable[Attempt]:
    yield claiming("full width", NO_SCOPE, scope="mcp:\uff43all")
    yield claiming("a full-width colon", NO_SCOPE, scope="mcp\uff1acall")
    yield claiming("a combining mark", NO_SCOPE, scope="mcp:call\u0301")
    yield claiming("a Cyrillic letter", NO_SCOPE, scope="mcp:\u0441all")
    yield claiming("a soft hyphen", NO_SCOPE, scope="mcp:ca\u00adll")


@builds("T218")
def scope_among_others() -> Iterable[Attempt]:
    yield claiming("first", scope=f"{SCOPE} x")
    yield claiming("last", scope=f"x {SCOPE}")
    yield claiming("with spaces around", scope=f" x  {SCOPE} ")


@builds("T219")
def scope_under_another_name() -> Iterable[Attempt]:
    for name in ("scp", "scopes", "roles", "permissions", "Scope", "SCOPE", "groups"):
        yield claiming(name, NO_SCOPE, scope=None, **{name: SCOPE})
        yield claiming(f"{name} as a list", NO_SCOPE, scope=None, **{name: [SCOPE]})


@builds("T220")
def named_scope_claims() -> Iterable[Attempt]:
    yield claiming("scp as a list", None, NAMED_CLAIMS, scope=None, scp=[SCOPE])
    yield claiming("scp as a text", None, NAMED_CLAIMS, scope=None, scp=f"x {SCOPE}")
    yield claiming("roles as a list", None, NAMED_CLAIMS, scope=None, roles=["x", SCOPE])
    yield claiming("both", None, NAMED_CLAIMS, scope=None, scp="x", roles=[SCOPE])


@builds("T221")
def named_scope_claims_with_no_scope_in_them() -> Iterable[Attempt]:
    yield claiming("scope alone", NO_SCOPE, NAMED_CLAIMS)
    yield claiming("two in one entry", NO_SCOPE, NAMED_CLAIMS, scope=None, scp=[f"{SCOPE} x"])
    yield claiming("a list in the list", NO_SCOPE, NAMED_CLAIMS, scope=None, scp=[[SCOPE]])
    yield claiming("an object", NO_SCOPE, NAMED_CLAIMS, scope=None, scp={SCOPE: True})
    yield claiming("a number", NO_SCOPE, NAMED_CLAIMS, scope=None, roles=5)
    yield claiming("numbers and null", NO_SCOPE, NAMED_CLAIMS, scope=None, roles=[5, None, {}, True])
    yield claiming(
        "a path into an object", NO_SCOPE, NAMED_CLAIMS, scope=None, realm_access={"roles": [SCOPE]}
    )
    yield claiming("the name in capitals", NO_SCOPE, NAMED_CLAIMS, scope=None, SCP=[SCOPE])


@builds("T074")
def machine_where_a_person_is_required() -> Iterable[Attempt]:
    setting = Setting("a route that requires a user", route={"require_user": True})
    machine = {"sub": "agent", "client_id": "agent"}
    yield claiming("sub is the client", Reason.USER_REQUIRED, setting, **machine)
    yield Attempt(
        "sub is a person",
        presents(token),
        setting=setting,
        differs="the one whom the route is for",
    )
    yield Attempt(
        "sub is the client where nobody is required",
        presents(partial(token, None, machine)),
        differs="the flag is off unless it is set",
    )


@builds("T222")
def bound_where_nobody_checks() -> Iterable[Attempt]:
    wrong = Reason.TOKEN_BINDING_WRONG
    yield claiming("to a DPoP key", wrong, cnf={"jkt": "a" * 43})
    yield claiming("to a certificate", wrong, cnf={"x5t#S256": "a" * 43})
    yield claiming("to a key that it brings along", wrong, cnf={"jwk": {"kty": "oct", "k": "AA"}})
    yield claiming("to nothing", wrong, cnf={})
    yield claiming("to what is no object", wrong, cnf="jkt")
    yield claiming("to false", wrong, cnf=False)
    yield claiming("to a list", wrong, cnf=[])
