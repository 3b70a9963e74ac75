"""The servers behind the gate: whether each answers MCP, and what it means when one does not."""

from collections.abc import Mapping
from dataclasses import dataclass

from tunnelgate.configuration.faults import path_of
from tunnelgate_app.asking.answers import AskingError, Failure, Listing
from tunnelgate_app.doctor.findings import Finding, Findings, Layer

_SAY = Findings(Layer.UPSTREAMS)
_FORBIDDEN, _MISDIRECTED = 403, 421
_ADVICE: Mapping[Failure, str] = {
    Failure.TOO_SLOW: "See that the server is up and not overloaded; --timeout gives it longer.",
    Failure.TOO_MUCH: "The gate passes answers of limits.answer_bytes at most. Let the server list less.",
    Failure.MCP_ERROR: "The server speaks MCP and refused to list its tools. Its log says why.",
    Failure.REFUSED: "The server refused what the gate would ask too. Its log says why.",
}
_REFUSED = "connection refused"


@dataclass(frozen=True, slots=True)
class Unusable:
    """What is wrong with a route before anybody can be asked."""

    sentence: str


@dataclass(frozen=True, slots=True)
class KeptFrom:
    """What the doctor would need to ask, and has not."""

    sentence: str


@dataclass(frozen=True, slots=True)
class AskedUpstream:
    """What came of asking the server behind a route for its tools.

    ``takes_other_host`` says that it answered when it was asked with the other name that the gate can
    send as ``Host``.
    """

    route: str
    where: str
    came: Listing | AskingError | Unusable | KeptFrom
    is_mounted: bool = False
    has_credentials: bool = False
    path: str = "/mcp"
    preserves_host: bool = False
    takes_other_host: bool = False

    @property
    def listing(self) -> Listing | None:
        """The tools, where they were listed."""
        return self.came if isinstance(self.came, Listing) else None


def finding_of_upstream(asked: AskedUpstream) -> Finding:
    """Return how the server behind a route answers."""
    tried = f"{asked.route}: list the tools of {asked.where}"
    came = asked.came
    if isinstance(came, KeptFrom):
        return _SAY.skipped(tried, came.sentence)
    if isinstance(came, Unusable):
        return _SAY.wrong(tried, came.sentence, _unusable_advice(asked))
    if isinstance(came, AskingError):
        return _of_failure(tried, asked, came)
    named = " ".join(filter(None, (came.server.name, came.server.version))) or "the server"
    tools = "1 tool" if len(came.tools) == 1 else f"{len(came.tools)} tools"
    return _SAY.fine(tried, f"{named} speaks MCP {came.server.protocol_version} and lists {tools}")


def finding_of_mount(route: str, mount: str, failure: str) -> Finding:
    """Return whether an application without an MCP endpoint can be mounted."""
    tried = f"{route}: mount {mount}"
    if failure:
        return _SAY.wrong(tried, failure, _mount_advice(route))
    return _SAY.fine(tried, "an application")


def _of_failure(tried: str, asked: AskedUpstream, failure: AskingError) -> Finding:
    upstream = path_of(("routes", asked.route, "upstream"))
    match failure.failure:
        case Failure.NOT_ALLOWED:
            return _SAY.skipped(tried, f"not asked, {failure}", "See the addresses above.")
        case Failure.UNREACHABLE:
            return _SAY.wrong(tried, str(failure), _reach_advice(str(failure), asked, upstream))
        case Failure.NEEDS_TOKEN:
            return _SAY.wrong(tried, str(failure), _token_advice(asked))
        case Failure.REDIRECTED:
            path = path_of(("routes", asked.route, "path"))
            advice = (
                f"Let {path} be where the server's endpoint is, to the last slash; now it is {asked.path}."
            )
            return _SAY.wrong(tried, str(failure), advice)
        case Failure.REFUSED if failure.status in (_FORBIDDEN, _MISDIRECTED):
            return _SAY.wrong(tried, str(failure), _host_advice(asked, upstream))
        case Failure.NOT_MCP:
            path = path_of(("routes", asked.route, "path"))
            advice = (
                f"Nothing there speaks MCP at {asked.path}. Correct {path}, which clients have in their "
                "URL as well: a bare hostname without the path lists no tools."
            )
            return _SAY.wrong(tried, str(failure), advice)
        case _:
            return _SAY.wrong(tried, str(failure), _ADVICE[failure.failure])


def _unusable_advice(asked: AskedUpstream) -> str:
    if asked.is_mounted:
        return _mount_advice(asked.route)
    return "The gate needs it for every request. Correct the configuration, or see that the issuer answers."


def _mount_advice(route: str) -> str:
    return (
        f"The gate does not start with it. Correct {path_of(('routes', route, 'mount'))}, or what it needs."
    )


def _reach_advice(said: str, asked: AskedUpstream, upstream: str) -> str:
    if "certificate" in said:
        return (
            "Name the server's CA in upstream.tls.ca_file, or set upstream.tls.include_system_cas: true "
            "for one of the system's; the name in the URL must be one of the certificate's."
        )
    if "TLS" in said:
        return f"See that the server speaks TLS on that port, or write http:// in {upstream}."
    if _REFUSED in said and "host.docker.internal" in asked.where:
        return (
            "Rootless Docker cannot reach the host's network by this name. Run the server as a service "
            "of the same Compose file."
        )
    if _REFUSED in said:
        return (
            f"Nobody listens there. Start the server, or correct the port in {upstream}; a server in a "
            "container must listen on 0.0.0.0, not on its own loopback."
        )
    return f"See that the machine of the gate may connect there, and that {upstream} is right."


def _token_advice(asked: AskedUpstream) -> str:
    path = path_of(("routes", asked.route, "credentials"))
    if asked.is_mounted:
        return "The application demands a token itself. Let it take the principal that the gate verified."
    if asked.has_credentials:
        return f"It refused what {path} gives. Renew the secret, and see what the token is made for."
    return f"The caller's token never goes to the server. Give the gate one of its own: {path}."


def _host_advice(asked: AskedUpstream, upstream: str) -> str:
    word = "false" if asked.preserves_host else "true"
    if asked.takes_other_host:
        return (
            "The server protects itself against DNS rebinding by the names it knows: it answers when the "
            f"other name is sent as Host. Set {upstream}.preserve_host: {word}."
        )
    return (
        "Servers that protect themselves against DNS rebinding refuse names of others in Host. Let the "
        f"server allow the name that it gets, or set {upstream}.preserve_host: {word}."
    )
