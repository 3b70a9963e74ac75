"""The lines for nginx that the documentation shows are those that make it a proxy to be trusted."""

from contextlib import ExitStack, closing
from pathlib import Path

import yaml

from tests.docs.blocks import Block, blocks
from tests.network.nginx import run_nginx
from tests.support.client_gate import check_client, connect, open_client_gate
from tests.support.processes import free_port
from tunnelgate import Reason
from tunnelgate_app.listening.addresses import open_listener

GATE = "127.0.0.1:8080"
ALLOWED, OTHER = "127.0.0.2", "127.0.0.3"


def documented() -> tuple[Block, Block]:
    """Return the configuration of the gate and the lines for nginx, which stand one after the other."""
    page = [block for block in blocks("", "yaml") if block.page.name == "configuration.md"]
    lines = next(block for block in page if "proxy_pass" in block.text)
    return page[page.index(lines) - 1], lines


def test_behind_nginx_as_documented_each_client_is_who_it_is(tmp_path: Path) -> None:
    gate_block, nginx_block = documented()
    clients = {**yaml.safe_load(gate_block.text)["clients"], "allowed_ips": [ALLOWED]}
    assert GATE in nginx_block.text
    port = free_port()
    with ExitStack() as stack:
        listener = stack.enter_context(closing(open_listener("127.0.0.1:0")))
        gate = stack.enter_context(open_client_gate(listener, clients))
        own = nginx_block.text.replace(GATE, f"127.0.0.1:{listener.getsockname()[1]}")
        stack.enter_context(run_nginx(tmp_path, f"server {{ listen 127.0.0.1:{port};\n{own} }}"))
        for forged in ([], [("x-forwarded-for", ALLOWED)], [("forwarded", f"for={ALLOWED}")]):
            check_client(gate.ask(connect(port, ALLOWED), forged), 200, None, ALLOWED)
            check_client(gate.ask(connect(port, OTHER), forged), 403, Reason.CLIENT_NOT_ALLOWED, OTHER)
