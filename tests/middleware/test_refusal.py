import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.asgi import Headers, Reply, Spy, call, http_scope
from tests.support.audit import FullDisk, Records
from tests.support.certificates import Authority
from tests.support.mcp import legacy, modern
from tests.support.proofs import Proof, bound_token
from tests.support.tokens import ISSUER, Token, jwks
from tunnelgate import (
    AuditLog,
    AuditUnavailable,
    Broken,
    Clients,
    Credentials,
    Deny,
    Dpop,
    IntrospectionClient,
    Issuer,
    KeysUnavailable,
    Limits,
    NeedsScopes,
    Nonces,
    OAuth,
    Policy,
    Reason,
    Route,
    RouteClients,
    Rule,
    Sealer,
    StaticKeys,
    Tls,
    TokenRequest,
    UpstreamFailed,
    protect,
)
from tunnelgate.asgi import ASGIApp, Message, Receive, Scope, Send
from tunnelgate.audit import AuditSink
from tunnelgate.endpoints import ReadOnly
from tunnelgate.exchange import exchange_of
from tunnelgate.fetching import Fetched
from tunnelgate.jwks import ALGORITHMS, VerificationKey
from tunnelgate.keys import KeySource
from tunnelgate.reading.message import read_message
from tunnelgate.refusal import ANSWERS, admit, answer_to, error_message, refuse, relayed_refusal
from tunnelgate.sealing import MIN_KEY

NOW = 1_800_000_000
SEALER = Sealer([b"k" * MIN_KEY])
METADATA = 'resource_metadata="https://docs.example.com/.well-known/oauth-protected-resource/mcp"'
SUPPORTED = ["2026-07-28"]
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"

# What was sent


@dataclass(frozen=True)
class Request:
    """One request to the gate."""

    headers: Headers = (("host", "docs.example.com"),)
    body: bytes = b""
    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _plain(*headers: tuple[str, str], method: str = "GET", **scope: Any) -> Request:
    return Request([("host", "docs.example.com"), *headers], scope={"method": method, **scope})


def _bearer(token: Token) -> tuple[str, str]:
    return ("authorization", f"Bearer {token.mint(NOW)}")


def _mcp(
    era: Any,
    method: str = "tools/call",
    params: dict[str, Any] | None = None,
    *more: tuple[str, str],
    token: Token | None = Token(),  # noqa: B008 - frozen
    without: Sequence[str] = (),
) -> Request:
    headers, body = era(method, {"name": "search_docs"} if params is None else params)
    kept = [pair for pair in headers if pair[0] not in {*without, *(name for name, _ in more)}]
    credentials = [] if token is None else [_bearer(token)]
    return Request([*kept, *more, *credentials], body)


def _about_task(capabilities: Mapping[str, Any]) -> Request:
    request = _mcp(modern, "tasks/get", {"taskId": "t1"}, ("mcp-name", "t1"))
    message = json.loads(request.body)
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities
    return Request(request.headers, json.dumps(message).encode())


def _body(body: bytes | str, *more: tuple[str, str]) -> Request:
    headers = [pair for pair in legacy("tools/call")[0] if pair[0] not in {name for name, _ in more}]
    octets = body if isinstance(body, bytes) else body.encode()
    return Request([*headers, *more, _bearer(Token())], octets)


def _resource(route: str) -> str:
    return f"https://{route}.example.com/mcp"


def _call(route: str, credentials: str, *more: tuple[str, str], era: Any = legacy) -> Request:
    """Return a good call to another route than the usual one."""
    request = _mcp(era, "tools/call", None, ("host", f"{route}.example.com"), token=None)
    return Request([*request.headers, ("authorization", credentials), *more], request.body)


NONCE = Nonces(SEALER, _resource("proved")).make(NOW)
BOUND = bound_token(NOW, aud=_resource("proved"))


def _proved(*proofs: Proof, token: str = BOUND, scheme: str = "DPoP") -> Request:
    """Return a call to the route that asks for DPoP proofs with nonces, which these proofs may change."""
    minted: list[tuple[str, str]] = []
    for proof in proofs:
        claims = {"htu": _resource("proved"), "nonce": NONCE, **proof.claims}
        minted.append(("dpop", Proof(claims=claims, header=proof.header, owner=proof.owner).mint(token, NOW)))
    return _call("proved", f"{scheme} {token}", *minted)


def _exchanged(era: Any) -> Request:
    """Return a call to the route that exchanges tokens."""
    token = Token(claims={"aud": _resource("exchanged")})
    return _call("exchanged", f"Bearer {token.mint(NOW)}", era=era)


CLIENT = Authority("Agents").issue("agent")
OTHER_CLIENT = Authority("Agents").issue("other")


def _over_tls(*chain: str, token: Token | None = None) -> Request:
    """Return a call to the route that asks for a certificate, with the token of one client."""
    cnf = {"x5t#S256": CLIENT.thumbprint}
    made = token or Token(claims={"aud": _resource("certified"), "cnf": cnf})
    request = _call("certified", f"Bearer {made.mint(NOW)}")
    return replace(request, extensions={"tls": {"client_cert_chain": chain}})


# What was answered


