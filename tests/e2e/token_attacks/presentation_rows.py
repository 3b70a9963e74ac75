"""Rows about how a token is presented."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import partial

from tests.e2e.token_attacks.gates import Stand
from tests.e2e.token_attacks.minting import segments, token
from tests.e2e.token_attacks.rows import Attempt, Pairs, bearer, builds, presents, says
from tests.support.raw import Parser
from tunnelgate.verdict import Reason

MALFORMED = Reason.TOKEN_MALFORMED
MISSING = Reason.TOKEN_MISSING
EITHER: frozenset[Parser] = frozenset({"strict", "h11"})
STRICT: frozenset[Parser] = frozenset({"strict"})
NO_HTTP = "to a parser it is no HTTP"


def good() -> str:
    return token().decode()


def wrote(template: str) -> Callable[[Stand], Pairs]:
    """Return what sends ``Authorization`` with a good token in place of the braces."""
    return says(lambda: template.replace("{}", good()))


def named(name: str, stand: Stand) -> Pairs:
    """Return a good token under another name."""
    return [(name, f"Bearer {good()}")]


@builds("T060")
def two_headers() -> Iterable[Attempt]:
    def twice(*names: str) -> Pairs:
        value = f"Bearer {good()}"
        return [(name, value) for name in names]

    duplicated = Reason.HEADER_DUPLICATED
    yield Attempt("the same token twice", lambda _: twice("authorization", "authorization"), duplicated)
    yield Attempt("in other letters", lambda _: twice("Authorization", "AUTHORIZATION"), duplicated)
    yield Attempt("the second one empty", lambda _: [*bearer(token()), ("authorization", "")], duplicated)
    yield Attempt(
        "the first one another scheme",
        lambda _: [("authorization", "Basic YTpi"), *bearer(token())],
        duplicated,
    )


@builds("T061")
def joined_with_a_comma() -> Iterable[Attempt]:
    yield Attempt("good and bad", says(lambda: f"Bearer {good()}, Bearer bad"), MALFORMED)
    yield Attempt("bad and good", says(lambda: f"Bearer bad, Bearer {good()}"), MALFORMED)
    yield Attempt("without a space", says(lambda: f"Bearer {good()},Bearer {good()}"), MALFORMED)
    yield Attempt("only a comma", says(lambda: f"Bearer {good()},"), MALFORMED)
    yield Attempt("another scheme in front", says(lambda: f"Basic YTpi, Bearer {good()}"), MALFORMED)


@builds("T062")
def scheme_and_spaces() -> Iterable[Attempt]:
    for scheme in ("bearer", "BEARER", "bEaReR"):
        yield Attempt(scheme, presents(token, scheme))
    one_space = "one space stands between scheme and token, as the row says"
    for name, between in (("two spaces", "  "), ("a tab", "\t"), ("a space and a tab", " \t"), ("none", "")):
        yield Attempt(name, wrote(f"Bearer{between}{{}}"), MALFORMED, differs=one_space)
    yield Attempt("white space before the value", wrote(" Bearer {}"))
    yield Attempt("white space behind the value", wrote("Bearer {} \t"))


@builds("T301")
def scheme_and_something_else() -> Iterable[Attempt]:
    values = (
        "Bearer",
        "Bearer ",
        "",
        "{}",
        "Bearer Bearer {}",
        "Bearer: {}",
        "Bearer={}",
        'Bearer "{}"',
        "Bearer '{}'",
        "Bearer <{}>",
        "Bearer token={}",
        "Bearer {};",
        "Bearer {} x",
        "Bearer x {}",
        "Bearer/{}",
        "Bearer-{}",
        "xBearer {}",
        "Bearer2 {}",
        "Token {}",
        "OAuth {}",
        "JWT {}",
        "Beare\u00b0 {}",
    )
    for value in values:
        yield Attempt(ascii(value), wrote(value), MALFORMED)


@builds("T063")
def in_the_query() -> Iterable[Attempt]:
    for name in ("access_token", "token", "bearer_token", "authorization"):
        yield Attempt(name, lambda _: [], MISSING, path=f"/mcp?{name}={good()}")


@builds("T302")
def in_other_places() -> Iterable[Attempt]:
    names = (
        "proxy-authorization",
        "x-authorization",
        "x-access-token",
        "x-original-authorization",
        "x-forwarded-access-token",
        "authentication",
        "www-authenticate",
        "x-amzn-oidc-accesstoken",
        "x-http-authorization",
    )
    for name in names:
        yield Attempt(name, partial(named, name), MISSING)
    yield Attempt(
        "a cookie", lambda _: [("cookie", f"access_token={good()}; Authorization=Bearer {good()}")], MISSING
    )
    form: Pairs = [("content-type", "application/x-www-form-urlencoded")]
    yield Attempt("a form", lambda _: form, MISSING, body=b"access_token=" + token())


@builds("T303")
def names_that_are_nearly_authorization() -> Iterable[Attempt]:
    malformed = {"a space behind the name": "authorization ", "a tab behind the name": "authorization\t"}
    for name, field in malformed.items():
        yield Attempt(name, partial(named, field), None, refused_by=EITHER)
    yield Attempt("a zero octet in the name", partial(named, "author\0ization"), None, refused_by=EITHER)
    yield Attempt("a letter beyond ASCII", partial(named, "authori\u00e7ation"), None, refused_by=EITHER)


@builds("T065")
def other_schemes() -> Iterable[Attempt]:
    basic = b64encode(b"user:password").decode()
    for value in (f"Basic {basic}", "Negotiate YII=", "Digest username=x", "Basic", "HOBA result=x"):
        yield Attempt(value.split(" ")[0] + f" of {len(value)}", says(partial(str, value)), MALFORMED)
    yield Attempt("a good token under Basic", says(lambda: f"Basic {good()}"), MALFORMED)
    yield Attempt("a good token under DPoP", says(lambda: f"DPoP {good()}"), MALFORMED)
    proof = ("dpop", good())
    yield Attempt("with a proof besides", lambda _: [*bearer(token(), "DPoP"), proof], MALFORMED)


@builds("T087")
def octets_that_no_token_has() -> Iterable[Attempt]:
    yield Attempt("beyond ASCII", says(lambda: "Bearer \u00e9"), MALFORMED)
    yield Attempt("beyond ASCII within", says(lambda: f"Bearer {good()}\u00e9"), MALFORMED)
    yield Attempt("UTF-8", says(lambda: "Bearer \u00c3\u00a9"), MALFORMED)
    yield Attempt(
        "all of the upper half", says(lambda: "Bearer " + "".join(map(chr, range(128, 256)))), MALFORMED
    )
    for name, octet in {"a bell": "\x07", "escape": "\x1b", "delete": "\x7f", "one": "\x01"}.items():
        yield Attempt(name, wrote(f"Bearer {{}}{octet}x"), MALFORMED, differs=NO_HTTP, refused_by=STRICT)
    for name, octet in {"a zero octet": "\0", "a bare carriage return": "\r"}.items():
        yield Attempt(name, wrote(f"Bearer {{}}{octet}x"), MALFORMED, differs=NO_HTTP, refused_by=EITHER)


@builds("T304")
def a_second_line() -> Iterable[Attempt]:
    head, body, seal = segments()

    def folded(between: str) -> str:
        return f"Bearer {head.decode()}.{body.decode()}{between}.{seal.decode()}"

    yield Attempt("smuggled behind a bare line feed", says(lambda: folded("\nx")), refused_by=EITHER)


@builds("T088")
def access_assertion() -> Iterable[Attempt]:
    yield Attempt("forged", lambda _: [("cf-access-jwt-assertion", good())], MISSING)
    yield Attempt("as a cookie", lambda _: [("cookie", f"CF_Authorization={good()}")], MISSING)


@builds("T089")
def identity_headers() -> Iterable[Attempt]:
    names = (
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-auth-request-user",
        "x-auth-request-email",
        "x-auth-request-access-token",
        "x-remote-user",
        "remote-user",
        "x-goog-authenticated-user-email",
        "x-ms-client-principal",
        "x-client-cert",
        "x-ssl-client-verify",
        "cf-access-authenticated-user-email",
    )

    def forged(stand: Stand) -> Pairs:
        return [*bearer(token()), *((name, "root") for name in names)]

    yield Attempt("all of them", forged)
