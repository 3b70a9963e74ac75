"""A server on loopback that speaks the part of the Kubernetes API that a renewal asks, over TLS."""

import json
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority

NAMESPACE = "mcp"
NAME = "gate-certificate"
PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}"
TOKEN = "the-token-of-the-renewal"


@dataclass
class ClusterApi:
    """One Secret, and what was asked about it. ``answer`` is given in place of the truth where it is set."""

    secret: dict[str, Any]
    environment: Mapping[str, str]
    account: Path
    asked: list[tuple[str, str, str | None]] = field(default_factory=list[tuple[str, str, str | None]])
    answer: tuple[int, bytes] | None = None
    before_writing: Callable[[], None] | None = None

    @property
    def files(self) -> dict[str, bytes]:
        return {name: b64decode(value) for name, value in self.secret["data"].items()}

    def change(self, files: Mapping[str, bytes]) -> None:
        """Let the Secret have these files, as somebody else does."""
        number = int(self.secret["metadata"]["resourceVersion"]) + 1
        data = {name: b64encode(content).decode() for name, content in files.items()}
        metadata = {**self.secret["metadata"], "resourceVersion": str(number)}
        self.secret = {**self.secret, "data": data, "metadata": metadata}


@contextmanager
def run_cluster_api(folder: Path, files: Mapping[str, bytes]) -> Generator[ClusterApi]:
    """Run the API; the account of a pod, with its token and the cluster's authority, is in ``folder``."""
    authority = Authority("a cluster")
    chain, key = authority.issue_for_server("127.0.0.1").write(folder, "api")
    account = folder / "account"
    account.mkdir()
    for name, text in {"token": f"{TOKEN}\n", "namespace": NAMESPACE, "ca.crt": authority.pem}.items():
        (account / name).write_text(text)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "resourceVersion": "1",
            "labels": {"team": "tools"},
        },
        "type": "kubernetes.io/tls",
        "data": {},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    port = str(server.server_address[1])
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    api = ClusterApi(secret, environment, account)
    api.change(files)
    _Handler.apis[int(port)] = api
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        del _Handler.apis[int(port)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    apis: dict[int, ClusterApi] = {}  # noqa: RUF012 - each server finds its own by its port

    def do_GET(self) -> None:
        api = self._note()
        self._answer(*(api.answer or (200, json.dumps(api.secret).encode())))

    def do_PUT(self) -> None:
        api = self._note()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if api.before_writing is not None:
            api.before_writing()
        if api.answer is not None:
            self._answer(*api.answer)
        elif body["metadata"]["resourceVersion"] != api.secret["metadata"]["resourceVersion"]:
            self._answer(409, b'{"kind":"Status","message":"the object has been modified"}')
        else:
            api.secret = body
            api.change(api.files)
            self._answer(200, json.dumps(api.secret).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing on standard error."""

    def _note(self) -> ClusterApi:
        address: Any = self.server.server_address
        api = self.apis[address[1]]
        api.asked.append((self.command, self.path, self.headers["Authorization"]))
        return api

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
