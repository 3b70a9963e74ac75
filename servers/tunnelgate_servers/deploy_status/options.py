"""Reading: what a configuration file gives as options, checked once and before anything is served."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from tunnelgate import ConfigurationError
from tunnelgate.configuration.faults import faults_of
from tunnelgate_servers.deploy_status.folder import FolderSource
from tunnelgate_servers.deploy_status.records import NAME
from tunnelgate_servers.deploy_status.repository import RepositorySource, is_repository
from tunnelgate_servers.deploy_status.sources import RecordSource
from tunnelgate_servers.hosting import OptionsError

HEAD: Final = "HEAD"
"""The ref of a repository that is read unless another is named."""

_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_MAX_REF_CHARACTERS = 250
_NAMESPACE = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class KubernetesOptions(BaseModel):
    """Which clusters to ask, and as whom: by a kubeconfig and one of its contexts, or by the pod's account.

    `namespaces` are by their environments. `timeout` is in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_cluster: StrictBool = False
    kubeconfig: Annotated[Path, Field(strict=False)] | None = None
    context: Annotated[str, Field(min_length=1)] | None = None
    namespaces: Annotated[
        dict[Annotated[str, Field(pattern=NAME)], Annotated[str, Field(pattern=_NAMESPACE)]],
        Field(min_length=1),
    ]
    timeout: Annotated[float, Field(gt=0, le=30)] = 5

    @model_validator(mode="after")
    def _one_of_both(self) -> "KubernetesOptions":
        named = (self.kubeconfig is not None, self.context is not None)
        if named != ((False, False) if self.in_cluster else (True, True)):
            raise ValueError("needs kubeconfig and context, or in_cluster: true and neither of them")
        return self


def read_source(releases: object, ref: object, clock: Callable[[], datetime]) -> RecordSource:
    """Return the folder or the repository that the options name; raises `OptionsError`."""
    if not isinstance(releases, str | Path) or not os.fspath(releases):
        raise OptionsError("The option releases needs the path of a folder or of a git repository.")
    folder = Path(releases).absolute()
    if not folder.is_dir():
        raise OptionsError(f"The option releases names {folder}, which is not there or not a folder.")
    if not isinstance(ref, str) or not _REF.fullmatch(ref) or len(ref) > _MAX_REF_CHARACTERS or ".." in ref:
        raise OptionsError("The option ref needs the name of a branch or a tag, or a commit.")
    if is_repository(folder):
        return RepositorySource(folder, ref)
    if ref != HEAD:
        raise OptionsError(f"The option ref is for a git repository, and {folder} is none.")
    return FolderSource(folder, clock)


def read_kubernetes(value: object) -> KubernetesOptions:
    """Return what the option `kubernetes` says; raises `OptionsError` with every fault."""
    try:
        return KubernetesOptions.model_validate(value)
    except ValidationError as error:
        known: dict[str, Any] = {"": tuple(KubernetesOptions.model_fields)}
        raise OptionsError(
            str(ConfigurationError("The option kubernetes", faults_of(error, known)))
        ) from error