@dataclass(frozen=True)
class Plain:
    """A refusal before the request was read as MCP."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Rpc:
    """A refusal in JSON-RPC."""

    status: int
    code: int
    message: str
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])
    message_id: Any = 1


def _error(status: int, error: str, headers: Mapping[str, str] | None = None, **told: str) -> Plain:
    return Plain(status, {"error": error, **told}, headers or {})


def _challenge(status: int, error: str, challenge: str) -> Plain:
    return _error(status, error, {"www-authenticate": challenge})


BAD_REQUEST = _error(400, "bad_request")
CLOSED = {"connection": "close"}
BAD_FRAMING = _error(400, "bad_request", CLOSED)
NO_TOKEN = _challenge(401, "token_required", f'Bearer scope="docs:read", {METADATA}')
BAD_TOKEN = _challenge(401, "invalid_token", f'Bearer error="invalid_token", scope="docs:read", {METADATA}')
ALGS = f'algs="{" ".join(sorted(ALGORITHMS))}"'


def _metadata(route: str) -> str:
    return f'resource_metadata="https://{route}.example.com/.well-known/oauth-protected-resource/mcp"'


def _dpop(error: str, **headers: str) -> Plain:
    challenge = f'DPoP error="{error}", {_metadata("proved")}, {ALGS}'
    return _error(401, error, {"www-authenticate": challenge, **headers})


NO_CERTIFICATE = _challenge(401, "invalid_token", f'Bearer error="invalid_token", {_metadata("certified")}')
NOT_A_MESSAGE = Rpc(400, -32600, "Invalid request", message_id=None)

LONG = "x" * 2048
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}'
REFUSALS = [
    # unknown host
    (
        "a host that nobody listed",
        Request([("host", "admin.example.com")]),
        _error(403, "host_not_allowed", host="admin.example.com"),
        Reason.HOST_UNKNOWN,
    ),
    (
        "a host for which this connection is not",
        Request([("host", "docs.example.com")], extensions={"tls": {"server_name": "wiki.example.com"}}),
        _error(421, "misdirected_request"),
        Reason.SERVER_NAME_DIFFERS,
    ),
    # malformed request, duplicate security header, bad Host syntax
    ("no Host", Request([]), BAD_REQUEST, Reason.HOST_MISSING),
    ("a path in Host", Request([("host", "docs.example.com/x")]), BAD_REQUEST, Reason.HOST_MALFORMED),
    ("two Hosts", _plain(("host", "evil.example")), BAD_FRAMING, Reason.HEADER_DUPLICATED),
    (
        "two tokens",
        _mcp(legacy, "tools/call", None, _bearer(Token())),
        BAD_FRAMING,
        Reason.HEADER_DUPLICATED,
    ),
    (
        "the same Mcp-Name twice",
        _mcp(modern, "tools/call", None, ("mcp-name", "search_docs"), ("mcp-name", "search_docs")),
        BAD_FRAMING,
        Reason.HEADER_DUPLICATED,
    ),
    ("an underscore in Mcp-Name", _plain(("mcp_name", "x")), BAD_FRAMING, Reason.HEADER_LOOKALIKE),
    ("an absolute URL", _plain(raw_path=b"http://x/mcp"), BAD_REQUEST, Reason.REQUEST_TARGET_MALFORMED),
    (
        "a name among the connection options",
        _plain(("connection", "mcp-name")),
        BAD_REQUEST,
        Reason.CONNECTION_OPTION_NOT_ALLOWED,
    ),
    ("a GET with a body", _plain(("content-length", "2")), BAD_REQUEST, Reason.BODY_NOT_ALLOWED),
    (
        "two lengths of the body",
        _plain(("content-length", "2"), ("transfer-encoding", "chunked"), method="POST"),
        BAD_FRAMING,
        Reason.FRAMING_AMBIGUOUS,
    ),
    (
        "HTTP/1.0",
        _plain(http_version="1.0"),
        _error(505, "http_version_not_supported"),
        Reason.HTTP_VERSION_NOT_SUPPORTED,
    ),
    (
        "a method that nobody uses",
        _plain(method="PUT"),
        _error(405, "method_not_allowed", {"allow": "DELETE, GET, HEAD, OPTIONS, POST"}),
        Reason.HTTP_METHOD_NOT_ALLOWED,
    ),
    ("a path that is not served", _plain(path="/other"), _error(404, "not_found"), Reason.PATH_NOT_SERVED),
    # client address not allowed
    (
        "a client from another network",
        _plain(client=("192.0.2.1", 50000)),
        _error(403, "client_not_allowed"),
        Reason.CLIENT_NOT_ALLOWED,
    ),
    (
        "a client from outside the route's networks",
        _plain(client=("127.9.0.1", 50000)),
        _error(403, "client_not_allowed"),
        Reason.CLIENT_NOT_ALLOWED,
    ),
    (
        "a client without an address",
        _plain(client=None),
        _error(403, "client_not_allowed"),
        Reason.CLIENT_NOT_ALLOWED,
    ),
    (
        "a client whose address is none",
        _plain(client=("testclient", 50000)),
        BAD_REQUEST,
        Reason.CLIENT_ADDRESS_UNREADABLE,
    ),
    # Origin present and not allowed
    (
        "a page of another origin",
        _mcp(legacy, "tools/call", None, ("origin", "https://evil.example")),
        _error(403, "origin_not_allowed"),
        Reason.ORIGIN_NOT_ALLOWED,
    ),
    # no token, bad token
    ("no token, legacy", _mcp(legacy, token=None), NO_TOKEN, Reason.TOKEN_MISSING),
    ("no token, modern", _mcp(modern, token=None), NO_TOKEN, Reason.TOKEN_MISSING),
    ("no token and no method of MCP", _plain(), NO_TOKEN, Reason.TOKEN_MISSING),
    (
        "another scheme",
        _mcp(legacy, "tools/call", None, ("authorization", "Basic YTpi"), token=None),
        BAD_TOKEN,
        Reason.TOKEN_MALFORMED,
    ),
    ("an ID token", _mcp(legacy, token=Token(header={"typ": "JWT"})), BAD_TOKEN, Reason.TOKEN_TYPE_WRONG),
    (
        "an algorithm that its issuer does not use",
        _mcp(legacy, token=Token(algorithm="RS256")),
        BAD_TOKEN,
        Reason.TOKEN_ALGORITHM_NOT_ALLOWED,
    ),
    (
        "an unknown key",
        _mcp(legacy, token=Token(header={"kid": "other"})),
        BAD_TOKEN,
        Reason.TOKEN_KEY_UNKNOWN,
    ),
    (
        "a signature by another key",
        _mcp(legacy, token=Token(algorithm="Ed25519", header={"kid": "Ed25519-old"})),
        BAD_TOKEN,
        Reason.TOKEN_SIGNATURE_WRONG,
    ),
    (
        "another issuer",
        _mcp(legacy, token=Token(claims={"iss": "https://evil.example"})),
        BAD_TOKEN,
        Reason.TOKEN_ISSUER_UNKNOWN,
    ),
    (
        "another audience",
        _mcp(legacy, token=Token(claims={"aud": "https://wiki.example.com/mcp"})),
        BAD_TOKEN,
        Reason.TOKEN_AUDIENCE_WRONG,
    ),
    ("an old token", _mcp(legacy, token=Token(claims={"exp": NOW - 60})), BAD_TOKEN, Reason.TOKEN_EXPIRED),
    (
        "a token for later",
        _mcp(modern, token=Token(claims={"nbf": NOW + 100})),
        BAD_TOKEN,
        Reason.TOKEN_NOT_YET_VALID,
    ),
    (
        "a token for too long",
        _mcp(modern, token=Token(claims={"exp": NOW + 100_000})),
        BAD_TOKEN,
        Reason.TOKEN_LIFETIME_TOO_LONG,
    ),
    (
        "a token of nobody",
        _mcp(modern, token=Token(claims={"sub": None})),
        BAD_TOKEN,
        Reason.TOKEN_CLAIM_INVALID,
    ),
    (
        "a token that its issuer does not know",
        _mcp(legacy, "tools/call", None, ("authorization", "Bearer opaque"), token=None),
        BAD_TOKEN,
        Reason.TOKEN_INACTIVE,
    ),
    (
        "a token that is bound to a key",
        _mcp(legacy, token=Token(claims={"cnf": {"jkt": "A" * 43}})),
        BAD_TOKEN,
        Reason.TOKEN_BINDING_WRONG,
    ),
    # a token without proof of possession, or with a bad one
    (
        "no token, where a proof is asked for",
        Request([("host", "proved.example.com")], scope={"method": "GET"}),
        _challenge(401, "token_required", f"DPoP {_metadata('proved')}, {ALGS}"),
        Reason.TOKEN_MISSING,
    ),
    (
        "a bound token under Bearer",
        _proved(Proof(), scheme="Bearer"),
        _dpop("invalid_token"),
        Reason.TOKEN_MALFORMED,
    ),
    (
        "a bearer token under DPoP",
        _proved(Proof(), token=Token(claims={"aud": _resource("proved")}).mint(NOW)),
        _dpop("invalid_token"),
        Reason.TOKEN_BINDING_WRONG,
    ),
    ("a bound token alone", _proved(), _dpop("invalid_dpop_proof"), Reason.PROOF_MISSING),
    (
        "another JWT in place of a proof",
        _proved(Proof(header={"typ": "JWT"})),
        _dpop("invalid_dpop_proof"),
        Reason.PROOF_MALFORMED,
    ),
    (
        "a proof for another method",
        _proved(Proof(claims={"htm": "GET"})),
        _dpop("invalid_dpop_proof"),
        Reason.PROOF_WRONG,
    ),
    (
        "a proof without a nonce",
        _proved(Proof(claims={"nonce": None})),
        _dpop("use_dpop_nonce", **{"dpop-nonce": NONCE}),
        Reason.PROOF_NONCE_WRONG,
    ),
    ("two proofs", _proved(Proof(), Proof()), BAD_FRAMING, Reason.HEADER_DUPLICATED),
    ("no certificate", _over_tls(), NO_CERTIFICATE, Reason.PROOF_MISSING),
    ("another certificate", _over_tls(OTHER_CLIENT.pem), NO_CERTIFICATE, Reason.PROOF_WRONG),
    ("an odd certificate", _over_tls("odd"), NO_CERTIFICATE, Reason.PROOF_MALFORMED),
    (
        "a token that is bound to no certificate",
        _over_tls(CLIENT.pem, token=Token(claims={"aud": _resource("certified")})),
        NO_CERTIFICATE,
        Reason.TOKEN_BINDING_WRONG,
    ),
    # a token of nobody but a client
    *(
        (
            f"a token that a client has for itself, {era.__name__}",
            _call(
                "users",
                f"Bearer {Token(claims={'aud': _resource('users'), 'sub': 'agent'}).mint(NOW)}",
                era=era,
            ),
            _challenge(403, "insufficient_scope", f'Bearer error="insufficient_scope", {_metadata("users")}'),
            Reason.USER_REQUIRED,
        )
        for era in (legacy, modern)
    ),
    # scope missing
    *(
        (
            f"a token without the scope of the route, {era.__name__}",
            _mcp(era, token=Token(claims={"scope": "other"})),
            _challenge(
                403, "insufficient_scope", f'Bearer error="insufficient_scope", scope="docs:read", {METADATA}'
            ),
            Reason.SCOPE_MISSING,
        )
        for era in (legacy, modern)
    ),
    *(
        (
            f"a token without the scopes of the tool, {era.__name__}",
            _mcp(era, params={"name": "drop_docs"}),
            _challenge(
                403,
                "insufficient_scope",
                f'Bearer error="insufficient_scope", scope="docs:read docs:admin docs:write", {METADATA}',
            ),
            Reason.SCOPE_MISSING,
        )
        for era in (legacy, modern)
    ),
    # not JSON, not UTF-8, not strict
    *(
        (name, _body(body), Rpc(400, -32700, "Parse error", message_id=None), Reason.BODY_NOT_JSON)
        for name, body in (
            ("an empty body", b""),
            ("no JSON", b"{"),
            ("no UTF-8", b'"\xff"'),
            ("UTF-16", '{"jsonrpc":"2.0"}'.encode("utf-16")),
            ("a byte order mark", b"\xef\xbb\xbf{}"),
            ("an Infinity", CALL % '{"name":"search_docs","arguments":{"x":Infinity}}'),
            ("two messages", (CALL % '{"name":"search_docs"}') * 2),
            ("a compressed body that does not say so", b"\x1f\x8b\x08\x00"),
        )
    ),
    *(
        (name, _body(body), NOT_A_MESSAGE, Reason.BODY_NOT_STRICT)
        for name, body in (
            ("a member twice", CALL % '{"name":"search_docs","name":"drop_docs"}'),
            ("a member twice, escaped", CALL % '{"name":"search_docs","n\\u0061me":"drop_docs"}'),
            (
                "an integer that is no double",
                CALL % '{"name":"search_docs","arguments":{"x":9007199254740993}}',
            ),
            ("an unpaired surrogate", CALL % '{"name":"search_docs","arguments":{"x":"\\ud800"}}'),
            ("65 levels", "[" * 65 + "]" * 65),
        )
    ),
    *(
        (name, _body(body), Rpc(400, -32600, "Invalid request", message_id=its_id), Reason.MESSAGE_INVALID)
        for name, body, its_id in (
            ("a batch", "[" + CALL % '{"name":"search_docs"}' + "]", None),
            ("a text", '"tools/call"', None),
            ("no version of JSON-RPC", '{"id":1,"method":"ping"}', 1),
            ("a call without an id", '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}', None),
            ("a member in capitals", CALL % '{"name":"search_docs","Name":"drop_docs"}', 1),
            ("an id that is null", '{"jsonrpc":"2.0","id":null,"method":"ping"}', None),
        )
    ),
    (
        "a notification that is not part of the protocol",
        _body('{"jsonrpc":"2.0","method":"notifications/evil"}'),
        NOT_A_MESSAGE,
        Reason.NOTIFICATION_NOT_ALLOWED,
    ),
    (
        "a response that nobody waits for",
        _body('{"jsonrpc":"2.0","id":7,"result":{}}'),
        Rpc(400, -32600, "Invalid request", message_id=7),
        Reason.RESPONSE_NOT_EXPECTED,
    ),
    (
        "a modern message without its metadata",
        Request([*_mcp(modern).headers], CALL.encode() % b'{"name":"search_docs"}'),
        Rpc(400, -32602, "Invalid params"),
        Reason.PARAMS_INVALID,
    ),
    # header differs from body (modern)
    *(
        (name, request, Rpc(400, -32020, "Headers do not match the body"), Reason.HEADER_MISMATCH)
        for name, request in (
            ("another tool in Mcp-Name", _mcp(modern, "tools/call", None, ("mcp-name", "drop_docs"))),
            ("no Mcp-Name", _mcp(modern, without=["mcp-name"])),
            ("another method in Mcp-Method", _mcp(modern, "tools/call", None, ("mcp-method", "tools/list"))),
            ("no Mcp-Method", _mcp(modern, without=["mcp-method"])),
            (
                "a modern body under a legacy header",
                _mcp(modern, "ping", {}, ("mcp-protocol-version", "2025-11-25")),
            ),
            ("a modern body under no header", _mcp(modern, without=["mcp-protocol-version"])),
        )
    ),
    # version not spoken
    *(
        (
            f"the version {version!r}",
            _mcp(legacy, "ping", {}, ("mcp-protocol-version", version)),
            Rpc(
                400,
                -32022,
                "Unsupported protocol version",
                {"supported": SUPPORTED, "requested": version[:32]},
            ),
            Reason.PROTOCOL_VERSION_NOT_SUPPORTED,
        )
        for version in ("2024-11-05", "2026-07-29", "", "x" * 33)
    ),
    # method not allowed by policy
    *(
        (
            f"the method {method}, {era.__name__}",
            _mcp(era, method, {}),
            Rpc(status, -32601, "Method not found"),
            Reason.METHOD_NOT_ALLOWED,
        )
        for method in ("sampling/createMessage", "tasks/list", "Tools/Call", "notifications/cancelled")
        for era, status in ((legacy, 200), (modern, 404))
    ),
    # tool not allowed
    *(
        (
            f"the tool {name!r}, {era.__name__}",
            _mcp(era, params={"name": name}),
            Rpc(200, -32602, f"Unknown tool: {name}"),
            Reason.TOOL_NOT_ALLOWED,
        )
        for name in ("delete_everything", "Search_docs")
        for era in (legacy, modern)
    ),
    # too large, wrong media type, too many header bytes
    (
        "a large body",
        Request([*_mcp(legacy).headers, ("content-length", "2049")], b"x" * 2049),
        _error(413, "too_large", CLOSED),
        Reason.BODY_TOO_LARGE,
    ),
    (
        "a large body in chunks",
        Request([*_mcp(legacy).headers, ("transfer-encoding", "chunked")], b"x" * 2049),
        _error(413, "too_large", CLOSED),
        Reason.BODY_TOO_LARGE,
    ),
    (
        "a form",
        _mcp(legacy, "tools/call", None, ("content-type", "application/x-www-form-urlencoded")),
        _error(415, "media_type_not_allowed"),
        Reason.MEDIA_TYPE_NOT_ALLOWED,
    ),
    (
        "JSON in another encoding",
        _mcp(legacy, "tools/call", None, ("content-type", "application/json; charset=utf-7")),
        _error(415, "media_type_not_allowed"),
        Reason.MEDIA_TYPE_NOT_ALLOWED,
    ),
    (
        "a compressed body",
        _mcp(legacy, "tools/call", None, ("content-encoding", "gzip")),
        _error(415, "content_encoding_not_allowed"),
        Reason.CONTENT_ENCODING_NOT_ALLOWED,
    ),
    (
        "a large head",
        _plain(*[("x", LONG)] * 2),
        _error(431, "headers_too_large"),
        Reason.HEADERS_TOO_LARGE,
    ),
    # prompt, resource, task not allowed
    *(
        (
            f"the {what} {target!r}, {era.__name__}",
            _mcp(era, method, {member: target}, *([("mcp-name", target)] if era is modern else [])),
            Rpc(200, -32602, f"{message}: {target}", told),
            reason,
        )
        for what, method, member, target, message, told, reason in (
            ("prompt", "prompts/get", "name", "evil", "Unknown prompt", {}, Reason.PROMPT_NOT_ALLOWED),
            (
                "resource",
                "resources/read",
                "uri",
                "docs:///../etc/passwd",
                "Resource not found",
                {"uri": "docs:///../etc/passwd"},
                Reason.RESOURCE_NOT_ALLOWED,
            ),
        )
        for era in (legacy, modern)
    ),
    *(
        (f"the task 't1', {name}", request, Rpc(200, -32602, "Unknown task: t1"), Reason.TASK_NOT_ALLOWED)
        for name, request in (
            ("legacy", _mcp(legacy, "tasks/get", {"taskId": "t1"})),
            ("modern", _about_task({"extensions": {TASKS_EXTENSION: {}}})),
        )
    ),
    # a task of a client that could not go on with it
    *(
        (
            f"a task of a client with {what}",
            _about_task(json.loads(capabilities)),
            Rpc(
                400,
                -32021,
                "Missing required client capability",
                {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}},
            ),
            Reason.CAPABILITY_MISSING,
        )
        for what, capabilities in (
            ("no capabilities", "{}"),
            ("another extension", '{"extensions":{"com.example/x":{}}}'),
            ("a text in place of extensions", f'{{"extensions":"{TASKS_EXTENSION}"}}'),
            ("the tasks of the legacy era", '{"tasks":{}}'),
        )
    ),
    # a page or a state that the caller was not given
    *(
        (
            f"{what} that nobody was given, {era.__name__}",
            _mcp(era, "tools/list", {"cursor": cursor}),
            Rpc(400, -32602, "Invalid params"),
            Reason.PARAMS_INVALID,
        )
        for what, cursor in (("a page", "c2"), ("a page that is no text", 2))
        for era in (legacy, modern)
    ),
    *(
        (
            what,
            _mcp(modern, "tools/call", {"name": "search_docs", "requestState": state}),
            Rpc(400, -32602, "Invalid params: search_docs"),
            Reason.PARAMS_INVALID,
        )
        for what, state in (("a state that nobody was given", "x"), ("a state that is no text", ["x"]))
    ),
    # a session, an event, a question of the server that is not the caller's
    *(
        (
            f"a session of nobody, {method}",
            _plain(_bearer(Token()), ("mcp-session-id", "s1"), method=method),
            Rpc(404, -32600, "Session not found", message_id=None),
            Reason.SESSION_UNKNOWN,
        )
        for method in ("GET", "DELETE")
    ),
    (
        "a session of nobody, POST",
        _mcp(legacy, "tools/call", None, ("mcp-session-id", "s1")),
        Rpc(404, -32600, "Session not found"),
        Reason.SESSION_UNKNOWN,
    ),
    (
        "an event of nobody",
        _plain(_bearer(Token()), ("last-event-id", "7")),
        Rpc(400, -32600, "Unknown Last-Event-ID", message_id=None),
        Reason.EVENT_UNKNOWN,
    ),
    (
        "a response to what nobody asked",
        _body('{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":"x"}}'),
        Rpc(400, -32600, "Invalid request", message_id="a"),
        Reason.RESPONSE_NOT_EXPECTED,
    ),
    # a stream, which the modern era does not have
    *(
        (
            f"a modern {method}",
            _plain(_bearer(Token()), ("mcp-protocol-version", "2026-07-28"), method=method),
            _error(405, "method_not_allowed", {"allow": "DELETE, GET, POST"}),
            Reason.STREAM_NOT_OFFERED,
        )
        for method in ("GET", "DELETE")
    ),
    *(
        (
            f"the method {method} at the endpoint",
            _plain(_bearer(Token()), method=method),
            _error(405, "method_not_allowed", {"allow": "DELETE, GET, POST"}),
            Reason.STREAM_NOT_OFFERED,
        )
        for method in ("HEAD", "OPTIONS")
    ),
    # somebody whom the route is not meant for
    *(
        (
            f"a token without the claim of the route, {era.__name__}",
            _mcp(
                era,
                "tools/call",
                None,
                ("host", "closed.example.com"),
                token=Token(claims={"aud": "https://closed.example.com/mcp", "team": "sales"}),
            ),
            _error(403, "access_denied"),
            Reason.CLAIM_MISSING,
        )
        for era in (legacy, modern)
    ),
    # somebody to whom the issuer gives no token for the application
    *(
        (
            f"a caller whose token is not exchanged, {era.__name__}",
            _exchanged(era),
            Rpc(403, -32600, "Access denied"),
            Reason.CREDENTIAL_REFUSED,
        )
        for era in (legacy, modern)
    ),
]


class OtherKeys:
    """An issuer that gives another key under a kid of its own, beside its real one."""

    def __init__(self) -> None:
        self._keys = StaticKeys(jwks("ES256"))
        other = json.loads(jwks("Ed25519"))
        other["keys"][0].update(kid="Ed25519-old", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
        self._others = StaticKeys(json.dumps(other).encode())

    async def find(self, key_id: str) -> VerificationKey | None:
        return await self._keys.find(key_id) or await self._others.find(key_id)


class Issuing:
    """An issuer that knows no opaque token and exchanges none, or cannot be reached at all."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.is_down = is_down

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        if self.is_down:
            raise OSError("connection refused")
        if url.endswith("/introspect"):
            return Fetched(200, "application/json", b'{"active":false}')
        return Fetched(400, "application/json", b'{"error":"invalid_grant"}')


