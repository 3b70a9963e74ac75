"""Puts the desk together: its options, what it needs, and its paths."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from tunnelgate import Discovery, Fetch, RequestHygiene
from tunnelgate.verifier import TokenVerifier
from tunnelgate_servers.hosting import (
    LOOPBACK_HOSTS,
    OptionsError,
    disposing,
    open_newest,
    open_writer,
    utc_now,
)
from tunnelgate_servers.hosting.bearer import read_issuers
from tunnelgate_servers.tickets_draft.desk import options
from tunnelgate_servers.tickets_draft.desk.failures import add_error_pages
from tunnelgate_servers.tickets_draft.desk.forms import Forms
from tunnelgate_servers.tickets_draft.desk.guarding import KnownHosts, PageHeaders
from tunnelgate_servers.tickets_draft.desk.issuer import SignInIssuer
from tunnelgate_servers.tickets_draft.desk.login import Login
from tunnelgate_servers.tickets_draft.desk.pages import Pages
from tunnelgate_servers.tickets_draft.desk.paths import add_paths
from tunnelgate_servers.tickets_draft.desk.routes import Desk
from tunnelgate_servers.tickets_draft.desk.sessions import SessionCookie, Sessions
from tunnelgate_servers.tickets_draft.drafts import Drafts

MAX_BODY: Final = 16 * 1024
"""The length of the longest form, in octets; those of the desk have a few hundred."""

_PACKAGE = "tunnelgate_servers.tickets_draft"


def create_desk(
    *,
    database: str,
    issuer: str,
    client_id: str,
    client_secret: str,
    public_url: str,
    resource: str,
    oauth: object,
    authorization_endpoint: str | None = None,
    token_endpoint: str | None = None,
    scopes: Sequence[str] = ("tickets:submit",),
    session_key_file: str | Path | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    fetch: Fetch | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """Return the application on which a person submits the drafts that are theirs in a database.

    People sign in at `issuer`, which is one of those in `oauth`, an option as the gate's configuration has
    it. The desk is a confidential client there, with `client_id` and `client_secret` and the redirect URI
    `/callback` below `public_url`, which is where people find it. It asks for a token for `resource` with
    `scopes`. The endpoints of the issuer are in its metadata, unless they are given.

    Who is signed in is in a cookie, signed by the key in `session_key_file`; without one the sessions end
    with the process. `allowed_hosts` are the Host values that are answered besides that of `public_url`.
    `fetch` asks the issuer in place of a client of its own; `clock` returns what time it is, with its zone.

    The application has to run its lifespan, once. Raises `OptionsError` for an option that cannot be used.
    """
    site = options.read_site(public_url)
    keys = options.read_keys(session_key_file)
    issuers, asking = read_issuers(oauth, fetch=fetch)
    if options.read_url_option("issuer", issuer) not in issuers:
        raise OptionsError(f"The option issuer is {issuer!r}, which is not one of oauth.issuers.")
    metadata = Discovery(issuer, asking)
    given = {"authorization_endpoint": authorization_endpoint, "token_endpoint": token_endpoint}
    sign_in = SignInIssuer(
        issuer,
        {
            name: metadata if url is None else options.read_url_option(name, url, with_query=True)
            for name, url in given.items()
        },
        fetch=asking,
        client=options.read_client(client_id, client_secret),
        redirect_uri=f"{site.url}/callback",
        resource=options.read_url_option("resource", resource),
        scopes=options.read_scopes(scopes),
        verifier=TokenVerifier(
            resource=resource, issuers=[issuers[issuer]], clock=lambda: clock().timestamp()
        ),
    )
    engine = open_newest(open_writer, database, _PACKAGE)
    app = FastAPI(
        title="tickets-desk",
        lifespan=lambda _: disposing(engine),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    sessions, pages = Sessions(clock), Pages()
    add_paths(
        app,
        Desk(
            engine,
            Drafts(engine, clock=clock),
            issuer=issuer,
            client_id=client_id,
            login=Login(sign_in, sessions, clock),
            sessions=sessions,
            forms=Forms(keys.forms, site.origin),
            pages=pages,
        ),
    )
    add_error_pages(app, pages)
    # The one that is added last is the outermost.
    app.add_middleware(SessionCookie, key=keys.sessions, is_secure=site.is_secure, clock=clock)
    app.add_middleware(KnownHosts, hosts=[*allowed_hosts, site.host])
    app.add_middleware(RequestHygiene, max_body=MAX_BODY)
    app.add_middleware(PageHeaders)
    return app
