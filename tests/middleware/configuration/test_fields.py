from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate.configuration import fields
from tunnelgate.reading.methods import (
    CLIENT_METHODS,
    MAX_NAME,
    MAX_URI,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
)

Check = Callable[[str], object]


@pytest.mark.parametrize("value", [["x"], ("x",), {"x": 1}, "x"])
def test_what_holds_something_is_not_empty(value: Sized) -> None:
    assert fields.not_empty(value) is value


@pytest.mark.promise("closed-by-default")
@pytest.mark.parametrize("value", [list[str](), (), dict[str, str](), ""])
def test_an_empty_list_is_taken_for_a_mistake(value: Sized) -> None:
    with pytest.raises(ValueError, match="is empty, which would allow nothing"):
        fields.not_empty(value)


@pytest.mark.parametrize(
    ("check", "value", "used"),
    [
        pytest.param(fields.hostname, "docs.example.com", "docs.example.com", id="a hostname"),
        pytest.param(fields.hostname, "Docs.EXAMPLE.com", "docs.example.com", id="a hostname in capitals"),
        pytest.param(fields.hostname, "docs", "docs", id="a single label"),
        pytest.param(fields.hostname, "a" * 63, "a" * 63, id="the longest label"),
        pytest.param(fields.hostname, ".".join(["a" * 49] * 5)[:253], "", id="a long hostname"),
        pytest.param(fields.network, "10.0.0.0/8", "10.0.0.0/8", id="a network"),
        pytest.param(fields.network, "192.0.2.7", "192.0.2.7", id="an address"),
        pytest.param(fields.network, "::1", "::1", id="an IPv6 address"),
        pytest.param(fields.network, "0.0.0.0/0", "0.0.0.0/0", id="every IPv4 address, if it is meant"),
        pytest.param(fields.network, "::/0", "::/0", id="every IPv6 address, if it is meant"),
        pytest.param(fields.metadata_network, "169.254.169.254", "", id="a metadata service"),
        pytest.param(fields.metadata_network, "fe80::/10", "fe80::/10", id="a link-local network"),
        pytest.param(fields.wrapped_network, "64:ff9b::/96", "", id="the prefix of a translator"),
        pytest.param(fields.wrapped_network, "64:ff9b:1:2:3:4::/96", "", id="a local one"),
        pytest.param(fields.wrapped_network, "2002::/16", "2002::/16", id="6to4"),
        pytest.param(fields.scope, "docs:read", "docs:read", id="a scope"),
        pytest.param(fields.scope, "!", "!", id="the first character of a scope"),
        pytest.param(fields.scope, "~", "~", id="the last character of a scope"),
        pytest.param(fields.name, "search_docs", "search_docs", id="a tool"),
        pytest.param(fields.name, "a" * MAX_NAME, "a" * MAX_NAME, id="the longest name"),
        pytest.param(fields.name, "search docs/ä", "search docs/ä", id="a name with a space and a slash"),
        pytest.param(fields.resource, "docs:///guide.md", "", id="a resource"),
        pytest.param(fields.resource, "d:" + "a" * (MAX_URI - 2), "", id="the longest URI"),
        pytest.param(fields.resource, "docs:///what?really", "", id="a resource with a query"),
        pytest.param(fields.resource, "docs:///{+path}", "", id="a template of many segments"),
        pytest.param(fields.resource, "test://template/{id}/data", "", id="a template of one segment"),
        pytest.param(fields.resource, "docs:/{/id}", "", id="a template of one segment and its slash"),
        pytest.param(fields.resource, "docs:///list{?page,size}", "", id="a template with a query"),
        pytest.param(fields.resource, "docs:{+p}" + "a" * (MAX_URI - 9), "", id="the longest template"),
        pytest.param(fields.method, "acme/search", "acme/search", id="a method of somebody's own"),
        pytest.param(fields.method, "notifications/acme", "", id="a notification of somebody's own"),
        pytest.param(
            fields.method, "tools/lists", "tools/lists", id="a method that is nearly the protocol's"
        ),
        pytest.param(fields.url_path, "/mcp", "/mcp", id="a path"),
        pytest.param(fields.url_path, "/v1/m-c.p_~/x", "/v1/m-c.p_~/x", id="a path with segments"),
        pytest.param(fields.url_path, "/...", "/...", id="three dots are a name"),
        pytest.param(fields.url, "https://login.example.com/", "", id="an issuer"),
        pytest.param(
            fields.url, "http://127.0.0.1:8081/realms/a", "", id="an address with a port and a path"
        ),
        pytest.param(fields.url, "https://[::1]:65535/mcp", "", id="the last port"),
        pytest.param(fields.url, "https://login.example.com:1", "", id="the first port"),
        pytest.param(fields.endpoint_url, "https://login.example.com/token", "", id="an endpoint"),
        pytest.param(
            fields.endpoint_url, "https://login.example.com/keys?p=b2c_1", "", id="an endpoint with a query"
        ),
        pytest.param(fields.variable, "WIKI_SECRET", "WIKI_SECRET", id="a variable"),
        pytest.param(fields.variable, "_s3cret", "_s3cret", id="a variable in small letters"),
        pytest.param(fields.token_type, "at+jwt", "at+jwt", id="a type of tokens"),
        pytest.param(fields.token_type, "JWT", "JWT", id="the type of all JWTs"),
        pytest.param(fields.token_type, "application/at+jwt", "", id="a type of tokens in full"),
        pytest.param(fields.token_type, "a" * 127, "a" * 127, id="the longest type of tokens"),
        pytest.param(fields.token_type, "vnd.acme-at_1!#$&^+jwt", "", id="a type with all that one may have"),
        pytest.param(fields.origin, "https://inspector.example.com", "", id="an origin"),
        pytest.param(fields.origin, "http://localhost:6274", "", id="an origin with a port"),
        pytest.param(fields.forwarded_header, "X-Tenant", "x-tenant", id="a header"),
        pytest.param(fields.algorithm, "ES256", "ES256", id="an algorithm"),
        pytest.param(fields.algorithm, "Ed25519", "Ed25519", id="another algorithm"),
        *(
            pytest.param(fields.algorithm, name, name, id=f"{name}, which must be asked for")
            for name in ("ES384", "ES512", "EdDSA", "PS384", "PS512", "RS384", "RS512")
        ),
        pytest.param(fields.factory, "shop.servers.docs:create_app", "", id="a factory"),
        pytest.param(fields.factory, "_a1:_b2", "_a1:_b2", id="a factory with odd names"),
        pytest.param(fields.listen_address, "127.0.0.1:8080", "", id="an address to listen on"),
        pytest.param(fields.listen_address, ":8080", ":8080", id="every address"),
        pytest.param(fields.listen_address, "[::1]:8080", "[::1]:8080", id="an IPv6 address to listen on"),
        pytest.param(fields.listen_address, "localhost:65535", "", id="the last port to listen on"),
        pytest.param(fields.listen_address, "localhost:0", "localhost:0", id="whichever port is free"),
        pytest.param(fields.listen_address, "unix:/run/gate.sock", "", id="a Unix socket"),
        pytest.param(fields.listen_address, "unix:/run/a gate.sock", "", id="a Unix socket with a space"),
        pytest.param(fields.upstream_url, "http://wiki.internal:9000", "", id="an upstream"),
        pytest.param(fields.upstream_url, "https://wiki.internal:9443", "", id="an upstream over TLS"),
        pytest.param(fields.upstream_url, "http://wiki:2", "", id="the first port of an upstream"),
        pytest.param(fields.upstream_url, "http://wiki:65535", "", id="the last port of an upstream"),
        pytest.param(fields.upstream_url, "http://Wiki.Internal:80", "", id="an upstream in capitals"),
        pytest.param(fields.upstream_url, "http://wiki.internal.:80", "", id="an absolute name"),
        pytest.param(fields.upstream_url, "http://_wiki.my_net:80", "", id="a name with underscores"),
        pytest.param(fields.upstream_url, "http://w-i--k.i:80", "", id="a name with dashes"),
        pytest.param(fields.upstream_url, "http://10.0.12.7:9000", "", id="an upstream by its address"),
        pytest.param(fields.upstream_url, "http://10.7:9000", "", id="a short address, judged when dialled"),
        pytest.param(fields.upstream_url, "http://[fd00::1]:9000", "", id="an upstream by its IPv6 address"),
        pytest.param(
            fields.upstream_url, f"http://{'a' * 63}.b:80", "", id="the longest label of an upstream"
        ),
        pytest.param(
            fields.upstream_url, f"http://{'a.' * 126}a:80", "", id="the longest name of an upstream"
        ),
    ],
)
def test_a_good_value_is_used(check: Check, value: str, used: str) -> None:
    assert check(value) == (used or value)


