"""What a Kubernetes cluster says that it runs, by the official client, with nothing that could change it.

This package is imported only when a cluster is configured.
"""

from tunnelgate_servers.deploy_status.cluster.access import in_cluster_access
from tunnelgate_servers.deploy_status.cluster.asking import KubernetesCluster
from tunnelgate_servers.deploy_status.cluster.kubeconfig import kubeconfig_access
from tunnelgate_servers.deploy_status.cluster.rights import require_reader
from tunnelgate_servers.deploy_status.cluster.transport import api_client
from tunnelgate_servers.deploy_status.options import KubernetesOptions
from tunnelgate_servers.hosting import OptionsError

__all__ = ["open_cluster"]


def open_cluster(options: KubernetesOptions) -> KubernetesCluster:
    """Return the cluster, which has been asked whether the credential can only read.

    Raises `OptionsError` for a credential that may change deployments, and when that cannot be asked.
    """
    if options.kubeconfig is None or options.context is None:
        access = in_cluster_access()
    else:
        access = kubeconfig_access(options.kubeconfig, options.context)
    client = api_client(access, options.timeout)
    try:
        require_reader(client, sorted(set(options.namespaces.values())))
    except OptionsError:
        client.rest_client.close()
        raise
    return KubernetesCluster(client, options.namespaces)
