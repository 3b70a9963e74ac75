"""A development issuer: an OAuth authorization server for demos and tests on one machine.

It is Authlib's authorization server with a client that is made up at start-up. It says in its
metadata and in its log that it is for development, and answers nobody but this machine.
"""

from tunnelgate_app.issuer.app import create_app
from tunnelgate_app.issuer.signing_key import SigningKey

__all__ = ["SigningKey", "create_app"]