@pytest.fixture(autouse=True)
def secret_of_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gate have the secret with which it asks its issuer."""
    monkeypatch.setenv("SECRET_OF_THE_GATE", "canary")


def _gate(
    app: ASGIApp, sink: AuditSink, keys: KeySource | None = None, issuing: Issuing | None = None
) -> ASGIApp:
    policy = Policy(
        tunnel_domain="example.com",
        clients=Clients(allowed_ips=["127.0.0.0/8"]),
        oauth=OAuth(
            issuers=[
                Issuer(
                    issuer=ISSUER,
                    jwks_uri=f"{ISSUER}/keys",
                    algorithms=["ES256", "Ed25519"],
                    token_formats=["jwt", "opaque"],
                    introspection=IntrospectionClient(
                        endpoint=f"{ISSUER}/introspect",
                        client_id="gate",
                        client_secret_env="SECRET_OF_THE_GATE",
                    ),
                )
            ]
        ),
        tls=Tls(cert_file="server.pem", key_file="server.key", client_ca_file="clients.pem"),
        dpop=Dpop(require_nonce=True),
        limits=Limits(body_bytes=2048, header_bytes=4096),
        routes={
            "docs": Route(
                scopes=["docs:read"],
                tools={"search_docs": None, "drop_docs": Rule(scopes=["docs:admin", "docs:write"])},
                clients=RouteClients(allowed_ips=["127.0.0.0/16"]),
                origins=["https://inspector.example.com"],
                public_paths=["/healthz"],
                prompts=["greet"],
                resources=["docs:///{+path}"],
                tasks=True,
            ),
            "closed": Route(tools=["search_docs"], claims={"team": ["support"]}),
            "proved": Route(tools=["search_docs"], proof="dpop"),
            "certified": Route(tools=["search_docs"], proof="mtls"),
            "users": Route(tools=["search_docs"], require_user=True),
            "exchanged": Route(
                tools=["search_docs"],
                credentials=Credentials(
                    token_exchange=TokenRequest(
                        token_endpoint=f"{ISSUER}/token",
                        client_id="gate",
                        client_secret_env="SECRET_OF_THE_GATE",
                    )
                ),
            ),
        },
    )
    return protect(
        app,
        policy,
        audit=sink,
        fetch=(issuing or Issuing()).fetch,
        keys_of=lambda issuer: keys or OtherKeys(),
        sealer=SEALER,
        clock=lambda: float(NOW),
    )


async def _send(app: ASGIApp, request: Request) -> Reply:
    scope = {**http_scope(headers=request.headers, **request.scope), "extensions": request.extensions}
    return await call(app, scope, request.body)


def _check(reply: Reply, expected: Plain | Rpc) -> None:
    assert reply.status == expected.status
    assert reply.header("content-type") == "application/json"
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("cache-control") == "no-store"
    request_id = reply.header("x-request-id") or ""
    assert re.fullmatch("[0-9a-f]{16}", request_id)
    if isinstance(expected, Plain):
        assert reply.json() == expected.body
        for name in ("allow", "connection", "dpop-nonce", "www-authenticate"):
            assert reply.header(name) == expected.headers.get(name)
    else:
        error = {
            "code": expected.code,
            "message": expected.message,
            "data": {**expected.told, "requestId": request_id},
        }
        assert reply.json() == {"jsonrpc": "2.0", "id": expected.message_id, "error": error}
        assert reply.header("www-authenticate") is None


@pytest.mark.parametrize(
    ("request_", "expected", "reason"), [pytest.param(*row, id=name) for name, *row in REFUSALS]
)
@pytest.mark.anyio
async def test_each_refusal_is_answered_by_the_table_reaches_nothing_and_is_recorded_once(
    request_: Request, expected: Plain | Rpc, reason: Reason
) -> None:
    spy, records = Spy(), Records()

    reply = await _send(_gate(spy, records), request_)

    _check(reply, expected)
    assert spy.scopes == []
    assert [("deny", reason)] == records.verdicts
    assert reply.header("x-request-id") == records.all[0]["request_id"]
    assert reason.value not in reply.body.decode()
    assert "canary" not in f"{reply!r} {records.all!r}"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(_proved(Proof()), id="with a proof"),
        pytest.param(_over_tls(CLIENT.pem), id="with a certificate"),
        pytest.param(
            _call("users", f"Bearer {Token(claims={'aud': _resource('users')}).mint(NOW)}"), id="of a person"
        ),
    ],
)
@pytest.mark.anyio
async def test_what_the_table_refuses_of_other_routes_would_otherwise_pass(request_: Request) -> None:
    spy, records = Spy(), Records()

    reply = await _send(_gate(spy, records), request_)

    assert (reply.status, len(spy.scopes), records.verdicts) == (200, 1, [("allow", None)])


@pytest.mark.anyio
async def test_a_proof_that_was_seen_before_is_answered_like_a_bad_one() -> None:
    spy, records = Spy(), Records()
    gate, request = _gate(spy, records), _proved(Proof())
    await _send(gate, request)

    reply = await _send(gate, request)

    _check(reply, _dpop("invalid_dpop_proof"))
    assert records.verdicts[1:] == [("deny", Reason.PROOF_REPLAYED)]
    assert len(spy.scopes) == 1


@pytest.mark.anyio
async def test_while_an_issuer_cannot_be_asked_nobody_is_refused_for_good() -> None:
    spy, records = Spy(), Records()
    opaque = _mcp(legacy, "tools/call", None, ("authorization", "Bearer opaque"), token=None)

    reply = await _send(_gate(spy, records, issuing=Issuing(is_down=True)), opaque)

    _check(reply, _error(503, "unavailable"))
    assert records.verdicts == [("broken", Reason.ISSUER_UNAVAILABLE)]
    assert spy.scopes == []


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_while_no_token_for_the_application_can_be_had_an_mcp_client_is_told_to_come_back(
    era: Any,
) -> None:
    spy, records = Spy(), Records()

    reply = await _send(_gate(spy, records, issuing=Issuing(is_down=True)), _exchanged(era))

    _check(reply, Rpc(503, -32603, "Temporarily unavailable"))
    assert records.verdicts == [("broken", Reason.CREDENTIAL_UNAVAILABLE)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_while_nobody_can_tell_which_proofs_are_new_nobody_is_refused_for_good() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.proof_algorithms = ("ES256",)
        await refuse(Broken(Reason.REPLAY_WINDOW_FULL, "200000 proofs"), exchange, send)

    records = Records()
    reply = await call(AuditLog(application, sink=records), http_scope())

    _check(reply, _error(503, "unavailable"))
    assert records.verdicts == [("broken", Reason.REPLAY_WINDOW_FULL)]


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_what_the_table_refuses_would_otherwise_pass(era: Any) -> None:
    spy, records = Spy(), Records()

    reply = await _send(_gate(spy, records), _mcp(era))

    assert (reply.status, len(spy.scopes)) == (200, 1)
    assert records.verdicts == [("allow", None)]


class NoKeys:
    """An issuer whose keys cannot be had."""

    async def find(self, key_id: str) -> VerificationKey | None:
        raise KeysUnavailable("no keys from https://login.example.com/keys")


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_while_the_keys_cannot_be_had_nobody_is_refused_for_good(era: Any) -> None:
    spy, records = Spy(), Records()

    reply = await _send(_gate(spy, records, NoKeys()), _mcp(era))

    _check(reply, _error(503, "unavailable"))
    assert records.verdicts == [("broken", Reason.KEYS_UNAVAILABLE)]
    assert records.all[0]["detail"] == "no keys from https://login.example.com/keys"
    assert spy.scopes == []


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_while_nothing_can_be_written_down_an_mcp_client_is_told_so_in_its_protocol(era: Any) -> None:
    spy = Spy()

    reply = await _send(_gate(spy, FullDisk()), _mcp(era))

    _check(reply, Rpc(503, -32603, "Temporarily unavailable"))
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_body_that_ends_too_soon_is_refused() -> None:
    spy, records = Spy(), Records()
    incoming: list[Message] = [{"type": "http.request", "body": b'{"json', "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await _gate(spy, records)(http_scope(headers=_mcp(legacy).headers), receive, send)

    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"]) == {"error": "bad_request"}
    assert records.verdicts == [("deny", Reason.BODY_INCOMPLETE)]
    assert spy.scopes == []


@pytest.mark.anyio
async def test_a_websocket_is_closed_with_the_code_for_a_policy() -> None:
    spy, records = Spy(), Records()
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await _gate(spy, records)({**http_scope(), "type": "websocket"}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert records.verdicts == [("deny", Reason.WEBSOCKET_NOT_ALLOWED)]
    assert spy.scopes == []


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.anyio
async def test_an_answer_to_another_question_is_a_bad_gateway(era: Any) -> None:
    records = Records()

    reply = await _send(_gate(Spy(b'{"jsonrpc":"2.0","id":2,"result":{}}'), records), _mcp(era))

    _check(reply, Rpc(502, -32603, "The server's answer was not valid"))
    assert records.verdicts == [("allow", None)]


class Failing:
    """An application behind the gate that is not reached, or does not answer as it should."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = 6.2 if self.reason is Reason.UPSTREAM_FAILING else None
        raise UpstreamFailed(self.reason, "canary", retry_after=seconds)