HOSTNAME = "is not a hostname"
SCOPE = "is not one scope"
NAME = f"is not a name of 1 to {MAX_NAME} characters"
ONE_BY_ONE = "is a pattern; list the names one by one"
URI = f"is not a URI of 1 to {MAX_URI} characters"
URI_PATTERN = r"is a pattern; write a URI template such as docs:///{\+path}"
EXPRESSION = r"has an expression that is none of {a}, {\+a}, {/a}, {/a\*} and {\?a,b}"
METHODS = "is a pattern; list the methods one by one"
PROTOCOL = "is a method of the protocol, which other settings decide about"
PATH = "is not a path such as /mcp"
URL = "is not a URL such as"
MORE = "has a query, a fragment or a user"
ORIGIN = "is not an origin"
HEADER = "is not the name of a header"
FACTORY = "is not module:function"
VARIABLE = "is not the name of an environment variable"
TYPE = r"is not a media type such as at\+jwt"
LISTEN = "is not address:port"
SOCKET = "is not unix: and an absolute path, such as unix:/run/tunnelgate/gate.sock"
UPSTREAM = r"^invalid upstream \(must be scheme://host:port\)$"
NO_HOST = "^has no hostname or address between :// and the port$"
NO_IPV6 = "^has no IPv6 address in its brackets$"


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        pytest.param(fields.hostname, "", HOSTNAME, id="an empty hostname"),
        pytest.param(fields.hostname, "docs.example.com:443", "names a port", id="a hostname with a port"),
        pytest.param(fields.hostname, "*.example.com", HOSTNAME, id="a wildcard"),
        pytest.param(fields.hostname, "dócs.example.com", HOSTNAME, id="a hostname in Unicode"),
        pytest.param(fields.hostname, "docs.example.com.", HOSTNAME, id="a hostname with a dot at the end"),
        pytest.param(fields.hostname, "docs.example.com\n", HOSTNAME, id="a hostname with a newline"),
        pytest.param(fields.hostname, "https://docs.example.com", HOSTNAME, id="a URL for a hostname"),
        pytest.param(fields.hostname, "a" * 64, HOSTNAME, id="a label too long"),
        pytest.param(fields.hostname, ".".join(["a" * 63] * 4), HOSTNAME, id="a hostname too long"),
        pytest.param(fields.network, "10.0.0.1/8", "the network is 10.0.0.0/8", id="host bits"),
        pytest.param(fields.network, "fe80::1%eth0", "has a zone", id="a network with a zone"),
        pytest.param(fields.network, "::ffff:10.0.0.0/104", "in IPv6 form", id="mapped addresses"),
        pytest.param(fields.network, "localhost", "is not a network", id="a name for a network"),
        pytest.param(fields.network, "", "is not a network", id="an empty network"),
        pytest.param(fields.network, "10.0.0.0/33", "is not a network", id="a prefix too long"),
        pytest.param(fields.metadata_network, "10.0.0.1", "it need not be named", id="no metadata service"),
        pytest.param(fields.metadata_network, "::/0", "allows every address", id="every metadata service"),
        pytest.param(fields.metadata_network, "x", "is not a network", id="a name for a metadata service"),
        pytest.param(fields.wrapped_network, "10.0.0.0/8", "does not carry", id="IPv4 in nothing"),
        pytest.param(fields.wrapped_network, "::/0", "allows every address", id="everything that wraps"),
        pytest.param(fields.wrapped_network, "x", "is not a network", id="a name for a translator"),
        pytest.param(fields.scope, "", SCOPE, id="an empty scope"),
        pytest.param(fields.scope, "docs read", SCOPE, id="two scopes in one"),
        pytest.param(fields.scope, 'docs"read', SCOPE, id="a quote in a scope"),
        pytest.param(fields.scope, "docs\\read", SCOPE, id="a backslash in a scope"),
        pytest.param(fields.scope, "docs\x7f", SCOPE, id="a control character in a scope"),
        pytest.param(fields.scope, "dócs", SCOPE, id="a scope in Unicode"),
        pytest.param(fields.scope, "docs\n", SCOPE, id="a scope with a newline"),
        pytest.param(fields.name, "", NAME, id="a tool without a name"),
        pytest.param(fields.name, "a" * (MAX_NAME + 1), NAME, id="a name too long"),
        pytest.param(fields.name, "*", ONE_BY_ONE, id="every name"),
        pytest.param(fields.name, "search_*", ONE_BY_ONE, id="a pattern"),
        pytest.param(fields.name, "read_doc?", ONE_BY_ONE, id="a pattern of one character"),
        pytest.param(fields.name, "[rw]_doc", ONE_BY_ONE, id="a pattern of alternatives"),
        pytest.param(fields.resource, "", URI, id="an empty URI"),
        pytest.param(fields.resource, "d:" + "a" * (MAX_URI - 1), URI, id="a URI too long"),
        pytest.param(fields.resource, "docs:{+p}" + "a" * (MAX_URI - 8), URI, id="a template too long"),
        pytest.param(fields.resource, "*", URI_PATTERN, id="every URI"),
        pytest.param(fields.resource, "docs:///*.md", URI_PATTERN, id="a pattern of URIs"),
        pytest.param(
            fields.resource, "{+uri}", "does not begin with a scheme", id="a template for every URI"
        ),
        pytest.param(
            fields.resource, "Docs:///{a}", "does not begin with a scheme", id="a scheme in capitals"
        ),
        pytest.param(fields.resource, "docs:///{a}-{b}", "two expressions in one segment", id="two in one"),
        pytest.param(fields.resource, "docs:///{a,b}", "two expressions in one segment", id="two joined"),
        pytest.param(
            fields.resource, "docs:///{+a}/{+b}", r"has {\+a} or {/a\*} twice", id="two of many segments"
        ),
        pytest.param(
            fields.resource,
            "docs:///{+a}{/b*}",
            r"has two expressions in one segment|has {\+a} or {/a\*} twice",
            id="two of many segments, written in two ways",
        ),
        pytest.param(
            fields.resource,
            "https://{host}/a",
            "has an expression where the host stands",
            id="any host of a network",
        ),
        pytest.param(fields.resource, "docs:///{a*}", EXPRESSION, id="an exploded template"),
        pytest.param(fields.resource, "docs:///{a:3}", EXPRESSION, id="a shortened template"),
        pytest.param(fields.resource, "docs:///{#a}", EXPRESSION, id="a fragment in a template"),
        pytest.param(fields.resource, "docs:///{.a}", EXPRESSION, id="a label in a template"),
        pytest.param(fields.resource, "docs:///{;a}", EXPRESSION, id="a parameter in a template"),
        pytest.param(fields.resource, "docs:///x{&a}", EXPRESSION, id="more of a query in a template"),
        pytest.param(fields.resource, "docs:///{}", EXPRESSION, id="an expression without a variable"),
        pytest.param(fields.resource, "docs:///{a", EXPRESSION, id="an expression without an end"),
        pytest.param(fields.resource, "docs:///a}", EXPRESSION, id="an expression without a beginning"),
        pytest.param(fields.resource, "docs:///ä/{a}", "has a character that no URI has", id="Unicode"),
        pytest.param(fields.method, "", METHODS, id="an empty method"),
        pytest.param(fields.method, "*", METHODS, id="every method"),
        pytest.param(fields.method, "acme/*", METHODS, id="a pattern of methods"),
        pytest.param(fields.method, "acme/?", METHODS, id="a pattern of one more character"),
        pytest.param(fields.method, "acme/[ab]", METHODS, id="a pattern of methods with alternatives"),
        pytest.param(fields.url_path, "", PATH, id="an empty path"),
        pytest.param(fields.url_path, "/", PATH, id="the root"),
        pytest.param(fields.url_path, "mcp", PATH, id="a relative path"),
        pytest.param(fields.url_path, "/mcp/", PATH, id="a path with a slash at the end"),
        pytest.param(fields.url_path, "/a//b", PATH, id="an empty segment"),
        pytest.param(fields.url_path, "/a/../b", PATH, id="a way up"),
        pytest.param(fields.url_path, "/a/./b", PATH, id="a way nowhere"),
        pytest.param(fields.url_path, "/..", PATH, id="a way up at the end"),
        pytest.param(fields.url_path, "/m%63p", PATH, id="another spelling"),
        pytest.param(fields.url_path, "/mcp?x", PATH, id="a path with a query"),
        pytest.param(fields.url_path, "/mcp;x", PATH, id="a path with a parameter"),
        pytest.param(fields.url_path, "/mcp\n", PATH, id="a path with a newline"),
        pytest.param(fields.url, "", URL, id="an empty URL"),
        pytest.param(fields.url, "login.example.com", URL, id="no scheme"),
        pytest.param(fields.url, "//login.example.com", URL, id="no scheme but slashes"),
        pytest.param(fields.url, "https:///path", URL, id="no host"),
        pytest.param(fields.url, "https://", URL, id="nothing but a scheme"),
        pytest.param(fields.url, "ftp://login.example.com", URL, id="another scheme"),
        pytest.param(fields.url, "https://a.example/a b", URL, id="a space"),
        pytest.param(fields.url, 'https://a.example/"', URL, id="a quote"),
        pytest.param(fields.url, "https://a.example\\@b.example", URL, id="a backslash"),
        pytest.param(fields.url, "https://a.example/é", URL, id="a URL in Unicode"),
        pytest.param(fields.url, "https://a.example/\r\nx: y", URL, id="two lines"),
        pytest.param(fields.url, "https://[::1", URL, id="half an IPv6 address"),
        pytest.param(fields.url, "https://[zz]/", URL, id="no IPv6 address"),
        pytest.param(fields.url, "https://a.example/?a=b", MORE, id="a query"),
        pytest.param(fields.url, "https://a.example/#a", MORE, id="a fragment"),
        pytest.param(fields.url, "https://user@a.example/", MORE, id="a user"),
        pytest.param(fields.url, "https://user:word@a.example/", MORE, id="a user and a password"),
        pytest.param(fields.url, "https://a.example/?", MORE, id="an empty query"),
        pytest.param(fields.url, "https://a.example/#", MORE, id="an empty fragment"),
        pytest.param(fields.url, "https://@a.example/", MORE, id="an empty user"),
        pytest.param(fields.url, "https://:@a.example/", MORE, id="an empty user and an empty password"),
        pytest.param(fields.url, "https://a.example:65536/", URL, id="a port too large"),
        pytest.param(fields.url, "https://a.example:x/", URL, id="a port that is no number"),
        pytest.param(fields.url, "https://a.example:/", URL, id="an empty port"),
        pytest.param(fields.endpoint_url, "", URL, id="an empty endpoint"),
        pytest.param(fields.endpoint_url, "/token", URL, id="an endpoint without a host"),
        pytest.param(fields.endpoint_url, "ftp://a.example/token", URL, id="an endpoint of another scheme"),
        pytest.param(fields.endpoint_url, "https://a.example/a b?c", URL, id="a space in an endpoint"),
        pytest.param(fields.endpoint_url, "https://a.example:0/token", URL, id="an endpoint without a port"),
        pytest.param(
            fields.endpoint_url, "https://a.example/token?a#b", MORE, id="an endpoint with a fragment"
        ),
        pytest.param(
            fields.endpoint_url, "https://user:word@a.example/token", MORE, id="an endpoint with a password"
        ),
        pytest.param(fields.variable, "", VARIABLE, id="a variable without a name"),
        pytest.param(fields.variable, "1SECRET", VARIABLE, id="a variable that begins with a digit"),
        pytest.param(fields.variable, "WIKI-SECRET", VARIABLE, id="a variable with a dash"),
        pytest.param(fields.variable, "$SECRET", VARIABLE, id="a variable as shells write it"),
        pytest.param(fields.variable, "${SECRET}", VARIABLE, id="a variable as compose writes it"),
        pytest.param(fields.variable, "A=B", VARIABLE, id="a variable and its value"),
        pytest.param(fields.variable, "SECRET\n", VARIABLE, id="a variable with a newline"),
        pytest.param(fields.variable, "SÉCRET", VARIABLE, id="a variable in Unicode"),
        pytest.param(fields.token_type, "", TYPE, id="no type of tokens"),
        pytest.param(fields.token_type, "*", TYPE, id="every type of tokens"),
        pytest.param(fields.token_type, "application/*", TYPE, id="a pattern of types"),
        pytest.param(fields.token_type, "text/at+jwt", TYPE, id="a type of another kind"),
        pytest.param(fields.token_type, "at jwt", TYPE, id="a space in a type"),
        pytest.param(fields.token_type, "+jwt", TYPE, id="half a type"),
        pytest.param(fields.token_type, "at+jwt; charset=utf-8", TYPE, id="a type with a parameter"),
        pytest.param(fields.token_type, "at+jwt\n", TYPE, id="a type with a newline"),
        pytest.param(fields.token_type, "a" * 128, TYPE, id="a type too long"),
        pytest.param(fields.origin, "https://a.example/", ORIGIN, id="an origin with a path"),
        pytest.param(fields.origin, "null", ORIGIN, id="null"),
        pytest.param(fields.origin, "*", ORIGIN, id="every origin"),
        pytest.param(fields.origin, "https://*.example", ORIGIN, id="a pattern of origins"),
        pytest.param(fields.origin, "https://A.example", ORIGIN, id="an origin in capitals"),
        pytest.param(fields.forwarded_header, "", HEADER, id="an empty header"),
        pytest.param(fields.forwarded_header, "x_tenant", HEADER, id="an underscore"),
        pytest.param(fields.forwarded_header, "x-tenant:", HEADER, id="a colon"),
        pytest.param(fields.forwarded_header, "x-ténant", HEADER, id="a header in Unicode"),
        pytest.param(fields.forwarded_header, "X-Tenant\n", HEADER, id="a header with a newline"),
        pytest.param(fields.forwarded_header, "Authorization", "is never forwarded", id="the token"),
        pytest.param(fields.forwarded_header, "DPoP", "is never forwarded", id="the proof of the token"),
        pytest.param(fields.forwarded_header, "HOST", "is never forwarded", id="the host"),
        pytest.param(fields.forwarded_header, "content-length", "is never forwarded", id="the length"),
        pytest.param(fields.forwarded_header, "transfer-encoding", "is never forwarded", id="the coding"),
        pytest.param(fields.forwarded_header, "x-request-id", "is never forwarded", id="the request id"),
        pytest.param(fields.algorithm, "HS256", "is not one of ES256", id="a symmetric algorithm"),
        pytest.param(
            fields.algorithm,
            "HS384",
            "is not one of ES256, ES384, ES512, Ed25519, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512$",
            id="a longer symmetric algorithm",
        ),
        pytest.param(fields.algorithm, "ES256K", "is not one of ES256", id="an algorithm of coins"),
        pytest.param(fields.algorithm, "Ed448", "is not one of ES256", id="another curve"),
        pytest.param(fields.algorithm, "none", "is not one of ES256", id="no algorithm"),
        pytest.param(fields.algorithm, "es256", "is not one of ES256", id="an algorithm in lower case"),
        pytest.param(fields.algorithm, "RS1", "is not one of ES256", id="a weak algorithm"),
        pytest.param(fields.factory, "", FACTORY, id="an empty factory"),
        pytest.param(fields.factory, "shop.docs", FACTORY, id="a module"),
        pytest.param(fields.factory, "shop.docs:", FACTORY, id="no function"),
        pytest.param(fields.factory, ":create_app", FACTORY, id="no module"),
        pytest.param(fields.factory, "shop:app.create", FACTORY, id="a method"),
        pytest.param(fields.factory, "shop:create_app()", FACTORY, id="a call"),
        pytest.param(fields.factory, "../shop:create_app", FACTORY, id="a file"),
        pytest.param(fields.factory, "1shop:create_app", FACTORY, id="a module that begins with a digit"),
        pytest.param(fields.listen_address, "", LISTEN, id="nowhere to listen"),
        pytest.param(fields.listen_address, "8080", LISTEN, id="a port alone"),
        pytest.param(fields.listen_address, "127.0.0.1", LISTEN, id="an address alone"),
        pytest.param(fields.listen_address, "127.0.0.1:", LISTEN, id="no port"),
        pytest.param(fields.listen_address, ":65536", LISTEN, id="a port too large to listen on"),
        pytest.param(fields.listen_address, ":808080", LISTEN, id="a port too long"),
        pytest.param(fields.listen_address, ":-1", LISTEN, id="a negative port"),
        pytest.param(fields.listen_address, "::1:8080", LISTEN, id="an IPv6 address without brackets"),
        pytest.param(fields.listen_address, "http://127.0.0.1:8080", LISTEN, id="a URL to listen on"),
        pytest.param(fields.listen_address, ":٨٠٨٠", LISTEN, id="digits of another script"),
        pytest.param(fields.listen_address, "unix:", SOCKET, id="a Unix socket without a path"),
        pytest.param(fields.listen_address, "unix:gate.sock", SOCKET, id="a Unix socket somewhere here"),
        pytest.param(fields.listen_address, "unix:8080", SOCKET, id="a port of the host unix"),
        pytest.param(fields.listen_address, "UNIX:/run/gate.sock", LISTEN, id="unix in capitals"),
        pytest.param(fields.listen_address, "/run/gate.sock", LISTEN, id="a path alone"),
        pytest.param(fields.upstream_url, "", UPSTREAM, id="no upstream"),
        pytest.param(fields.upstream_url, "wiki.internal:9000", UPSTREAM, id="no scheme of an upstream"),
        pytest.param(fields.upstream_url, "ftp://wiki:9000", UPSTREAM, id="another scheme of an upstream"),
        pytest.param(fields.upstream_url, "HTTP://wiki:9000", UPSTREAM, id="a scheme in capitals of one"),
        pytest.param(fields.upstream_url, "unix:/run/wiki.sock", UPSTREAM, id="a Unix socket as upstream"),
        pytest.param(fields.upstream_url, "http://wiki", UPSTREAM, id="an upstream without a port"),
        pytest.param(fields.upstream_url, "http://wiki:", UPSTREAM, id="an upstream with an empty port"),
        pytest.param(fields.upstream_url, "http://wiki:0", UPSTREAM, id="port 0 of an upstream"),
        pytest.param(fields.upstream_url, "http://wiki:080", UPSTREAM, id="a port with a leading zero"),
        pytest.param(fields.upstream_url, "http://wiki:65536", UPSTREAM, id="a port too large of one"),
        pytest.param(fields.upstream_url, "http://wiki:-1", UPSTREAM, id="a negative port of an upstream"),
        pytest.param(fields.upstream_url, "http://wiki:http", UPSTREAM, id="a word for a port"),
        pytest.param(fields.upstream_url, "http://wiki:٩٠٠٠", UPSTREAM, id="a port in another script"),
        pytest.param(fields.upstream_url, "http://wiki:9000/", UPSTREAM, id="an upstream with a slash"),
        pytest.param(fields.upstream_url, "http://wiki:9000/mcp", UPSTREAM, id="an upstream with a path"),
        pytest.param(fields.upstream_url, "http://wiki:9000?a", UPSTREAM, id="an upstream with a query"),
        pytest.param(fields.upstream_url, "http://wiki:9000#a", UPSTREAM, id="an upstream with a fragment"),
        pytest.param(fields.upstream_url, "http://wiki:9000\n", UPSTREAM, id="an upstream with a newline"),
        pytest.param(fields.upstream_url, "http://u:p@wiki:9000", UPSTREAM, id="an upstream with a password"),
        pytest.param(fields.upstream_url, "http://u@wiki:9000", UPSTREAM, id="an upstream with a user"),
        pytest.param(fields.upstream_url, "http://:9000", UPSTREAM, id="an upstream without a host"),
        pytest.param(fields.upstream_url, "http://fd00::1:9000", UPSTREAM, id="IPv6 without brackets"),
        pytest.param(fields.upstream_url, "http://[fd00::1%eth0]:9000", UPSTREAM, id="IPv6 with a zone"),
        pytest.param(fields.upstream_url, "http://[fe80::1%25eth0]:9000", UPSTREAM, id="a zone as in URLs"),
        pytest.param(fields.upstream_url, "http://[]:9000", UPSTREAM, id="nothing in brackets"),
        pytest.param(fields.upstream_url, "http://[1::2::3]:9000", NO_IPV6, id="IPv6 that is none"),
        pytest.param(fields.upstream_url, "http://[10.0.0.1]:9000", NO_IPV6, id="IPv4 in brackets"),
        pytest.param(fields.upstream_url, "http://.:9000", NO_HOST, id="a dot for a host"),
        pytest.param(fields.upstream_url, "http://-:9000", NO_HOST, id="a dash for a host"),
        pytest.param(fields.upstream_url, "http://wiki..internal:9000", NO_HOST, id="an empty label"),
        pytest.param(fields.upstream_url, "http://-wiki:9000", NO_HOST, id="a label that begins with a dash"),
        pytest.param(fields.upstream_url, "http://wiki-:9000", NO_HOST, id="a label that ends with a dash"),
        pytest.param(fields.upstream_url, "http://wíki:9000", NO_HOST, id="an upstream in Unicode"),
        pytest.param(fields.upstream_url, "http://wi ki:9000", NO_HOST, id="a space in an upstream"),
        pytest.param(fields.upstream_url, "http://wiki\n:9000", NO_HOST, id="a newline in an upstream"),
        pytest.param(fields.upstream_url, "http://*.internal:9000", NO_HOST, id="a pattern of upstreams"),
        pytest.param(
            fields.upstream_url, f"http://{'a' * 64}:80", NO_HOST, id="an upstream's label too long"
        ),
        pytest.param(
            fields.upstream_url, f"http://{'a.' * 126}ab:80", NO_HOST, id="an upstream's name too long"
        ),
        *(
            pytest.param(
                fields.upstream_url,
                f"http://wiki:{port}",
                f"^is the port of {service}, which is never sent a request$",
                id=f"the port of {service}",
            )
            for port, service in ((22, "ssh"), (25, "smtp"), (6379, "redis"), (10250, "kubelet"))
        ),
    ],
)
def test_a_bad_value_is_refused_with_the_end_of_a_sentence(check: Check, value: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check(value)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("600", 0o600), ("0000", 0), ("777", 0o777)])
def test_permissions_are_read_in_octal(text: str, mode: int) -> None:
    assert fields.file_mode(text) == mode


