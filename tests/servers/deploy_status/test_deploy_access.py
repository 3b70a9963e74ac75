"""Where a cluster is and how it is asked: kubeconfigs, and the account of a pod."""

import base64
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.servers.deploy_status.cluster_server import TOKEN, ClusterServer, kubeconfig, serving
from tests.support.certificates import Credential, new_key
from tunnelgate_servers.deploy_status.cluster import open_cluster
from tunnelgate_servers.deploy_status.cluster.access import MAX_FILE_BYTES, in_cluster_access
from tunnelgate_servers.deploy_status.cluster.asking import KubernetesCluster
from tunnelgate_servers.deploy_status.cluster.kubeconfig import kubeconfig_access
from tunnelgate_servers.deploy_status.cluster.transport import api_client
from tunnelgate_servers.deploy_status.options import KubernetesOptions
from tunnelgate_servers.hosting import OptionsError

NEEDS = (
    " It needs an https server with the certificate of its authority, and a token or a client certificate."
)


@pytest.fixture
def server(tmp_path: Path) -> Generator[ClusterServer]:
    with serving(ClusterServer(), tmp_path) as server:
        yield server


def status_by(file: Path) -> str:
    said = KubernetesOptions(
        kubeconfig=file, context="shop-reader", namespaces={"production": "shop-production"}
    )
    with closing(open_cluster(said)) as cluster:
        found = cluster.answer("checkout", "production", None)
    assert found is not None
    return found.status


