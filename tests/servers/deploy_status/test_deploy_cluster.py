"""What a cluster says, asked by the official client over a real connection."""

import gzip
import json
import logging
import socket
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.deploy_status.cluster_server import (
    DEPLOYMENT,
    IMAGE,
    NAMESPACE,
    REPLICA_SETS,
    REVIEWS,
    TOKEN,
    Answer,
    Asked,
    ClusterServer,
    deployment,
    kubeconfig,
    replica_set,
    replica_sets,
    serving,
)
from tests.servers.deploy_status.releasing import HISTORY, digest, path, write_files
from tests.servers.serving import Era, connected, own_check_options, served, structured, token
from tests.support.certificates import Authority
from tunnelgate_servers.deploy_status import create_app
from tunnelgate_servers.deploy_status.cluster import open_cluster
from tunnelgate_servers.deploy_status.cluster.asking import KubernetesCluster
from tunnelgate_servers.deploy_status.cluster.rights import WRITING
from tunnelgate_servers.deploy_status.cluster.transport import MAX_ANSWER_BYTES
from tunnelgate_servers.deploy_status.options import KubernetesOptions
from tunnelgate_servers.deploy_status.records import Record, read_release
from tunnelgate_servers.deploy_status.results import ClusterAnswer
from tunnelgate_servers.hosting import OptionsError

RECORD = read_release(path(6), HISTORY[path(6)].encode()).record
NOT_REACHED = "The cluster cannot be asked at the moment; try again later."
CANNOT_ASK = "The cluster cannot be asked whether its credential can only read: "
Opened = Callable[..., KubernetesCluster]


@pytest.fixture
def server(tmp_path: Path) -> Generator[ClusterServer]:
    with serving(ClusterServer(), tmp_path) as server:
        yield server


def options(file: Path, **changes: Any) -> KubernetesOptions:
    said = {
        "kubeconfig": str(file),
        "context": "shop-reader",
        "namespaces": {"production": NAMESPACE},
        "timeout": 5,
        **changes,
    }
    return KubernetesOptions.model_validate(said)


@pytest.fixture
def opened(tmp_path: Path, server: ClusterServer) -> Generator[Opened]:
    """Open the cluster as a kubeconfig describes it, with changes to that or to the options."""
    clusters: list[KubernetesCluster] = []

    def open_it(*, kubernetes: dict[str, Any] | None = None, **changes: Any) -> KubernetesCluster:
        cluster = open_cluster(options(kubeconfig(tmp_path, server, **changes), **(kubernetes or {})))
        clusters.append(cluster)
        return cluster

    yield open_it
    for cluster in clusters:
        cluster.close()


def answer(cluster: KubernetesCluster, record: Record | None = RECORD) -> ClusterAnswer:
    found = cluster.answer("checkout", "production", record)
    assert found is not None
    return found


