"""The routes at the gate: whether each hostname and path leads where it should, and no other one does."""

from collections.abc import Iterator

from tunnelgate import Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate_app.doctor.answers import Asked
from tunnelgate_app.doctor.findings import Finding, Findings, Layer

_SAY = Findings(Layer.ROUTES)
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_ERROR = 400

_NOT_RUNNING_THIS = (
    "The gate that runs has other routes: it was started with another file, or keeps its old ones "
    "because the file was faulty when it changed. Its log says which. `no route for host` at Anthropic's "
    "proxy is the same."
)
_ADVICE = {
    "host_not_allowed": _NOT_RUNNING_THIS + " See that tunnel_domain is the tunnel's own.",
    "client_not_allowed": (
        "clients.allowed_ips leaves out where this came from. Run the doctor where the connector runs, "
        "or say --client-address where the gate reads the address from a header."
    ),
    "bad_request": (
        "The gate could not tell where the client is. With clients.address_from other than peer, say "
        "--client-address ADDRESS, which is sent as a connector would; a trusted proxy must send it always."
    ),
    "misdirected_request": (
        "The name in TLS and the one in Host differ. Let the connector pass both on as they come."
    ),
    "not_found": _NOT_RUNNING_THIS,
    "upstream_not_allowed": "See the addresses: the gate may not connect to the server.",
    "upstream_unreachable": "See the upstreams: the gate cannot connect to the server.",
    "upstream_timeout": "See the upstreams: the server is too slow.",
    "upstream_failing": (
        "The gate leaves the server alone for a while, because it failed several times in a row."
    ),
    "unavailable": (
        "Something that the gate depends on is down: keys, an issuer, the file of records. Its log says what."
    ),
    "stopping": "The gate is stopping; try again when it runs.",
}
_OTHERWISE = "No answer that the gate would give. See what stands between, and --gate."


def finding_of_endpoint(name: str, asked: Asked) -> Finding:
    """Return whether a request without a token reached the MCP endpoint of the route ``name``."""
    tried = f"{name}: {asked.url} without a token"
    if asked.answer is None:
        return _unanswered(tried, asked)
    status = asked.answer.status
    if status == _UNAUTHORIZED and "www-authenticate" in asked.answer.headers:
        return _SAY.fine(tried, "401 with a challenge: the MCP endpoint is reached")
    if status < _ERROR:
        return _SAY.wrong(
            tried,
            f"{status}: it was answered without a token",
            "Nobody checks tokens here. See that --gate is the gate itself and not the server behind it.",
        )
    return _refused(tried, asked)


def finding_of_public_path(name: str, asked: Asked) -> Finding:
    """Return whether a path that is served without a token is."""
    tried = f"{name}: {asked.url}"
    if asked.answer is None:
        return _unanswered(tried, asked)
    if asked.error in _ADVICE:
        return _refused(tried, asked)
    return _SAY.fine(tried, f"{asked.answer.status} of the server")


def finding_of_bare_host(name: str, asked: Asked, url: str) -> Finding:
    """Return what a client gets whose URL is the hostname alone; ``url`` is the whole one."""
    tried = f"{name}: {asked.url}"
    if asked.answer is None:
        return _unanswered(tried, asked)
    if asked.answer.status == _NOT_FOUND:
        found = (
            f"404, as it should: a connector that was added without the path finds no tools; its URL is {url}"
        )
        return _SAY.fine(tried, found)
    if asked.error in _ADVICE:
        return _refused(tried, asked)
    advice = f"Only {url} is the endpoint. See what else answers at --gate."
    return _SAY.wrong(tried, f"{asked.answer.status} where nothing is served", advice)


def finding_of_unlisted_host(asked: Asked) -> Finding:
    """Return whether a hostname that nobody listed is refused."""
    tried = f"{asked.url}, which nobody listed"
    if asked.answer is None:
        return _unanswered(tried, asked)
    if asked.answer.status == _FORBIDDEN and asked.error == "host_not_allowed":
        return _SAY.fine(tried, "403 host_not_allowed: what is not listed is refused")
    if asked.error in _ADVICE:
        return _refused(tried, asked)
    return _SAY.wrong(
        tried,
        f"{asked.answer.status}: it was answered",
        "The gate answers for no name but its own. See that --gate is the gate itself.",
    )


def findings_of_names(policy: Policy, names: tuple[str, ...]) -> Iterator[Finding]:
    """Yield which routes no wildcard certificate of the tunnel's domain covers."""
    domain = policy.tunnel_domain
    if domain is None:
        return
    for name in names:
        hostname = policy.hostnames(name)[0]
        label, _, rest = hostname.partition(".")
        if rest == domain and label:
            continue
        below = hostname.endswith(f".{domain}")
        where = f"more than one label below {domain}" if below else f"not below {domain}"
        advice = (
            f"A certificate for *.{domain} is for names of one label below it. Name the route without a "
            f"dot, or add the name: tunnelgate certs init --host {hostname}"
        )
        yield _SAY.warning(f"{name}: {path_of(('routes', name))}", f"{hostname} is {where}", advice)


def _unanswered(tried: str, asked: Asked) -> Finding:
    return _SAY.wrong(tried, asked.failure, "See the listener above; the gate's log says what it made of it.")


def _refused(tried: str, asked: Asked) -> Finding:
    status = 0 if asked.answer is None else asked.answer.status
    return _SAY.wrong(tried, f"{status} {asked.error}".strip(), _ADVICE.get(asked.error, _OTHERWISE))
