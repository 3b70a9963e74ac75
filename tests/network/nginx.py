"""A real nginx on free ports of loopback, which ends with the test that started it."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import environment, running

# Its own process does the work, so that it is one process that ends.
_MAIN = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""
_LISTENING = "using the"  # it says how it waits for events when its sockets are open


def find_nginx() -> str:
    """Return the path of nginx; a machine without it fails the test."""
    path = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if path is None:
        pytest.fail("There is no nginx on this machine: apt-get install nginx-light", pytrace=False)
    return path


def server_block(port: int, upstream: str, *directives: str) -> str:
    """Return a server that passes all on to ``upstream``, with these directives of its own."""
    lines = [
        f"listen 127.0.0.1:{port};",
        *directives,
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_set_header Host $host;",
        f"location / {{ proxy_pass {upstream}; }}",
    ]
    return "\n".join(["    server {", *(f"        {line}" for line in lines), "    }"])


@contextmanager
def run_nginx(folder: Path, *servers: str) -> Generator[None]:
    """Run nginx with these servers."""
    path = find_nginx()
    file = folder / "nginx.conf"
    file.write_text(_MAIN.format(folder=folder, servers="\n".join(servers)), "utf-8")
    command = [path, "-p", str(folder), "-e", "stderr", "-c", str(file)]
    with running(command, environment(folder), cwd=folder, ready=_LISTENING):
        yield
