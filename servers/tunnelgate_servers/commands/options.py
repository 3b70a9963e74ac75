"""The file that `tunnelgate-servers serve` reads: where to listen, and the options of `create_app`.

::

    listen_addr: 127.0.0.1:9001
    resource: http://127.0.0.1:9001/mcp
    oauth:
      issuers:
        - issuer: https://login.example.com/
    database: sqlite:///docs.sqlite
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo
from sqlalchemy.engine import make_url

from tunnelgate import ConfigurationError, ConfigurationFault, OAuth
from tunnelgate.configuration.faults import faults_of
from tunnelgate.configuration.fields import listen_address
from tunnelgate.configuration.oauth import IntrospectionClient, Issuer
from tunnelgate.configuration.sources import beside, read_yaml
from tunnelgate.configuration.types import Frozen, NotEmpty, Section
from tunnelgate_servers.hosting import OptionsError, read_url

_ALONE: Final = "is required: by itself, a server answers only tokens that were made for it"


def _listen_addr(value: str) -> str:
    if value.startswith("unix:"):
        raise ValueError("is a Unix socket, on which these servers do not listen")
    return listen_address(value)


def _beside(value: str, info: ValidationInfo) -> str:
    folder = cast("Path", info.context)
    return str(folder / value)


def _database(value: str, info: ValidationInfo) -> str:
    try:
        url = read_url(value)
    except OptionsError as error:
        raise ValueError(str(error).removeprefix("The option database ").removesuffix(".")) from None
    if url.get_backend_name() == "sqlite":
        # Not what read_url gives, which names the driver that the server chooses.
        given = make_url(value)
        return given.set(database=_beside(str(given.database), info)).render_as_string(hide_password=False)
    return value


def _kubeconfig(value: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
    file = value.get("kubeconfig")
    return {**value, "kubeconfig": _beside(file, info)} if isinstance(file, str) else value


File: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_beside)]
Database: TypeAlias = Annotated[str, AfterValidator(_database)]


class ServeOptions(Section):
    """What every server is told: where it listens, and whose tokens it takes."""

    listen_addr: Annotated[str, AfterValidator(_listen_addr)]
    resource: str
    oauth: OAuth
    allowed_hosts: Annotated[Sequence[str], Frozen, NotEmpty] = ()

    @property
    def address(self) -> tuple[str, int]:
        """The host, which is empty for every address, and the port."""
        host, _, port = self.listen_addr.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def given(self) -> dict[str, Any]:
        """The options of `create_app` that somebody wrote down."""
        return self.model_dump(exclude_unset=True, exclude={"listen_addr"})


class DocsOptions(ServeOptions):
    """What docs-readonly is told besides."""

    database: Database
    folder: File | None = None
    extra_files: Annotated[Sequence[File], Frozen] = ()
    index_database: Database | None = None


class TicketsOptions(ServeOptions):
    """What tickets-draft is told besides."""

    database: Database
    desk_url: str | None = None


class BillingOptions(ServeOptions):
    """What billing-audit is told besides."""

    database: Database


class DeployOptions(ServeOptions):
    """What deploy-status is told besides."""

    releases: File
    ref: Annotated[str, Field(min_length=1)] = "HEAD"
    kubernetes: Annotated[Mapping[str, Any], AfterValidator(_kubeconfig)] | None = None


OPTIONS: Final[Mapping[str, type[ServeOptions]]] = {
    "docs-readonly": DocsOptions,
    "tickets-draft": TicketsOptions,
    "billing-audit": BillingOptions,
    "deploy-status": DeployOptions,
}
"""What is in the file of a server, by the server's name."""


def read_options(server: str, file: Path) -> ServeOptions:
    """Return what a file says about the server of that name; its relative files are beside it.

    Raises `ConfigurationError` with every fault there is, in which no URL of a database is shown.
    """
    folder = file.absolute().parent
    model = OPTIONS[server]
    try:
        return model.model_validate(beside(folder, read_yaml(file)), context=folder)
    except ValidationError as error:
        faults = [_shown(each) for each in faults_of(error, _known(model))]
        raise ConfigurationError(str(file), faults) from None


def _known(model: type[ServeOptions]) -> Mapping[str, tuple[str, ...]]:
    sections: Mapping[str, type[Section]]
    sections = {"": model, "oauth": OAuth, "issuers": Issuer, "introspection": IntrospectionClient}
    return {name: tuple(section.model_fields) for name, section in sections.items()}


def _shown(fault: ConfigurationFault) -> ConfigurationFault:
    # A key of another name may be meant to be one that has a URL.
    is_hidden = "database" in fault.path or fault.sentence.startswith("is not a key")
    is_missing = fault.path in ("oauth", "resource") and fault.sentence == "is required"
    return ConfigurationFault(
        fault.path, "" if is_hidden else fault.value, _ALONE if is_missing else fault.sentence
    )
