r"""The gateway for a server that imports applications.

::

    TUNNELGATE_CONFIG=tunnelgate.yaml uvicorn tunnelgate_app.main:app \
        --http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers --ws none

A configuration that is not right ends the process with its faults and the status 2.
"""

import logging
import os
import sys

from tunnelgate import ConfigurationError, Policy
from tunnelgate.asgi import ASGIApp
from tunnelgate_app.gateway import create_gateway

logger = logging.getLogger("uvicorn.error")

CONFIG_VARIABLE = "TUNNELGATE_CONFIG"
DEFAULT_CONFIG = "tunnelgate.yaml"
STRICT_OPTIONS = "--http tunnelgate.uvicorn_http:StrictHttpToolsProtocol --no-proxy-headers --ws none"


def _load() -> ASGIApp:
    try:
        gateway = create_gateway(Policy.from_file(os.environ.get(CONFIG_VARIABLE, DEFAULT_CONFIG)))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    # uvicorn imports its protocol class before the application that it serves.
    if "tunnelgate.uvicorn_http" not in sys.modules:
        logger.warning(
            "this server's own HTTP parser lets pass what no application can see; run it with %s",
            STRICT_OPTIONS,
        )
    return gateway


app = _load()
