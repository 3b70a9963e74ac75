r"""The gateway for a server that imports applications.

::

    TUNNELGATE_CONFIG=tunnelgate.yaml uvicorn tunnelgate_app.main:app \
        --http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers \
        --no-access-log --no-server-header --ws none --timeout-graceful-shutdown 30

A configuration that is not right ends the process with its faults and the status 2. While it runs, the
gateway follows the files of its configuration; SIGHUP belongs to the server.
"""

import logging
import sys

from tunnelgate import ConfigurationError
from tunnelgate.asgi import ASGIApp, Receive, Scope, Send
from tunnelgate_app.gateway import create_gateway
from tunnelgate_app.logs import leave_out_what_was_told
from tunnelgate_app.process import ProcessSettings
from tunnelgate_app.reloading.following import Following
from tunnelgate_app.reloading.listener import ForeignListener
from tunnelgate_app.reloading.reading import read_configuration

logger = logging.getLogger("uvicorn.error")

STRICT_OPTIONS = (
    "--http tunnelgate.uvicorn_http:StrictHttpToolsProtocol "
    "--no-proxy-headers --no-access-log --no-server-header --ws none --timeout-graceful-shutdown 30"
)


def _load() -> ASGIApp:
    try:
        reading = read_configuration(ProcessSettings().config)
        listener = ForeignListener()
        listener.open(reading.policy)
        gateway = create_gateway(reading.policy)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    gateway.accompany(Following(gateway, reading, listener))
    return gateway


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