FAILURES = [
    (Reason.UPSTREAM_NOT_ALLOWED, 502, "upstream_not_allowed", "The server may not be connected to"),
    (Reason.UPSTREAM_UNREACHABLE, 502, "upstream_unreachable", "The server cannot be reached"),
    (Reason.UPSTREAM_TIMEOUT, 504, "upstream_timeout", "The server did not answer in time"),
    (Reason.UPSTREAM_INTERRUPTED, 502, "upstream_interrupted", "The server's answer was cut off"),
    (Reason.UPSTREAM_FAILING, 503, "upstream_failing", "The server is not answering"),
    (Reason.UPSTREAM_BUSY, 503, "upstream_busy", "The server is busy"),
    (Reason.GATE_STOPPING, 503, "stopping", "The gate is stopping"),
    (Reason.POLICY_CHANGED, 503, "policy_changed", "The gate's policy has changed"),
    (Reason.CALL_CANCELLED, 200, "cancelled", "Cancelled"),
    (Reason.ANSWER_NOT_VALID, 502, "upstream_answer_not_valid", "The server's answer was not valid"),
]
RETRY_AFTER = {
    Reason.UPSTREAM_FAILING: "7",
    Reason.UPSTREAM_BUSY: "1",
    Reason.GATE_STOPPING: "1",
    Reason.POLICY_CHANGED: "1",
}


