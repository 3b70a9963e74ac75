import ssl
from pathlib import Path

import pytest

from tests.support.asgi import Spy
from tests.support.certificates import Authority, Credential, client_context
from tests.support.servers import serve
from tests.support.tunnels import HOST, Tunnel, get, server_credential, tunnelled
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.listening.tls_files import TlsFiles, open_tls

AUTHORITY = Authority("the authority")
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]


def opened(folder: Path, credential: Credential) -> ssl.SSLContext:
    return open_tls(TlsFiles(*credential.write(folder, "server")))


def shown_by(tunnel: Tunnel) -> bytes | None:
    return tunnel.tls.getpeercert(binary_form=True)


def test_a_new_connection_is_shown_the_new_certificate_and_an_open_one_goes_on(tmp_path: Path) -> None:
    first, second = server_credential(AUTHORITY), server_credential(AUTHORITY)
    tls = ListenerTls(opened(tmp_path, first))

    with serve(Spy(), tls=tls) as port, tunnelled(port, AUTHORITY) as before:
        before.ask(get())
        tls.replace(opened(tmp_path, second))
        with tunnelled(port, AUTHORITY) as after:
            after.ask(get())
            assert (shown_by(before), shown_by(after)) == (first.der, second.der)
        assert before.ask(get()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", VERSIONS)
def test_who_comes_back_with_a_session_resumes_it_and_after_a_change_begins_anew(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = client_context(AUTHORITY, version=version)
    tls = ListenerTls(opened(tmp_path, server_credential(AUTHORITY)))

    with serve(Spy(), tls=tls) as port:
        with tunnelled(port, context) as first:
            first.ask(get())
            session = first.tls.session
        with tunnelled(port, context, session=session) as second:
            second.ask(get())
            assert second.tls.session_reused
        tls.replace(opened(tmp_path, server_credential(AUTHORITY)))
        with tunnelled(port, context, session=session) as third:
            assert third.ask(get()).startswith(b"HTTP/1.1 200 ")
            assert not third.tls.session_reused


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_client_asked_for_by_name_is_told_to_the_application(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    spy = Spy()
    context = client_context(AUTHORITY, version=version)
    context.check_hostname = False
    tls = ListenerTls(opened(tmp_path, server_credential(AUTHORITY)))

    with serve(spy, tls=tls) as port:
        tls.replace(opened(tmp_path, server_credential(AUTHORITY)))
        session: ssl.SSLSession | None = None
        for name in (HOST, "WIKI.Example.com", None):
            with tunnelled(port, context, name) as tunnel:
                tunnel.ask(get())
                session = tunnel.tls.session if name == HOST else session
        with tunnelled(port, context, HOST, session=session) as resumed:
            resumed.ask(get())
            assert resumed.tls.session_reused

    names = [scope["extensions"]["tls"]["server_name"] for scope in spy.scopes]
    assert names == [HOST, "wiki.example.com", None, HOST]