def refused(file: Path, context: str = "shop-reader") -> str:
    with pytest.raises(OptionsError) as caught:
        kubeconfig_access(file, context)
    return str(caught.value)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestKubeconfig:
    @pytest.fixture
    def reader(self, server: ClusterServer) -> Credential:
        return server.authority.issue("reader")

    def test_a_token_is_shown(self, tmp_path: Path, server: ClusterServer) -> None:
        assert status_by(kubeconfig(tmp_path, server)) == "answered"
        assert {each.headers["authorization"] for each in server.asked} == {f"Bearer {TOKEN}"}

    def test_the_token_of_a_file_is_read_again_for_each_question(
        self, tmp_path: Path, server: ClusterServer
    ) -> None:
        token = tmp_path / "token"
        token.write_text(f"{TOKEN}\n")
        file = kubeconfig(tmp_path, server, user={"token": None, "tokenFile": "token"})
        said = KubernetesOptions(
            kubeconfig=file, context="shop-reader", namespaces={"production": "shop-production"}
        )
        with closing(open_cluster(said)) as cluster:
            token.write_text("another")
            refused = cluster.answer("checkout", "production", None)
            token.unlink()
            gone = cluster.answer("checkout", "production", None)
            token.write_text(TOKEN)
            again = cluster.answer("checkout", "production", None)

        assert refused
        assert gone
        assert again
        assert [each.status for each in (refused, gone, again)] == ["not reached", "not reached", "answered"]

    @pytest.mark.parametrize("where", ["in the kubeconfig", "in files beside it"])
    def test_a_client_certificate_is_shown(
        self, tmp_path: Path, server: ClusterServer, reader: Credential, where: str
    ) -> None:
        user: dict[str, Any] = {"token": None}
        if where == "in the kubeconfig":
            user |= {
                "client-certificate-data": encoded(reader.chain_pem),
                "client-key-data": encoded(reader.key_pem()),
            }
        else:
            certificate, key = reader.write(tmp_path, "reader")
            user |= {"client-certificate": certificate.name, "client-key": key.name}

        assert status_by(kubeconfig(tmp_path, server, user=user)) == "answered"
        assert all(each.certificate for each in server.asked)

    def test_the_key_of_a_client_certificate_does_not_stay_on_the_disk(
        self, tmp_path: Path, server: ClusterServer, reader: Credential, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        private = tmp_path / "private"
        private.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(private))
        user = {
            "client-certificate-data": encoded(reader.chain_pem),
            "client-key-data": encoded(reader.key_pem()),
        }

        kubeconfig_access(kubeconfig(tmp_path, server, user=user), "shop-reader")

        assert list(private.iterdir()) == []

    def test_an_authority_may_stand_in_a_file(self, tmp_path: Path, server: ClusterServer) -> None:
        server.authority.write(tmp_path, "authority")
        cluster = {"certificate-authority-data": None, "certificate-authority": "authority.pem"}

        assert status_by(kubeconfig(tmp_path, server, cluster=cluster)) == "answered"

    def test_without_an_authority_those_of_the_system_are_believed(
        self, tmp_path: Path, server: ClusterServer
    ) -> None:
        file = kubeconfig(tmp_path, server, cluster={"certificate-authority-data": None})

        with pytest.raises(OptionsError, match="SSLError"):
            status_by(file)

    def test_extensions_of_a_cluster_make_no_difference(self, tmp_path: Path, server: ClusterServer) -> None:
        cluster = {"extensions": [{"name": "a", "extension": {"b": "c"}}]}

        assert status_by(kubeconfig(tmp_path, server, cluster=cluster)) == "answered"

    @pytest.mark.parametrize("variable", ["KUBECONFIG", "KUBERNETES_MASTER", "HOME"])
    def test_no_variable_of_the_environment_leads_elsewhere(
        self, tmp_path: Path, server: ClusterServer, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))

        assert status_by(kubeconfig(tmp_path, server)) == "answered"

    @pytest.mark.parametrize(
        ("user", "names"),
        [
            pytest.param({"exec": {"command": "touch", "args": ["ran"]}}, "exec", id="a command"),
            pytest.param({"auth-provider": {"name": "gcp"}}, "auth-provider", id="a provider"),
            pytest.param({"username": "u", "password": "p"}, "password, username", id="a password"),
            pytest.param({"as": "admin"}, "as", id="another identity"),
            pytest.param({"token": ["a"]}, "token", id="a list as token"),
        ],
    )
    def test_what_is_not_used_is_refused_by_its_name(
        self, tmp_path: Path, server: ClusterServer, user: dict[str, Any], names: str
    ) -> None:
        said = refused(kubeconfig(tmp_path, server, user=user))

        assert said == f"The kubeconfig has what is not used here: {names}.{NEEDS}"
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("cluster", "names"),
        [
            pytest.param(
                {"insecure-skip-tls-verify": "true"}, "insecure-skip-tls-verify", id="believing anybody"
            ),
            pytest.param({"proxy-url": "http://proxy.example.com"}, "proxy-url", id="a proxy"),
            pytest.param({"server": "http://127.0.0.1:1"}, "server", id="no TLS"),
            pytest.param({"server": "https://user:secret@127.0.0.1"}, "server", id="a password in the URL"),
            pytest.param({"server": None}, "server", id="no server"),
        ],
    )
    def test_a_cluster_that_is_not_reached_safely_is_refused(
        self, tmp_path: Path, server: ClusterServer, cluster: dict[str, Any], names: str
    ) -> None:
        said = refused(kubeconfig(tmp_path, server, cluster=cluster))

        assert said == f"The kubeconfig has what is not used here: {names}.{NEEDS}"
        assert "secret" not in said

    @pytest.mark.parametrize(
        ("changes", "many"),
        [
            pytest.param({"contexts": []}, "contexts", id="no context"),
            pytest.param({"contexts": "shop-reader"}, "contexts", id="contexts that are no list"),
            pytest.param({"contexts": ["shop-reader"]}, "contexts", id="a context that is a text"),
            pytest.param({"contexts": [{"name": "shop-reader"}]}, "contexts", id="a context without content"),
            pytest.param({"clusters": []}, "clusters", id="no cluster"),
            pytest.param(
                {"users": [{"name": "reader", "user": {"token": t}} for t in "ab"]}, "users", id="two users"
            ),
            pytest.param({"users": [{"name": "reader", "user": ""}]}, "users", id="a user without content"),
        ],
    )
    def test_an_entry_that_is_not_there_once_is_refused(
        self, tmp_path: Path, server: ClusterServer, changes: dict[str, Any], many: str
    ) -> None:
        assert refused(kubeconfig(tmp_path, server, **changes)) == (
            f"The kubeconfig needs exactly one entry in {many} that the context names."
        )

    def test_a_context_that_is_not_there_is_refused(self, tmp_path: Path, server: ClusterServer) -> None:
        assert "one entry in contexts" in refused(kubeconfig(tmp_path, server), "somewhere-else")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            pytest.param(b"[", "it is not YAML", id="no YAML"),
            pytest.param(b"- a", "it is not a mapping.", id="a list"),
            pytest.param(b"a: &x b", "it has an anchor in line 1.", id="an anchor"),
        ],
    )
    def test_a_file_that_is_no_kubeconfig_is_a_sentence(
        self, tmp_path: Path, content: bytes, said: str
    ) -> None:
        file = tmp_path / "kubeconfig.yaml"
        file.write_bytes(content)

        assert refused(file).startswith(f"The kubeconfig {file} cannot be used: {said}")

    def test_a_file_that_is_not_there_is_a_sentence(self, tmp_path: Path) -> None:
        file = tmp_path / "missing"

        assert refused(file) == f"The file {file} cannot be read: No such file or directory."

    def test_a_file_that_is_too_large_is_a_sentence(self, tmp_path: Path) -> None:
        file = tmp_path / "large"
        file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))

        assert refused(file) == f"The file {file} is larger than {MAX_FILE_BYTES} bytes."

    @pytest.mark.parametrize(
        ("user", "said"),
        [
            pytest.param(
                {"client-certificate-data": encoded("x")},
                "The kubeconfig has a client certificate or its key without the other.",
                id="no key",
            ),
            pytest.param(
                {"client-key-data": encoded("x")},
                "The kubeconfig has a client certificate or its key without the other.",
                id="no certificate",
            ),
            pytest.param(
                {"client-certificate-data": "!", "client-key-data": "!"},
                "The kubeconfig has data that is not base64.",
                id="no base64",
            ),
            pytest.param(
                {"client-certificate-data": encoded("x"), "client-key-data": encoded("x")},
                "The kubeconfig's client certificate and key cannot be used.",
                id="no certificate at all",
            ),
        ],
    )
    def test_a_client_certificate_that_cannot_be_used_is_a_sentence(
        self, tmp_path: Path, server: ClusterServer, user: dict[str, str], said: str
    ) -> None:
        assert refused(kubeconfig(tmp_path, server, user=user)) == said

    @pytest.mark.parametrize("key", ["of another certificate", "under a password"])
    def test_a_key_that_does_not_fit_is_a_sentence(
        self, tmp_path: Path, server: ClusterServer, reader: Credential, key: str
    ) -> None:
        pem = (
            reader.key_pem("password")
            if key == "under a password"
            else Credential(reader.der, new_key()).key_pem()
        )
        user = {"client-certificate-data": encoded(reader.chain_pem), "client-key-data": encoded(pem)}

        assert refused(kubeconfig(tmp_path, server, user=user)) == (
            "The kubeconfig's client certificate and key cannot be used."
        )

    @pytest.mark.parametrize(
        "text", ["x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "é"]
    )
    def test_an_authority_that_cannot_be_used_is_a_sentence(
        self, tmp_path: Path, server: ClusterServer, text: str
    ) -> None:
        file = kubeconfig(tmp_path, server, cluster={"certificate-authority-data": encoded(text)})

        assert refused(file) == "The certificate of the cluster's authority cannot be used."


class TestPod:
    @pytest.fixture
    def account(self, tmp_path: Path, server: ClusterServer) -> Path:
        folder = tmp_path / "serviceaccount"
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        (folder / "ca.crt").write_text(server.authority.pem)
        return folder

    @pytest.fixture
    def environment(self, server: ClusterServer) -> dict[str, str]:
        port = str(urlsplit(server.url).port)
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}

    def test_the_account_of_the_pod_is_used(
        self,
        account: Path,
        environment: dict[str, str],
        server: ClusterServer,
    ) -> None:
        client = api_client(in_cluster_access(account, environment), 5)

        with closing(KubernetesCluster(client, {"production": "shop-production"})) as cluster:
            found = cluster.answer("checkout", "production", None)

        assert found
        assert found.status == "answered"
        assert {each.headers["authorization"] for each in server.asked} == {f"bearer {TOKEN}"}

    def test_outside_of_a_pod_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        said = KubernetesOptions(in_cluster=True, namespaces={"production": "shop-production"})

        with pytest.raises(OptionsError) as caught:
            open_cluster(said)

        assert str(caught.value) == "The account of the pod cannot be used: Service host/port is not set."

    @pytest.mark.parametrize("missing", ["token", "ca.crt", "KUBERNETES_SERVICE_HOST"])
    def test_what_is_missing_of_an_account_is_a_sentence(
        self, account: Path, environment: dict[str, str], missing: str
    ) -> None:
        (account / missing).unlink(missing_ok=True)
        environment.pop(missing, None)

        with pytest.raises(OptionsError, match=r"^The account of the pod cannot be used: .*\.$"):
            in_cluster_access(account, environment)

    def test_an_account_whose_authority_is_no_certificate_is_a_sentence(
        self, account: Path, environment: dict[str, str]
    ) -> None:
        (account / "ca.crt").write_text("x")

        with pytest.raises(OptionsError, match="The certificate of the cluster's authority cannot be used"):
            in_cluster_access(account, environment)


@pytest.mark.checkout
def test_the_manifest_of_the_account_can_look_and_nothing_else() -> None:
    file = Path(__file__).parents[3] / "deploy" / "kubernetes" / "deploy-status-reader.yaml"
    documents = {each["kind"]: each for each in yaml.safe_load_all(file.read_text())}

    assert set(documents) == {"ServiceAccount", "Role", "RoleBinding"}
    assert documents["Role"]["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list"]}
    ]
    (subject,) = documents["RoleBinding"]["subjects"]
    assert (subject["kind"], subject["name"]) == (
        "ServiceAccount",
        documents["ServiceAccount"]["metadata"]["name"],
    )
    assert documents["RoleBinding"]["roleRef"]["kind"] == "Role"
    assert documents["RoleBinding"]["roleRef"]["name"] == documents["Role"]["metadata"]["name"]