@pytest.mark.parametrize("era", [pytest.param(legacy, id="legacy"), pytest.param(modern, id="modern")])
@pytest.mark.parametrize(("reason", "status", "error", "message"), FAILURES, ids=[row[0] for row in FAILURES])
@pytest.mark.anyio
async def test_what_an_allowed_call_comes_to_is_answered_by_the_table(
    era: Any, reason: Reason, status: int, error: str, message: str
) -> None:
    records = Records()

    reply = await _send(_gate(Failing(reason), records), _mcp(era))

    assert ANSWERS[reason].error == error
    _check(reply, Rpc(status, -32603, message))
    assert reply.header("retry-after") == RETRY_AFTER.get(reason)
    assert records.verdicts == [("allow", None)]
    assert "canary" not in f"{reply!r} {records.all!r}"


@pytest.mark.parametrize(
    ("reason", "status", "error", "message"),
    [pytest.param(*row, id=row[0]) for row in FAILURES if row[0] is not Reason.CALL_CANCELLED],
)
@pytest.mark.anyio
async def test_what_an_open_path_comes_to_is_answered_by_the_table(
    reason: Reason, status: int, error: str, message: str
) -> None:
    records = Records()

    reply = await _send(_gate(Failing(reason), records), _plain(path="/healthz"))

    assert ANSWERS[reason].message == message
    _check(reply, _error(status, error))
    assert reply.header("retry-after") == RETRY_AFTER.get(reason)
    assert records.verdicts == [("allow", None)]
    assert "canary" not in f"{reply!r} {records.all!r}"


