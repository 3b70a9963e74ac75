"""Reading: the record of one release, as a pipeline writes it next to the deployment that it describes.

A record is a YAML file `ENVIRONMENT/SERVICE/NAME.yaml`, where NAME is a number or a version::

    service: checkout
    environment: production
    version: 4.18.2
    kind: hotfix                  # release, hotfix or rollback
    outcome: deployed             # or failed
    image: registry.example.com/shop/checkout:4.18.2@sha256:0f6e…
    commit: 5b1c…                 # of the service's own repository
    config_hash: sha256:91ab…
    released_at: 2026-03-31T09:12:44Z
    released_by: mara.lindqvist@example.com
    summary: Do not charge twice when the payment provider answers late.
    links:
      - title: SHOP-1412
        url: https://tracker.example.com/SHOP-1412
    previous: 4.18.1
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tunnelgate_servers.deploy_status.plain_yaml import YamlError, read_plain_yaml
from tunnelgate_servers.hosting import Line, Paragraphs

MAX_RECORD_BYTES: Final = 64 * 1024
"""The size of the largest record, in bytes."""

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What the name of a service or an environment looks like."""

VERSION: Final = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}$"
"""What a version looks like."""

_IMAGE = r"^[A-Za-z0-9][A-Za-z0-9.:/_-]*@sha256:[0-9a-f]{64}$"
_MAX_FAULTS = 3

Kind = Literal["release", "hotfix", "rollback"]
Outcome = Literal["deployed", "failed"]


class RecordError(ValueError):
    """A file is no record of a release; the message says why, and repeats nothing of the file."""


def _utc(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(cast("str", value))
    except (TypeError, ValueError):
        raise ValueError("it is no time such as 2026-03-31T09:12:44Z") from None
    if time.tzinfo is None:
        raise ValueError("it is a time without an offset from UTC")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is no time such as 2026-03-31T09:12:44Z") from None


def _without_controls_at_the_end(text: str) -> str:
    return text.rstrip("\n")


class Link(BaseModel):
    """Something to read about a release."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: Annotated[Line, Field(min_length=1)]
    """What it is, such as the number of a ticket."""
    url: Annotated[Line, Field(pattern=r"^https?://[^\s]+$")]
    """Where it is."""


class Record(BaseModel):
    """What a file says about one release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Annotated[str, Field(pattern=NAME)]
    environment: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)]
    kind: Kind = "release"
    outcome: Outcome = "deployed"
    image: Annotated[str, Field(pattern=_IMAGE, max_length=500)]
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    config_hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    released_at: Annotated[datetime, BeforeValidator(_utc)]
    released_by: Annotated[Line, Field(min_length=1)]
    summary: Annotated[
        Paragraphs, Field(min_length=1, max_length=4000), AfterValidator(_without_controls_at_the_end)
    ]
    links: Annotated[tuple[Link, ...], Field(max_length=20)] = ()
    previous: Annotated[str, Field(pattern=VERSION)] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A release, and the path of its record, with `/`."""

    path: str
    record: Record


def read_release(path: str, content: bytes) -> Release:
    """Return the release whose record lies at `path`; raises `RecordError`.

    The folders that it lies in have to be those of the environment and the service that it names.
    """
    try:
        value = read_plain_yaml(content)
        record = Record.model_validate(value)
    except YamlError as error:
        raise RecordError(str(error)) from None
    except ValidationError as error:
        raise RecordError(_reason(error)) from None
    environment, service, _ = path.split("/")
    if record.environment != environment:
        raise RecordError("its environment is not the one of its folder")
    if record.service != service:
        raise RecordError("its service is not the one of its folder")
    return Release(path, record)


def _reason(error: ValidationError) -> str:
    faults: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    said = [_fault(each["loc"], each["type"], each["msg"]) for each in faults[:_MAX_FAULTS]]
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    return "; ".join(said) + more


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "it has a key that is not known"
    if not location:
        return "it is not a mapping"
    message = message.removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in location)}: {message[:1].lower()}{message[1:]}"