@pytest.mark.parametrize(
    "value", [0o660, "0o660", "0880", "66", "00660", "1777", "", "0660\n", None, True, b"0660"]
)
def test_permissions_in_another_form_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r'^is not three octal digits in quotes, such as "0660"$'):
        fields.file_mode(value)


@pytest.mark.promise("closed-by-default")
@pytest.mark.parametrize("method", sorted({*CLIENT_METHODS, *SERVER_REQUESTS, *SERVER_NOTIFICATIONS}))
def test_no_method_of_the_protocol_is_allowed_by_its_name(method: str) -> None:
    with pytest.raises(ValueError, match=PROTOCOL):
        fields.method(method)


@pytest.mark.parametrize("value", ["jwks.json", Path("jwks.json")])
def test_a_file_is_named_by_a_text_or_a_path(value: str | Path) -> None:
    assert fields.file(value) == Path("jwks.json")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("30s", 30, id="seconds"),
        pytest.param("5m", 300, id="minutes"),
        pytest.param("1h30m", 5400, id="hours and minutes"),
        pytest.param("1h1m1s", 3661, id="all three"),
        pytest.param("0s", 0, id="none"),
        pytest.param("90m", 5400, id="more minutes than an hour has"),
        pytest.param(30, 30, id="a number"),
        pytest.param(0.5, 0.5, id="a fraction"),
    ],
)
def test_a_duration_is_seconds(value: object, seconds: float) -> None:
    assert fields.duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("30", id="a number without a unit"),
        pytest.param("30 s", id="a space"),
        pytest.param("s", id="a unit alone"),
        pytest.param("-5s", id="a negative duration"),
        pytest.param("1.5h", id="a fraction of an hour"),
        pytest.param("1m1h", id="units in another order"),
        pytest.param("1d", id="days"),
        pytest.param("30S", id="a unit in capitals"),
        pytest.param("٣s", id="digits of another script"),
        pytest.param("nan", id="not a number"),
        pytest.param("inf", id="forever"),
        pytest.param("30s\n", id="a newline"),
        pytest.param("9" * 400 + "s", id="more seconds than there are numbers"),
        pytest.param("9" * 5000 + "h", id="more digits than are read"),
    ],
)
def test_a_text_that_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 30s or 5m"):
        fields.duration(value)