@pytest.mark.anyio
async def test_of_an_open_path_that_was_cancelled_there_is_nobody_to_answer() -> None:
    records, sent = Records(), list[Message]()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {**http_scope("GET", "/healthz"), "extensions": {}}
    await _gate(Failing(Reason.CALL_CANCELLED), records)(scope, receive, send)

    assert (sent, records.verdicts) == ([], [("allow", None)])


def test_every_reason_has_exactly_one_row() -> None:
    assert list(ANSWERS) == list(dict.fromkeys(ANSWERS))
    assert set(ANSWERS) == set(Reason)


def test_the_source_of_the_table_names_no_reason_twice() -> None:
    from tunnelgate import refusal  # noqa: PLC0415 - its source is read here, nothing else

    rows = re.findall(
        r"^    Reason\.([A-Z_]+): ", Path(refusal.__file__).read_text(encoding="utf-8"), re.MULTILINE
    )

    assert sorted(rows) == sorted(reason.name for reason in Reason)


@pytest.mark.anyio
async def test_what_is_only_read_is_answered_with_the_methods_that_read() -> None:
    records = Records()

    reply = await call(AuditLog(ReadOnly(Spy()), sink=records), http_scope("POST"), b"{}")

    assert (reply.status, reply.json()) == (405, {"error": "method_not_allowed"})
    assert reply.header("allow") == "GET, HEAD, OPTIONS"
    assert records.verdicts == [("deny", Reason.PATH_IS_READ_ONLY)]


