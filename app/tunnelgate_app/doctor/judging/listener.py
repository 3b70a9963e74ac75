"""The gate's listener: whether somebody answers there as the tunnel would have it."""

from dataclasses import dataclass
from typing import Literal

from tunnelgate_app.doctor.findings import Finding, Findings, Layer

Transport = Literal["http", "tls", "tunnel"]

_SAY = Findings(Layer.LISTENER)
_NAMES = {"http": "HTTP", "tls": "TLS", "tunnel": "TLS in a WebSocket"}
_NOBODY = (
    "Start the gate: tunnelgate serve --config FILE. If it runs, name where: --gate ADDRESS:PORT or "
    "--gate unix:/run/gate.sock. cloudflared's log says `Unable to reach the origin service` meanwhile."
)
_PERMISSION = "Run the doctor as the user of the connector, who may write to the socket by socket_mode."
_TLS_ADVICE = (
    (
        "unable to get local issuer",
        "unknown certificate authority",
        (
            "The CA that the tunnel knows did not sign what the gate shows. Sign it with that CA, "
            "tunnelgate certs renew, or upload the one that did; name it here with --ca."
        ),
    ),
    (
        "self-signed",
        "unknown certificate authority",
        (
            "The gate shows a certificate that signed itself. Let the tunnel's CA sign it: tunnelgate "
            "certs renew."
        ),
    ),
    (
        "expired",
        "bad certificate",
        "Renew it: tunnelgate certs renew. A running gate picks the new files up.",
    ),
    ("not yet valid", "bad certificate", "Set the clocks of this machine and of the one that made it."),
    (
        "hostname mismatch",
        "bad certificate",
        (
            "The certificate is not for this name. Add it: tunnelgate certs init --host NAME, or a "
            "wildcard for the domain, which covers one label."
        ),
    ),
    (
        "authority key identifier",
        "bad certificate",
        ("Sign it with the identifier of its CA's key in it: tunnelgate certs renew."),
    ),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of coming to the gate as the tunnel does, for one hostname.

    ``failure`` is empty where an HTTP answer came back, of whatever status.
    """

    gate: str
    hostname: str
    transport: Transport
    failure: str = ""


def finding_of_socket(gate: str, failure: str) -> Finding:
    """Return whether anybody listens where the gate should."""
    tried = f"connect to {gate}"
    if not failure:
        return _SAY.fine(tried, "somebody listens")
    advice = _PERMISSION if "permission" in failure else _NOBODY
    return _SAY.wrong(tried, failure, advice)


def finding_of_opening(opened: Opened, version: str) -> Finding:
    """Return whether the gate speaks what the tunnel does, and shows what the tunnel believes.

    ``version`` is that of TLS, if it was spoken.
    """
    tried = f"{_NAMES[opened.transport]} to {opened.gate} for {opened.hostname}"
    if not opened.failure:
        return _SAY.fine(tried, f"answers{f' over {version}' if version else ''}")
    lowered = opened.failure.lower()
    for word, seen, advice in _TLS_ADVICE:
        if word in lowered:
            return _SAY.wrong(tried, f"tls handshake failed, {seen}: {opened.failure}", advice)
    advice = (
        "See that transport in the configuration is what the connector speaks: http in the clear, or "
        "tunnel, which is TLS in a WebSocket. The gate's log says what it made of the connection."
    )
    return _SAY.wrong(tried, opened.failure, advice)