class TestAnswers:
    def test_what_runs_stands_beside_whether_it_is_what_the_record_says(self, opened: Opened) -> None:
        assert answer(opened()).model_dump() == {
            "status": "answered",
            "state": {
                "image": IMAGE,
                "running": ({"image": IMAGE, "replicas": 3, "ready_replicas": 3},),
                "desired_replicas": 3,
                "ready_replicas": 3,
                "rollout": "complete",
            },
            "drift": False,
            "explanation": "The cluster asks for the image of the record.",
        }

    def test_it_asks_for_one_deployment_and_its_replica_sets_and_nothing_else(
        self, opened: Opened, server: ClusterServer
    ) -> None:
        answer(opened())

        first, second = server.questions
        assert (first.method, first.path, first.query) == ("GET", DEPLOYMENT, {})
        assert (second.method, second.path) == ("GET", REPLICA_SETS)
        assert second.query == {"labelSelector": ["app=checkout,tier=shop"], "limit": ["200"]}

    def test_while_a_rollout_is_under_way_both_images_are_shown(
        self, opened: Opened, server: ClusterServer
    ) -> None:
        old = f"registry.example.com/shop/checkout:1.3.0@{digest(4)}"
        server.deployments[DEPLOYMENT] = deployment(status={"replicas": 4, "updatedReplicas": 2})
        server.replica_sets[REPLICA_SETS] = replica_sets(
            replica_set(IMAGE, 2, 1),
            replica_set(old, 2, 2),
            replica_set("registry.example.com/shop/checkout:1.2.0", 0, 0),
            replica_set("registry.example.com/shop/other:1", 5, 5, owner="d-2"),
        )

        state = answer(opened()).state

        assert state is not None
        assert state.rollout == "progressing"
        assert [(each.image, each.replicas, each.ready_replicas) for each in state.running] == (
            [(old, 2, 2), (IMAGE, 2, 1)]
        )

    def test_without_a_deployment_it_says_so(self, opened: Opened, server: ClusterServer) -> None:
        server.deployments.clear()

        found = answer(opened())

        assert (found.status, found.state, found.drift) == ("no deployment", None, None)
        assert found.explanation == "The cluster has no deployment of this name."

    def test_an_environment_without_a_namespace_is_not_asked_about(
        self, opened: Opened, server: ClusterServer
    ) -> None:
        assert opened().answer("checkout", "staging", RECORD) is None
        assert server.questions == []

    def test_an_answer_may_be_compressed(self, opened: Opened, server: ClusterServer) -> None:
        packed = gzip.compress(json.dumps(deployment()).encode())
        server.answering = lambda asked: (
            Answer(200, packed, {"content-encoding": "gzip"}) if asked.path == DEPLOYMENT else None
        )

        assert answer(opened()).status == "answered"

    def test_a_connection_is_used_again(self, opened: Opened, server: ClusterServer) -> None:
        cluster = opened()

        answers = {answer(cluster).status for _ in range(20)}

        assert answers == {"answered"}
        assert server.connections == 1


def never(server: ClusterServer) -> Callable[[Asked], Answer]:
    def wait(_: Asked) -> Answer:
        server.is_over.wait(30)
        return Answer(200, {})

    return wait


def dripping(server: ClusterServer) -> Callable[[Asked], Answer]:
    def drip() -> Iterator[bytes]:
        while not server.is_over.wait(0.02):
            yield b" "

    return lambda _: Answer(200, b"", dripping=drip())


def always(status: int, body: Any, **headers: str) -> Callable[[ClusterServer], Callable[[Asked], Answer]]:
    return lambda _: (
        lambda _: Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
    )


BOMB = gzip.compress(b" " * (MAX_ANSWER_BYTES + 1))
FAILURES = [
    pytest.param(always(401, {"kind": "Status"}), "it answers with status 401", id="a token that ran out"),
    pytest.param(always(403, {"kind": "Status"}), "it answers with status 403", id="a right that was taken"),
    pytest.param(always(429, {}, retry_after="3600"), "it answers with status 429", id="too many questions"),
    pytest.param(always(500, b"oops"), "it answers with status 500", id="an error of the cluster"),
    pytest.param(always(500, b"x" * 10_000_000), "it is not reached (AnswerError)", id="a huge error"),
    pytest.param(
        always(302, {}, location="https://127.0.0.1:1/"), "it answers with status 302", id="a redirect"
    ),
    pytest.param(always(200, b"{"), "its answer is not what Kubernetes documents", id="half an answer"),
    pytest.param(always(200, b""), "its answer is not what Kubernetes documents", id="an empty answer"),
    pytest.param(always(200, []), "its answer is not what Kubernetes documents", id="a list"),
    pytest.param(
        always(200, b"[" * 1_000_000), "its answer is not what Kubernetes documents", id="deep JSON"
    ),
    pytest.param(always(200, b"\xff\xfe"), "its answer is not what Kubernetes documents", id="no UTF-8"),
    pytest.param(
        always(200, {"kind": "Pod"}), "its answer is not what Kubernetes documents", id="another kind"
    ),
    pytest.param(
        always(200, b"x" * (MAX_ANSWER_BYTES + 1)), "it is not reached (AnswerError)", id="a huge answer"
    ),
    pytest.param(
        always(200, BOMB, content_encoding="gzip"),
        "it is not reached (AnswerError)",
        id="one that unpacks huge",
    ),
    pytest.param(
        always(200, b"this is not packed", content_encoding="gzip"),
        "it is not reached (DecodeError)",
        id="one that is not packed",
    ),
    pytest.param(
        always(200, b"{}", content_length="100"), "it is not reached (ReadTimeoutError)", id="one cut short"
    ),
    pytest.param(never, "it is not reached (ReadTimeoutError)", id="no answer"),
    pytest.param(dripping, "it is not reached (AnswerError)", id="an answer that drips"),
]


