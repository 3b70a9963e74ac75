"""The addresses of upstreams: whether the gate may connect to each, in the words of Anthropic's proxy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from tunnelgate.configuration.faults import path_of
from tunnelgate.reading.address import Address, read_address
from tunnelgate.reading.fault import Fault
from tunnelgate.upstream.addresses import RFC1918, AddressRules, carried_by, check_port
from tunnelgate.verdict import Allow
from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.wording import listed

_SAY = Findings(Layer.ADDRESSES)
_LOOPBACK_ADVICE = (
    "upstream.allowed_ips leaves this machine out by default. List the very address, such as 127.0.0.1, "
    "beside the networks that are still needed; everything else that listens there can then be named by "
    "a route."
)
_NARROW = (
    "Add the narrowest network to upstream.allowed_ips, together with those still needed, because the list "
    "replaces the default. On Kubernetes the range of Services may lie outside the private networks: kubectl "
    "get svc kubernetes -n default -o jsonpath='{.spec.clusterIP}'. Never 0.0.0.0/0 outside tests."
)
_NO_ADDRESS = "Correct the name in {path}, or the name servers of the machine that the gate runs on."


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the name of a route's upstream leads to, or why it leads nowhere."""

    route: str
    host: str
    port: int
    addresses: Sequence[str] = ()
    failure: str = ""


def findings_of_addresses(
    resolved: Resolved, rules: AddressRules, allowed: Sequence[str], *, is_narrowed: bool
) -> Iterator[Finding]:
    """Yield whether each address may be connected to; one that may not keeps all others from it.

    ``allowed`` are the networks of the gate, and ``is_narrowed`` says that the route has its own.
    """
    path = path_of(("routes", resolved.route, "upstream"))
    tried = f"{resolved.route}: look up {resolved.host}"
    try:
        check_port(resolved.port)
    except ValueError as error:
        yield _SAY.wrong(
            tried, f"{resolved.port} {error}", f"Let the server listen elsewhere, and correct {path}."
        )
        return
    if resolved.failure:
        yield _SAY.wrong(tried, resolved.failure, _NO_ADDRESS.format(path=path))
        return
    refused = False
    for text in resolved.addresses:
        finding = _of_address(
            tried, text, rules, is_default=tuple(allowed) == RFC1918, is_narrowed=is_narrowed
        )
        if finding is not None:
            refused = True
            yield finding
    if not refused:
        yield _SAY.fine(tried, f"{listed(resolved.addresses)}, which may be connected to")


def _of_address(
    tried: str, text: str, rules: AddressRules, *, is_default: bool, is_narrowed: bool
) -> Finding | None:
    try:
        address = read_address(text)
    except Fault as fault:
        return _SAY.wrong(tried, f"IP validation failed: {text} is {fault.detail}", _NARROW)
    verdict = rules.decide(address)
    if isinstance(verdict, Allow):
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    detail = verdict.detail
    if is_default and not is_narrowed and detail == f"{address} is not in upstream.allowed_ips":
        detail = f"{address} is not a private address"
    return _SAY.wrong(tried, f"IP validation failed: {detail}", _advice(address, detail))


def _advice(address: Address, detail: str) -> str:
    if "never dialled" in detail:
        return "Nothing allows this address. Let the name lead to the server's own."
    if "not named as meant" in detail:
        return (
            "Whoever reaches a metadata service has the credentials of the machine. Let the name lead "
            f"elsewhere; if it is meant, name {address} in upstream.allow_metadata as well."
        )
    if carried_by(address):
        return (
            f"{address} leads on to {listed(map(str, carried_by(address)))}. If the translator is meant, "
            "name its network in upstream.allow_wrapped, and allow what is carried."
        )
    if "allowed_ips of the route" in detail:
        return (
            "The route narrows the networks of the gate. Widen the allowed_ips of its upstream, or "
            "correct the name."
        )
    return _LOOPBACK_ADVICE if address.is_loopback else _NARROW
