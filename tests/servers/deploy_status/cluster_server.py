"""A server on loopback that speaks the part of the Kubernetes API that deploy-status asks, over TLS."""

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.servers.deploy_status.releasing import digest
from tests.support.certificates import Authority, Credential

TOKEN = "reader-of-shop-production"
NAMESPACE = "shop-production"
IMAGE = f"registry.example.com/shop/checkout:1.3.1@{digest(6)}"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/checkout"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
_LIMIT = 30  # seconds that any wait may take


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any
    certificate: Any

    @property
    def right(self) -> tuple[str, ...]:
        """What a review asks about: namespace, group, resource with its subresource, verb."""
        attributes = self.body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (attributes["resource"], attributes.get("subresource"))))
        return attributes["namespace"], attributes["group"], resource, attributes["verb"]


@dataclass
class Answer:
    """What is answered: a status and a body, as JSON unless it is octets, and octets that come after it."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    dripping: Iterable[bytes] | None = None


Answering = Callable[[Asked], "Answer | None"]


def pods(image: str = IMAGE, name: str = "checkout") -> dict[str, Any]:
    sidecar = {"name": "proxy", "image": "registry.example.com/proxy:9"}
    return {
        "metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [sidecar, {"name": name, "image": image}]},
    }


def deployment(image: str = IMAGE, **changes: Any) -> dict[str, Any]:
    """Return a deployment whose rollout is complete, with changes to its spec and its status."""
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "checkout", "tier": "shop"}},
        "template": pods(image),
        **changes.pop("spec", {}),
    }
    status = {
        "observedGeneration": 7,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": [
            {"type": "Available", "status": "True"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
        **changes.pop("status", {}),
    }
    metadata = {"name": "checkout", "uid": "d-1", "generation": 7, **changes.pop("metadata", {})}
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": metadata,
        "spec": spec,
        "status": status,
        **changes,
    }


def replica_set(image: str, replicas: int, ready: int, owner: str = "d-1") -> dict[str, Any]:
    return {
        "metadata": {"uid": f"r-{image}-{owner}", "ownerReferences": [{"kind": "Deployment", "uid": owner}]},
        "spec": {"replicas": replicas, "template": pods(image)},
        "status": {"replicas": replicas, "readyReplicas": ready},
    }


def replica_sets(*items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "ReplicaSetList", "apiVersion": "apps/v1", "metadata": {}, "items": list(items)}


class ClusterServer:
    """A cluster: what it holds, what it lets its callers do, and what it was asked.

    `rights` are what is allowed, as `Asked.right`. `answering` answers before anything else does, where it
    does not return `None`.
    """

    def __init__(self) -> None:
        self.deployments: dict[str, Any] = {DEPLOYMENT: deployment()}
        self.replica_sets: dict[str, Any] = {REPLICA_SETS: replica_sets(replica_set(IMAGE, 3, 3))}
        self.rights: set[tuple[str, ...]] = set()
        self.answering: Answering = lambda _: None
        self.asked: list[Asked] = []
        self.connections = 0
        self.is_over = threading.Event()
        self.url = ""
        self.authority = Authority("The cluster's own")

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answering(asked)
        if answer is not None:
            return answer
        scheme, _, shown = asked.headers.get("authorization", "").partition(" ")
        if (scheme.lower(), shown) != ("bearer", TOKEN) and not asked.certificate:
            return Answer(401, {"kind": "Status", "status": "Failure", "code": 401})
        if asked.path == REVIEWS and asked.method == "POST":
            status = {"allowed": asked.right in self.rights, "reason": "RBAC"}
            return Answer(201, {**asked.body, "status": status})
        found = {**self.deployments, **self.replica_sets}.get(asked.path)
        if found is None or asked.method != "GET":
            return Answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
        return Answer(200, found)

    @property
    def questions(self) -> list[Asked]:
        """What was asked beside the reviews of the start."""
        return [each for each in self.asked if each.path != REVIEWS]


def kubeconfig(folder: Path, server: ClusterServer, **changes: Any) -> Path:
    """Write the kubeconfig of a server into a folder; parts that are `None` are left out."""
    cluster = {
        "server": server.url,
        "certificate-authority-data": b64encode(server.authority.pem.encode()).decode(),
        **changes.pop("cluster", {}),
    }
    user = {"token": TOKEN, **changes.pop("user", {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "somewhere-else",
        "clusters": [{"name": "shop", "cluster": {k: v for k, v in cluster.items() if v is not None}}],
        "users": [{"name": "reader", "user": {k: v for k, v in user.items() if v is not None}}],
        "contexts": [{"name": "shop-reader", "context": {"cluster": "shop", "user": "reader"}}],
        **changes,
    }
    file = folder / "kubeconfig.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


@contextmanager
def serving(
    server: ClusterServer, folder: Path, credential: Credential | None = None
) -> Generator[ClusterServer]:
    """Serve a cluster from threads on a free port of loopback."""
    issued = credential or server.authority.issue_for_server("127.0.0.1", "cluster.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(folder, "cluster"))
    context.load_verify_locations(cadata=server.authority.pem)
    context.verify_mode = ssl.CERT_OPTIONAL

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        connection: ssl.SSLSocket
        timeout = _LIMIT

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            size = int(self.headers.get("content-length", 0))
            asked = Asked(
                self.command,
                unquote(split.path),
                parse_qs(split.query),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(self.rfile.read(size)) if size else None,
                self.connection.getpeercert(),
            )
            if server.is_over.is_set():
                self.close_connection = True
                return
            answer = server.answer(asked)
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            length = len(body) if answer.dripping is None else 1_000_000
            self.send_response(answer.status)
            headers = {"content-type": "application/json", "content-length": str(length), **answer.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            for octets in answer.dripping or ():
                self.wfile.write(octets)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that it has
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def get_request(self) -> Any:
            connection, address = self.socket.accept()
            connection.settimeout(_LIMIT)
            server.connections += 1
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Keep quiet about clients that go away."""

    with Server(("127.0.0.1", 0), Handler) as listener:
        server.url = f"https://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            listener.shutdown()
            thread.join(_LIMIT)
    assert not thread.is_alive()
