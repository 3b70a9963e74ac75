"""A TLS handshake in memory, by OpenSSL's strict rules (RFC 5280), as an oracle for certificates."""

import ssl
from pathlib import Path


def strict_client(authority_pem: str) -> ssl.SSLContext:
    """Return a client that trusts this CA, and checks the hostname and all that RFC 5280 asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


def server_of(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """Return a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    return context


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, hostname: str) -> str:
    """Return the version of TLS that both speak; raises :class:`ssl.SSLError` where the client refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=hostname),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = sides
    while waiting:
        waiting = [side for side in waiting if not is_done(side)]
    return str(sides[0].version())


def is_done(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
