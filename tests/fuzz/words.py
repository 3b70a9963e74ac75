"""Words that a fuzzer would take long to find by itself, as a libFuzzer dictionary."""

import string

_PLAIN = frozenset(string.ascii_letters + string.digits + string.punctuation + " ") - frozenset('"\\')

WORDS = (
    # JSON
    *('"', "\\", '\\"', "\\\\", "\\/", "\\u0000", "\\u006e", "\\ud83d\\ude00", "\\ud800", "\\uDC00", "{}"),
    *("[]", "[[", "]]", '{"', '":', '":{', '":[', '","', "null", "true", "false", "NaN", "Infinity", "-0"),
    *("-0.0", "1e400", "1E2", "0.1", "9007199254740991", "9007199254740993", "-9007199254740992"),
    *("\ufeff", "\u2028", "\u00a0", "\u017f", "\u212a", "\u0130", "\ufb01"),  # the last four fold to ASCII
    # JSON-RPC and MCP
    *('"jsonrpc":"2.0"', '"id":', '"Id":', '"method":', '"params":', '"result":', '"error":', '"name":'),
    *('"Name":', '"NAME":', '"uri":', '"arguments":', '"_meta":', '"tools":', '"Tools":', '"cursor":'),
    *('"requestId":', '"progressToken":', '"inputResponses":', '"requestState":', '"ref":', '"task":'),
    *("tools/call", "tools/list", "prompts/get", "prompts/list", "resources/read", "resources/list"),
    *("resources/subscribe", "completion/complete", "logging/setLevel", "initialize", "ping", "tasks/get"),
    *("server/discover", "subscriptions/listen", "notifications/initialized", "notifications/cancelled"),
    *("io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"),
    *("2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "=?base64?", "?="),
    # event streams
    *("data", "data:", "data: ", "event:", "id:", "retry:", ": ", "\r\n", "\r\r", "\n\n", "\r\n\r\n"),
    # hosts and addresses
    *(
        "[::1]",
        "::ffff:",
        "::",
        "%eth0",
        ":443",
        "127.0.0.1",
        "0x7f",
        "/8",
        "/0",
        "/128",
        "xn--",
        "localhost",
    ),
    # media types and tokens
    *("application/json", "text/event-stream", "; charset=", 'charset="utf-8"', "charset*0=", "utf-8"),
    *("Bearer ", "eyJ", '"alg":"RS256"', '"typ":"at+jwt"', '"kid":', '"iss":', '"crit":', '"jku":', "=="),
    # header fields
    *("host: ", "mcp_name: ", "mcp-method: ", "content-type: ", "transfer-encoding: ", "connection: "),
    # answers of servers
    *(
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 ",
        "HTTP/1.1 100 \r\n\r\n",
        "HTTP/1.1 204 ",
        "content-length: ",
        "chunked",
    ),
    *("0\r\n\r\n", "2\r\nhi\r\n", "connection: close\r\n", "keep-alive"),
    # URI templates
    *("{+path}", "{id}", "{?q}", "{/a*}", "{#x}", "{", "}", "%2F", "%2e%2e", "../", "docs:///", "file:///"),
)


def dictionary() -> str:
    """Return the words in libFuzzer's format."""
    return "".join(f'"{_escaped(word)}"\n' for word in WORDS)


def _escaped(word: str) -> str:
    octets = word.encode("utf-8", "surrogatepass")
    return "".join(chr(octet) if chr(octet) in _PLAIN else f"\\x{octet:02x}" for octet in octets)
