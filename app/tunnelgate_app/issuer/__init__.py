"""A development issuer: an OAuth authorization server for demos and tests on one machine.

It is Authlib's authorization server, with a page where whoever sits at the machine signs in under
any name. It says in its metadata, in its log and on that page that it is for development, and
answers nobody but this machine.
"""

from tunnelgate_app.issuer.app import create_app
from tunnelgate_app.issuer.signing_key import SigningKey

__all__ = ["SigningKey", "create_app"]
