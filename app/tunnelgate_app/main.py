r"""The gateway for a server that imports applications.

::

    TUNNELGATE_CONFIG=tunnelgate.yaml uvicorn tunnelgate_app.main:app \
        --http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers \
        --no-access-log --no-server-header --ws none --timeout-graceful-shutdown 30

A configuration that is not right ends the process with its faults and the status 2.
"""

import logging
import sys

from tunnelgate import ConfigurationError, ConfigurationFault, Policy
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.logs import leave_out_what_was_told
from tunnelgate_app.process import ProcessSettings

logger = logging.getLogger("uvicorn.error")

STRICT_OPTIONS = (
    "--http tunnelgate.uvicorn_http:StrictHttpToolsProtocol "
    "--no-proxy-headers --no-access-log --no-server-header --ws none --timeout-graceful-shutdown 30"
)


def _load() -> ASGIApp:
    try:
        policy = Policy.from_file(ProcessSettings().config)
        if policy.tls is not None:
            sentence = "is for `tunnelgate serve`; this server has its own options, such as --ssl-certfile"
            raise ConfigurationError("gateway", [ConfigurationFault("tls", "", sentence)])
        return create_gateway(policy)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


leave_out_what_was_told()
_gateway = _load()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI connection."""
    # A server may import the application before its protocol, but starts it afterwards.
    if scope["type"] == "lifespan" and "tunnelgate.uvicorn_http" not in sys.modules:
        logger.warning(
            "this server's own HTTP parser lets pass what no application can see; run it with %s",
            STRICT_OPTIONS,
        )
    await _gateway(scope, receive, send)