def test_every_reason_is_reached_by_a_request_of_these_tests() -> None:
    in_the_table = {reason for _, _, _, reason in REFUSALS}
    beside_it = {
        Reason.PROOF_REPLAYED,
        Reason.KEYS_UNAVAILABLE,
        Reason.ISSUER_UNAVAILABLE,
        Reason.REPLAY_WINDOW_FULL,
        Reason.CREDENTIAL_UNAVAILABLE,
        Reason.AUDIT_UNAVAILABLE,
        Reason.BODY_INCOMPLETE,
        Reason.WEBSOCKET_NOT_ALLOWED,
        Reason.PATH_IS_READ_ONLY,
        Reason.ANSWER_TOO_LARGE,
        Reason.INTERNAL_ERROR,
        *(reason for reason, *_ in FAILURES),
    }

    assert in_the_table.isdisjoint(beside_it)
    assert in_the_table | beside_it == set(Reason)


ERAS = st.sampled_from([None, legacy, modern])


@given(
    verdict=st.builds(Deny, st.sampled_from(Reason), st.text(min_size=12), st.just({}))
    | st.builds(Broken, st.sampled_from(Reason), st.text(min_size=12)),
    era=ERAS,
)
def test_no_answer_tells_the_details_of_its_reason(verdict: Deny | Broken, era: Any) -> None:
    exchange = exchange_of(http_scope())
    if era is not None:
        headers, body = era("tools/call", {"name": "x"})
        exchange.message = read_message(body, {name.encode(): value.encode() for name, value in headers})
        exchange.message_id = exchange.message.id
        exchange.is_mcp = True
    silent = type(verdict)(verdict.reason)

    assert answer_to(verdict, exchange) == answer_to(silent, exchange)


@given(reason=st.sampled_from(Reason), era=ERAS)
def test_every_answer_is_an_error_names_its_request_and_is_json_rpc_only_for_mcp(
    reason: Reason, era: Any
) -> None:
    assume(era is not None or ANSWERS[reason].status >= 400)  # what answers 200 has always been read
    exchange = exchange_of(http_scope())
    exchange.is_mcp = era is not None

    status, headers, body = answer_to(Deny(reason), exchange)

    content = json.loads(body)
    assert (b"x-request-id", exchange.request_id.encode()) in headers
    if "jsonrpc" in content:
        assert era is not None
        assert content["error"]["data"]["requestId"] == exchange.request_id
    else:
        assert status >= 400
        assert set(content) == {"error"}


@pytest.mark.parametrize(
    ("required", "metadata", "verdict", "challenge"),
    [
        pytest.param((), None, Deny(Reason.TOKEN_MISSING), "Bearer", id="nothing to tell"),
        pytest.param(
            ("a", "b"), None, Deny(Reason.TOKEN_MISSING), 'Bearer scope="a b"', id="the scopes of the route"
        ),
        pytest.param(
            (),
            "https://x/.well-known/y",
            Deny(Reason.TOKEN_MISSING),
            'Bearer resource_metadata="https://x/.well-known/y"',
            id="where the metadata are",
        ),
        pytest.param((), None, Deny(Reason.TOKEN_EXPIRED), 'Bearer error="invalid_token"', id="a bad token"),
        pytest.param(
            ("a",),
            None,
            NeedsScopes(("a", "b")),
            'Bearer error="insufficient_scope", scope="a b"',
            id="the scopes of the operation in place of the route's",
        ),
    ],
)
def test_a_challenge_has_only_the_parameters_that_are_known(
    required: tuple[str, ...], metadata: str | None, verdict: Deny | NeedsScopes, challenge: str
) -> None:
    exchange = exchange_of(http_scope())
    exchange.required_scopes = required
    exchange.resource_metadata = metadata

    _, headers, _ = answer_to(verdict, exchange)

    assert dict(headers)[b"www-authenticate"].decode() == challenge