@pytest.mark.parametrize(("failing", "reason"), FAILURES)
def test_what_goes_wrong_with_the_cluster_stands_beside_the_record_and_in_the_log(
    opened: Opened,
    server: ClusterServer,
    caplog: pytest.LogCaptureFixture,
    failing: Callable[[ClusterServer], Callable[[Asked], Answer]],
    reason: str,
) -> None:
    cluster = opened(kubernetes={"timeout": 0.4})
    server.answering = failing(server)

    found = answer(cluster)

    assert (found.status, found.state, found.drift, found.explanation) == (
        "not reached",
        None,
        None,
        NOT_REACHED,
    )
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("tunnelgate_servers")]
    assert logged == [f"The cluster does not answer for checkout in {NAMESPACE}: {reason}"]
    assert len(server.questions) == 1


@pytest.mark.parametrize(("failing", "reason"), FAILURES)
def test_a_credential_that_nobody_can_vouch_for_is_not_used(
    opened: Opened,
    server: ClusterServer,
    failing: Callable[[ClusterServer], Callable[[Asked], Answer]],
    reason: str,
) -> None:
    server.answering = failing(server)

    with pytest.raises(OptionsError) as caught:
        opened(kubernetes={"timeout": 0.4})

    assert str(caught.value) == f"{CANNOT_ASK}{reason}."


def test_replica_sets_that_cannot_be_read_leave_no_half_an_answer(
    opened: Opened, server: ClusterServer
) -> None:
    cluster = opened()
    del server.replica_sets[REPLICA_SETS]

    assert answer(cluster).status == "not reached"


def test_a_cluster_that_is_gone_is_not_reached(tmp_path: Path) -> None:
    server = ClusterServer()
    with serving(server, tmp_path):
        cluster = open_cluster(options(kubeconfig(tmp_path, server)))
    with closing(cluster):
        assert answer(cluster).explanation == NOT_REACHED


