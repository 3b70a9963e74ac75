"""The types of single settings, and what every section of a configuration has in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from tunnelgate.configuration import fields
from tunnelgate.requirements import ClaimValue

Frozen = AfterValidator(tuple)
FrozenMapping = AfterValidator(fields.frozen_mapping)
NotEmpty = AfterValidator(fields.not_empty)
HostName = Annotated[str, AfterValidator(fields.hostname)]
NetworkText = Annotated[str, AfterValidator(fields.network)]
MetadataText = Annotated[str, AfterValidator(fields.metadata_network)]
WrappedText = Annotated[str, AfterValidator(fields.wrapped_network)]
Scope = Annotated[str, AfterValidator(fields.scope)]
Name = Annotated[str, AfterValidator(fields.name)]
ResourceUri = Annotated[str, AfterValidator(fields.resource)]
MethodName = Annotated[str, AfterValidator(fields.method)]
ClaimName = Annotated[str, Field(min_length=1)]
# Plain, so that a bad value is one fault and not one for each type that it might have had.
RequiredClaims = Annotated[
    Mapping[ClaimName, Annotated[ClaimValue | Sequence[ClaimValue], PlainValidator(fields.claim)]],
    FrozenMapping,
]
FileName = Annotated[str | Path, PlainValidator(fields.file)]
UrlPath = Annotated[str, AfterValidator(fields.url_path)]
PublicPath = Annotated[str, AfterValidator(fields.public_path)]
Url = Annotated[str, AfterValidator(fields.url)]
EndpointUrl = Annotated[str, AfterValidator(fields.endpoint_url)]
VariableName = Annotated[str, AfterValidator(fields.variable)]
TokenType = Annotated[str, AfterValidator(fields.token_type)]
Origin = Annotated[str, AfterValidator(fields.origin)]
HeaderName = Annotated[str, AfterValidator(fields.forwarded_header)]
Algorithm = Annotated[str, AfterValidator(fields.algorithm)]
LogLevel = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
Port = Annotated[int, Field(ge=1, le=65535)]
Octets = Annotated[int, Field(ge=1024, le=1024**3)]
_Duration = BeforeValidator(fields.duration)
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Timeout = Annotated[float, _Duration, Field(ge=0.01, le=86400, allow_inf_nan=False)]
FileMode = Annotated[int, BeforeValidator(fields.file_mode)]
Seconds = Annotated[float, _Duration, Field(ge=0, le=86400, allow_inf_nan=False)]
AnswerAge = Annotated[float, _Duration, Field(ge=0, le=60, allow_inf_nan=False)]
ProofAge = Annotated[float, _Duration, Field(ge=1, le=600, allow_inf_nan=False)]


def no_claims() -> Mapping[str, Any]:
    """Return the claims of whom nothing is demanded."""
    return MappingProxyType({})


class Section(BaseModel):
    """A part of a configuration: it has no keys but its own, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