@pytest.mark.parametrize(
    ("reason", "challenge"),
    [
        pytest.param(Reason.TOKEN_MISSING, 'DPoP algs="ES256 RS256"', id="no token"),
        pytest.param(
            Reason.TOKEN_EXPIRED, 'DPoP error="invalid_token", algs="ES256 RS256"', id="a bad token"
        ),
        pytest.param(
            Reason.PROOF_WRONG, 'DPoP error="invalid_dpop_proof", algs="ES256 RS256"', id="a bad proof"
        ),
        pytest.param(
            Reason.PROOF_NONCE_WRONG, 'DPoP error="use_dpop_nonce", algs="ES256 RS256"', id="a bad nonce"
        ),
        pytest.param(
            Reason.USER_REQUIRED, 'DPoP error="insufficient_scope", algs="ES256 RS256"', id="nobody's token"
        ),
    ],
)
def test_where_proofs_are_asked_for_the_challenge_says_so_and_how_they_may_be_signed(
    reason: Reason, challenge: str
) -> None:
    exchange = exchange_of(http_scope())
    exchange.proof_algorithms = ("ES256", "RS256")

    _, headers, _ = answer_to(Deny(reason), exchange)

    assert dict(headers)[b"www-authenticate"].decode() == challenge


# RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1
CHALLENGE = re.compile(r'(Bearer|DPoP)(?: [a-z_]+="[\x20-\x21\x23-\x5b\x5d-\x7e]+"(?:, [a-z_]+="[^"\\]+")*)?')
ERRORS_OF_TOKENS = {"", "invalid_token", "insufficient_scope", "invalid_dpop_proof", "use_dpop_nonce"}


@given(
    reason=st.sampled_from(Reason),
    algorithms=st.sampled_from([(), ("ES256",), ("ES256", "RS256")]),
    scopes=st.sampled_from([(), ("docs:read",), ("docs:read", "docs:write")]),
    nonce=st.none() | st.text("AZaz09-_", min_size=1),
    era=ERAS,
)
def test_every_answer_has_at_most_one_challenge_and_one_nonce_and_says_one_thing(
    reason: Reason, algorithms: tuple[str, ...], scopes: tuple[str, ...], nonce: str | None, era: Any
) -> None:
    exchange = exchange_of(http_scope())
    exchange.proof_algorithms, exchange.required_scopes, exchange.dpop_nonce = algorithms, scopes, nonce
    exchange.is_mcp = era is not None

    status, headers, body = answer_to(Deny(reason), exchange)

    challenges = [value.decode("ascii") for name, value in headers if name == b"www-authenticate"]
    assert [value.decode() for name, value in headers if name == b"dpop-nonce"] == [nonce] * bool(nonce)
    assert len(challenges) == (ANSWERS[reason].challenge is not None)
    assert bool(challenges) >= (status == 401)
    for challenge in challenges:
        match = CHALLENGE.fullmatch(challenge)
        assert match is not None
        assert match[1] == ("DPoP" if algorithms else "Bearer")
        assert ("algs=" in challenge) is bool(algorithms)
        error = re.search(r'error="([a-z_]+)"', challenge)
        word = error[1] if error else ""
        assert word in ERRORS_OF_TOKENS
        assert algorithms or word != "invalid_dpop_proof"
        assert json.loads(body)["error"] == (word or "token_required")


@pytest.mark.parametrize("message_id", ["a", 7, 0, "", None])
def test_an_error_message_in_a_stream_names_the_request_and_the_message_that_it_answers(
    message_id: str | int | None,
) -> None:
    exchange = exchange_of(http_scope())
    exchange.message_id = "of the request, which may go on with the stream of another"

    assert error_message(Reason.ANSWER_NOT_VALID, exchange, message_id) == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32603,
            "message": "The server's answer was not valid",
            "data": {"requestId": exchange.request_id},
        },
    }


@pytest.mark.parametrize("message_id", ["a", 7, None])
def test_a_refusal_of_the_server_is_told_in_an_error_that_names_the_request_and_the_message(
    message_id: str | int | None,
) -> None:
    exchange = exchange_of(http_scope())
    exchange.message_id = message_id

    assert relayed_refusal(exchange) == {
        "jsonrpc": "2.0",
        "id": message_id,
        "error": {
            "code": -32600,
            "message": "The server refused the request",
            "data": {"requestId": exchange.request_id},
        },
    }


def test_a_refusal_of_the_server_makes_no_client_believe_that_it_speaks_the_modern_era() -> None:
    # A client that speaks both eras goes on to initialize unless it finds one of these in a 400 or 404.
    modern_codes = {-32020, -32021, -32022, -32601, -32602}

    assert relayed_refusal(exchange_of(http_scope()))["error"]["code"] not in modern_codes


@pytest.mark.anyio
async def test_a_refusal_that_cannot_be_written_down_becomes_unavailable() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(Deny(Reason.CLIENT_NOT_ALLOWED), exchange_of(scope), send)

    reply = await call(AuditLog(application, sink=FullDisk()), http_scope())

    _check(reply, _error(503, "unavailable"))


class FullOnce(Records):
    """A sink that cannot take its first record and takes the next."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, record: Mapping[str, Any]) -> None:
        if self.is_full:
            self.is_full = False
            raise AuditUnavailable("audit.jsonl: No space left on device")
        super().write(record)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(_plain(("host", "evil.example")), id="before the request was read"),
        pytest.param(_mcp(legacy, params={"name": "delete_everything"}), id="as MCP"),
    ],
)
@pytest.mark.anyio
async def test_a_refusal_that_could_not_be_written_down_is_never_recorded_as_allowed(
    request_: Request,
) -> None:
    spy, records = Spy(), FullOnce()

    reply = await _send(_gate(spy, records), request_)

    assert reply.status == 503
    assert "allow" not in [verdict for verdict, _ in records.verdicts]
    assert spy.scopes == []


@pytest.mark.parametrize(
    ("sink", "admitted", "status"),
    [pytest.param(Records(), True, 200, id="a sink"), pytest.param(FullDisk(), False, 503, id="a full disk")],
)
@pytest.mark.anyio
async def test_a_request_is_admitted_when_that_could_be_written_down_and_answered_when_not(
    sink: AuditSink,
    admitted: bool,  # noqa: FBT001
    status: int,
) -> None:
    said: list[bool] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        said.append(await admit(exchange_of(scope), send))
        if said[0]:
            await Spy()(scope, receive, send)

    reply = await call(AuditLog(application, sink=sink), http_scope())

    assert (said, reply.status) == ([admitted], status)