def test_nothing_secret_is_logged_however_much_is_logged(
    opened: Opened, server: ClusterServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        cluster = opened()
        answer(cluster)
        server.answering = always(500, {"message": TOKEN})(server)
        answer(cluster)

    assert TOKEN not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


class TestRights:
    def test_every_right_to_write_is_asked_about_in_every_namespace(
        self, opened: Opened, server: ClusterServer
    ) -> None:
        opened(kubernetes={"namespaces": {"production": "b", "staging": "a", "canary": "b"}})

        asked = [each.right for each in server.asked]
        assert asked == [
            (namespace, group, "/".join(filter(None, (resource, subresource))), verb)
            for namespace in ("a", "b")
            for group, resource, subresource, verbs in WRITING
            for verb in verbs
        ]
        assert {
            (NAMESPACE, "apps", "deployments", verb) for verb in ("create", "update", "patch", "delete")
        } <= {(NAMESPACE, *each[1:]) for each in asked}

    @pytest.mark.parametrize(
        "right",
        [
            pytest.param(("apps", resource, subresource, verb), id=f"{verb} {resource} {subresource or ''}")
            for _, resource, subresource, verbs in WRITING
            for verb in verbs
        ],
    )
    def test_a_credential_that_may_write_is_refused(
        self, opened: Opened, server: ClusterServer, right: tuple[str, str, str | None, str]
    ) -> None:
        _, resource, subresource, verb = right
        what = "/".join(filter(None, (resource, subresource)))
        server.rights = {(NAMESPACE, "" if resource == "pods" else "apps", what, verb)}

        with pytest.raises(OptionsError) as caught:
            opened()

        assert str(caught.value) == (
            f"The cluster lets this credential {verb} {what} in the namespace {NAMESPACE}; "
            "use one that can only get and list deployments and replicasets."
        )
        assert server.questions == []

    def test_one_that_may_write_in_one_of_two_namespaces_is_refused(
        self, opened: Opened, server: ClusterServer
    ) -> None:
        server.rights = {("other", "apps", "deployments", "delete")}

        with pytest.raises(OptionsError, match="delete deployments in the namespace other"):
            opened(kubernetes={"namespaces": {"production": NAMESPACE, "staging": "other"}})

    @pytest.mark.parametrize(
        "status", [{}, {"allowed": "false"}, {"allowed": None}, {"allowed": 0}, None, "allowed"]
    )
    def test_an_answer_that_does_not_say_no_is_no_answer(
        self, opened: Opened, server: ClusterServer, status: Any
    ) -> None:
        server.answering = lambda asked: Answer(201, {**asked.body, "status": status})

        with pytest.raises(OptionsError, match="its answer is not what Kubernetes documents"):
            opened()


class TestServer:
    @pytest.mark.parametrize("era", ["2026-07-28", "legacy"])
    @pytest.mark.anyio
    async def test_the_current_release_has_what_the_cluster_runs(
        self, tmp_path: Path, server: ClusterServer, era: Era
    ) -> None:
        folder = write_files(tmp_path / "releases", HISTORY)
        said = options(kubeconfig(tmp_path, server)).model_dump(mode="json", exclude_none=True)
        server.deployments[DEPLOYMENT] = deployment(f"registry.example.com/shop/checkout:1.3.0@{digest(4)}")
        app = create_app(releases=folder, kubernetes=said, **own_check_options(tmp_path))
        with served(app) as url:
            async with connected(url, era, token("deploy:read")) as client:
                asked = {"service": "checkout", "environment": "production"}
                drifted = structured(await client.call_tool("current_release", asked))
                server.answering = always(503, b"")(server)
                lost = structured(await client.call_tool("current_release", asked))
                staging = structured(
                    await client.call_tool("current_release", {**asked, "environment": "staging"})
                )

        assert drifted["current"]["version"] == lost["current"]["version"] == "1.3.1"
        assert (drifted["cluster"]["drift"], drifted["cluster"]["state"]["desired_replicas"]) == (True, 3)
        assert drifted["cluster"]["explanation"] == (
            "The cluster asks for another digest of the image than the record."
        )
        assert (lost["cluster"]["status"], lost["cluster"]["explanation"]) == ("not reached", NOT_REACHED)
        assert staging["cluster"]["status"] == "not configured"

    def test_it_does_not_start_with_a_credential_that_may_write(
        self, tmp_path: Path, server: ClusterServer
    ) -> None:
        folder = write_files(tmp_path / "releases", HISTORY)
        server.rights = {(NAMESPACE, "apps", "deployments", "patch")}
        said = options(kubeconfig(tmp_path, server)).model_dump(mode="json", exclude_none=True)

        with pytest.raises(OptionsError, match="lets this credential patch deployments"):
            create_app(releases=folder, kubernetes=said)


def test_a_certificate_of_another_authority_is_not_believed(opened: Opened, server: ClusterServer) -> None:
    other = b64encode(Authority("Somebody else's").pem.encode()).decode()

    with pytest.raises(OptionsError) as caught:
        opened(cluster={"certificate-authority-data": other})

    assert str(caught.value) == f"{CANNOT_ASK}it is not reached (SSLError)."
    assert server.asked == []


def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    server = ClusterServer()
    credential = server.authority.issue_for_server("cluster.example.com")
    with serving(server, tmp_path, credential):
        with pytest.raises(OptionsError, match="SSLError"):
            open_cluster(options(kubeconfig(tmp_path, server)))
        named = kubeconfig(tmp_path, server, cluster={"tls-server-name": "cluster.example.com"})
        with closing(open_cluster(options(named))) as cluster:
            assert answer(cluster).status == "answered"


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_no_proxy_of_the_environment_is_used(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        assert answer(opened()).status == "answered"
        listener.setblocking(False)  # noqa: FBT003 - the socket's signature
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_every_review_goes_to_the_documented_place(opened: Opened, server: ClusterServer) -> None:
    opened()

    assert {(each.method, each.path) for each in server.asked} == {("POST", REVIEWS)}
    assert all(each.body["spec"].keys() == {"resourceAttributes"} for each in server.asked)
