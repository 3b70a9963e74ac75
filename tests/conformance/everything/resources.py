"""The resources, one template, and subscriptions to resources in the legacy era."""

import json
import re

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    EmptyResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from tests.conformance.everything.call import Context, is_modern
from tests.conformance.everything.content import PNG

TEMPLATE = "test://template/{id}/data"
_INSTANCE = re.compile(r"test://template/(?P<id>[^/]+)/data")
_NOT_FOUND_BEFORE_2026 = -32002
_TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "This content is watched, and stays as it is.",
}
_RESOURCES = [
    Resource(uri="test://static-text", name="static-text", description="A text", mime_type="text/plain"),
    Resource(uri="test://static-binary", name="static-binary", description="A PNG", mime_type="image/png"),
    Resource(
        uri="test://watched-resource",
        name="watched-resource",
        description="A text that clients subscribe to",
        mime_type="text/plain",
    ),
]
_TEMPLATES = [
    ResourceTemplate(
        uri_template=TEMPLATE, name="template", description="Any id", mime_type="application/json"
    )
]


async def list_resources(context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
    """Answer ``resources/list``."""
    return ListResourcesResult(resources=_RESOURCES)


async def list_templates(
    context: Context, params: PaginatedRequestParams | None
) -> ListResourceTemplatesResult:
    """Answer ``resources/templates/list``."""
    return ListResourceTemplatesResult(resource_templates=_TEMPLATES)


async def read_resource(context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    """Answer ``resources/read``."""
    return ReadResourceResult(contents=[_contents(context, params.uri)])


async def subscribe(context: Context, params: SubscribeRequestParams) -> EmptyResult:
    """Answer ``resources/subscribe``; no resource here ever changes, so nothing has to be remembered."""
    _contents(context, params.uri)
    return EmptyResult()


async def unsubscribe(context: Context, params: UnsubscribeRequestParams) -> EmptyResult:
    """Answer ``resources/unsubscribe``."""
    _contents(context, params.uri)
    return EmptyResult()


def _contents(context: Context, uri: str) -> TextResourceContents | BlobResourceContents:
    if uri == "test://static-binary":
        return BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri in _TEXTS:
        return TextResourceContents(uri=uri, mime_type="text/plain", text=_TEXTS[uri])
    instance = _INSTANCE.fullmatch(uri)
    if instance is not None:
        found = instance["id"]
        text = json.dumps({"id": found, "templateTest": True, "data": f"Data for ID: {found}"})
        return TextResourceContents(uri=uri, mime_type="application/json", text=text)
    code = INVALID_PARAMS if is_modern(context) else _NOT_FOUND_BEFORE_2026
    raise MCPError(code, "Resource not found", {"uri": uri})
