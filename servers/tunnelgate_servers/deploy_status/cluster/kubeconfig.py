"""Reading: a kubeconfig, of which one context is used.

A kubeconfig can name commands to run, proxies, passwords and other identities. None of that is used: a
cluster has an https server and the certificate of its authority, and a user has a token or a client
certificate, as texts or in files. No variable of the environment is looked at.

Specification: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from kubernetes.client import Configuration
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tunnelgate.reading.strict_json import is_array, is_object
from tunnelgate_servers.deploy_status.cluster.access import (
    Access,
    believing,
    new_configuration,
    read_file,
    show_certificate,
)
from tunnelgate_servers.deploy_status.plain_yaml import YamlError, read_plain_yaml
from tunnelgate_servers.hosting import OptionsError

_Model = TypeVar("_Model", bound=BaseModel)


class _Cluster(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    server: Annotated[str, Field(pattern=r"^https://[^/@\s]+(/[^@\s]*)?$")]
    authority: Annotated[str | None, Field(alias="certificate-authority")] = None
    authority_data: Annotated[str | None, Field(alias="certificate-authority-data")] = None
    server_name: Annotated[str | None, Field(alias="tls-server-name")] = None
    extensions: Any = None


class _User(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr | None = None
    token_file: Annotated[str | None, Field(alias="tokenFile")] = None
    certificate: Annotated[str | None, Field(alias="client-certificate")] = None
    certificate_data: Annotated[str | None, Field(alias="client-certificate-data")] = None
    key: Annotated[str | None, Field(alias="client-key")] = None
    key_data: Annotated[SecretStr | None, Field(alias="client-key-data")] = None


def kubeconfig_access(file: Path, context: str) -> Access:
    """Return the way that one context of a kubeconfig describes; raises `OptionsError`."""
    config = _read_kubeconfig(file)
    chosen = _named(config, "contexts", "context", context)
    cluster = _parsed(_Cluster, _named(config, "clusters", "cluster", chosen.get("cluster")))
    user = _parsed(_User, _named(config, "users", "user", chosen.get("user")))
    folder = file.parent
    configuration = new_configuration(cluster.server)
    _show_token(configuration, user, folder)
    tls = believing(_from_either(cluster.authority, cluster.authority_data, folder))
    certificate = _from_either(user.certificate, user.certificate_data, folder)
    key = _from_either(user.key, None if user.key_data is None else user.key_data.get_secret_value(), folder)
    if certificate is not None and key is not None:
        show_certificate(tls, certificate, key)
    elif certificate is not None or key is not None:
        raise OptionsError("The kubeconfig has a client certificate or its key without the other.")
    return Access(configuration, tls, cluster.server_name)


def _read_kubeconfig(file: Path) -> Mapping[str, Any]:
    try:
        config = read_plain_yaml(read_file(file))
    except YamlError as error:
        raise OptionsError(f"The kubeconfig {file} cannot be used: {error}.") from None
    if not is_object(config):
        raise OptionsError(f"The kubeconfig {file} cannot be used: it is not a mapping.")
    return config


def _named(config: Mapping[str, Any], many: str, one: str, name: object) -> Mapping[str, Any]:
    listed: Any = config.get(many)
    entries: list[Any] = listed if is_array(listed) else []
    found: list[Any] = [each.get(one) for each in entries if is_object(each) and each.get("name") == name]
    if len(found) != 1 or not is_object(found[0]):
        raise OptionsError(f"The kubeconfig needs exactly one entry in {many} that the context names.")
    return found[0]


def _parsed(model: type[_Model], value: Mapping[str, Any]) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        names = sorted({str(each["loc"][0]) for each in error.errors(include_input=False)})
        raise OptionsError(
            f"The kubeconfig has what is not used here: {', '.join(names)}. It needs an https server with "
            "the certificate of its authority, and a token or a client certificate."
        ) from None


def _show_token(configuration: Configuration, user: _User, folder: Path) -> None:
    if user.token_file is not None:
        file = folder / user.token_file
        read_file(file)  # so that one that is not there is found now

        def refresh(refreshed: Configuration) -> None:
            token = file.read_text("utf-8", errors="replace").strip()
            refreshed.api_key["BearerToken"] = f"Bearer {token}"

        refresh(configuration)  # without a token, the client would not look for another
        hooks: Any = configuration  # whose own annotation knows no other hook than none
        hooks.refresh_api_key_hook = refresh
    elif user.token is not None:
        configuration.api_key["BearerToken"] = f"Bearer {user.token.get_secret_value()}"


def _from_either(file: str | None, data: str | None, folder: Path) -> bytes | None:
    """Return what stands in a file beside the kubeconfig, or as base64 in it, which comes first."""
    if data is not None:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise OptionsError("The kubeconfig has data that is not base64.") from None
    return None if file is None else read_file(folder / file)