@pytest.mark.parametrize("value", [None, "", [], {"s": 1}])
def test_what_is_neither_a_number_nor_a_text_is_left_to_the_check_of_its_type(value: object) -> None:
    assert fields.duration(value) == value


TEXTS = st.text('aA1./:*@%?#[]-_~ "\\\n\0é٣\U0001f511', max_size=30)
CHECKS: list[Callable[[Any], object]] = [
    fields.hostname,
    fields.network,
    fields.metadata_network,
    fields.wrapped_network,
    fields.scope,
    fields.name,
    fields.resource,
    fields.method,
    fields.url_path,
    fields.upstream_url,
    fields.url,
    fields.endpoint_url,
    fields.variable,
    fields.token_type,
    fields.origin,
    fields.forwarded_header,
    fields.algorithm,
    fields.factory,
    fields.listen_address,
    fields.file_mode,
    fields.duration,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@given(
    prefix=st.sampled_from(["", "https://", "http://[", "http://a:8", "unix:", "/", "10.", "docs:///{"]),
    text=TEXTS,
)
def test_no_text_makes_a_check_raise_anything_but_a_value_error(
    check: Callable[[Any], object], prefix: str, text: str
) -> None:
    try:
        used = check(prefix + text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most texts are refused, and some are not
    else:
        assert used is not None
