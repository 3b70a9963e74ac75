"""OAuth: what clients are told at the gate, whether issuers answer, the clocks, and whom a token is for.

Specification: RFC 9728 sections 2 and 5.1, RFC 8414 section 3.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from tunnelgate import Issuer, Policy
from tunnelgate.configuration.faults import path_of
from tunnelgate.metadata import metadata_url
from tunnelgate.tokens import LEEWAY
from tunnelgate_app.doctor.answers import Asked
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.wording import listed

_SAY = Findings(Layer.OAUTH)
_OK = 200
_RESOURCE_METADATA = re.compile(r'\bresource_metadata="([^"]*)"')
_SEEN_FROM_OUTSIDE = (
    "Anthropic asks for discovery, tokens and registration itself. Route the authorization server "
    "through the tunnel, with a route of its own and upstream.oauth_discovery, or make it reachable."
)


@dataclass(frozen=True, slots=True)
class AskedIssuer:
    """What came of asking an issuer for its metadata and its keys as the gate does.

    ``failure`` is why it did not work, and ``asked`` what was answered at each URL. ``metadata`` is the
    issuer's own where it was read. ``skew`` is by how many seconds the issuer's clock is ahead.
    ``addresses`` are those of its host and of its token endpoint's, by these.
    """

    failure: str = ""
    asked: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    skew: float | None = None
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


def finding_of_metadata(policy: Policy, name: str, asked: Asked) -> Finding:
    """Return whether the gate tells clients of the route ``name`` what the configuration says."""
    tried = f"{name}: {asked.url}"
    resource, issuers = policy.resource(name), [each.issuer for each in policy.issuers(name)]
    if asked.answer is None:
        return _SAY.wrong(tried, asked.failure, "See the listener above.")
    advice = (
        "Clients learn here where to get a token. The gate that runs has another configuration, or something "
        "between answers in its place."
    )
    if asked.answer.status != _OK:
        return _SAY.wrong(tried, f"{asked.answer.status} {asked.error}".strip(), advice)
    document = asked.answer.document
    if document.get("resource") != resource:
        return _SAY.wrong(tried, f"its resource is {document.get('resource')!r} and not {resource}", advice)
    if document.get("authorization_servers") != issuers:
        found = (
            f"its authorization_servers are {document.get('authorization_servers')!r} and not "
            f"{listed(issuers)}"
        )
        return _SAY.wrong(tried, found, advice)
    return _SAY.fine(tried, f"resource {resource}, authorization_servers {listed(issuers)}")


def finding_of_challenge(policy: Policy, name: str, asked: Asked) -> Finding | None:
    """Return whether the challenge of a 401 leads to the metadata; none where there is no challenge."""
    challenge = None if asked.answer is None else asked.answer.headers.get("www-authenticate")
    if challenge is None:
        return None
    match = _RESOURCE_METADATA.search(challenge)
    expected = metadata_url(policy.resource(name))
    tried = f"{name}: the challenge of {asked.url}"
    if match is not None and match[1] == expected:
        return _SAY.fine(tried, f"leads to {expected}")
    found = f"leads to {match[1]} and not to {expected}" if match else "does not say where the metadata is"
    return _SAY.wrong(tried, found, "Let nothing between the gate and the client change WWW-Authenticate.")


def findings_of_issuer(policy: Policy, issuer: Issuer, asked: AskedIssuer) -> Iterator[Finding]:
    """Yield whether the gate gets the keys of ``issuer``, and whether clients can log in there."""
    tried = f"{issuer.issuer}: metadata and keys"
    if issuer.jwks_file is not None:
        yield _SAY.fine(tried, f"the keys are those of {issuer.jwks_file}, and the issuer is not asked")
        return
    if asked.failure:
        found = "; ".join((asked.failure, *_of_another(issuer, asked), *asked.asked))
        yield _SAY.wrong(tried, found, _issuer_advice(found))
    else:
        yield _SAY.fine(tried, "; ".join(asked.asked))
    if asked.skew is not None:
        yield _of_skew(issuer, asked.skew)
    yield from _of_login(policy, issuer, asked)


def finding_of_token(name: str, resource: str, refused: str, missing: Sequence[str]) -> Finding:
    """Return whether a token passes at a route: ``refused`` says why not, ``missing`` are its scopes."""
    tried = f"{name}: the token"
    if refused:
        advice = f"Get one that is made for {resource}, with that as its resource (RFC 8707)."
        return _SAY.wrong(tried, refused, advice)
    if missing:
        advice = (
            f"Ask the issuer for them; {path_of(('routes', name, 'scopes'))} wants them for every request."
        )
        return _SAY.wrong(tried, f"lacks {listed(missing)}", advice)
    return _SAY.fine(tried, f"is genuine, in time, and made for {resource}")


def _of_another(issuer: Issuer, asked: AskedIssuer) -> Iterator[str]:
    named = (asked.metadata or {}).get("issuer")
    if named is not None and named != issuer.issuer:
        yield f"the metadata is of another issuer, {named}"


def _of_skew(issuer: Issuer, skew: float) -> Finding:
    tried = f"{issuer.issuer}: its clock"
    ahead = "ahead of" if skew > 0 else "behind"
    found = f"{abs(skew):.0f} s {ahead} this machine's"
    advice = "Tokens seem made in the future, or over too soon. Set both clocks by NTP."
    if abs(skew) > LEEWAY:
        return _SAY.wrong(tried, f"{found}, and the gate allows {LEEWAY} s", advice)
    return _SAY.fine(
        tried, f"{found}, within the {LEEWAY} s that the gate allows" if abs(skew) >= 1 else "the same"
    )


def _of_login(policy: Policy, issuer: Issuer, asked: AskedIssuer) -> Iterator[Finding]:
    domain = policy.tunnel_domain
    authorize = host_of((asked.metadata or {}).get("authorization_endpoint"))
    if domain and _is_below(authorize, domain):
        yield _SAY.warning(
            f"{issuer.issuer}: authorization_endpoint",
            f"{authorize} is in the tunnel, which browsers cannot reach",
            "Split the metadata: authorization_endpoint on a public host, the others in the tunnel.",
        )
    for host, addresses in asked.addresses.items():
        inside = [each for each in addresses if ip_address(each).is_private]
        if inside and not (domain and _is_below(host, domain)):
            found = f"it is {listed(inside)}, which nobody outside can reach"
            yield _SAY.warning(f"{issuer.issuer}: reach {host} from outside", found, _SEEN_FROM_OUTSIDE)


def _issuer_advice(found: str) -> str:
    if "oauth.allowed_ips" in found:
        return "List where the issuer is in oauth.allowed_ips, which leaves this machine out by default."
    if "another issuer" in found:
        return (
            "Write oauth.issuers[].issuer octet by octet as the metadata has it, with or without the "
            "last slash."
        )
    if "certificate" in found:
        return (
            "Issuers are believed by the CAs of the system alone. Put theirs there, or name it in "
            "SSL_CERT_FILE."
        )
    return (
        "The gate needs the keys to check tokens. See that this machine may ask the issuer, or name a "
        "jwks_file."
    )


def host_of(url: object) -> str:
    """Return the host in a URL; nothing where there is none."""
    try:
        return (urlsplit(url).hostname or "") if isinstance(url, str) else ""
    except ValueError:
        return ""


def _is_below(host: str, domain: str) -> bool:
    return host.endswith(f".{domain}")
