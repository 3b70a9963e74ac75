"""Tools that answer at once, with every kind of content, schema and error."""

import base64
import json
import struct
import zlib

from mcp.types import AudioContent, EmbeddedResource, ImageContent, TextResourceContents

from tests.conformance.everything.call import Call, Outcome, Schema, Tools, done, failed, need

TOOLS = Tools()


def _red_dot() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _silence() -> bytes:
    samples = bytes([128] * 8)
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + b"fmt " + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


PNG = base64.b64encode(_red_dot()).decode()
WAV = base64.b64encode(_silence()).decode()
IMAGE = ImageContent(data=PNG, mime_type="image/png")

_EVERY_KEYWORD: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
_GREETED: Schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_MIRRORED: Schema = {
    "type": "object",
    "properties": {
        "region": {
            "type": "string",
            "description": "Repeated in the header Mcp-Param-Region",
            "x-mcp-header": "Region",
        }
    },
}


@TOOLS.add("test_simple_text", "Returns one line of text")
async def _text(call: Call) -> Outcome:
    return done("This is a simple text response for testing.")


@TOOLS.add("test_image_content", "Returns a red dot as PNG")
async def _image(call: Call) -> Outcome:
    return done(IMAGE)


@TOOLS.add("test_audio_content", "Returns a millisecond of silence as WAV")
async def _audio(call: Call) -> Outcome:
    return done(AudioContent(data=WAV, mime_type="audio/wav"))


@TOOLS.add("test_embedded_resource", "Returns a text resource inside the result")
async def _resource(call: Call) -> Outcome:
    text = "This is an embedded resource content."
    return done(_embedded("test://embedded-resource", "text/plain", text))


@TOOLS.add("test_multiple_content_types", "Returns text, an image and a resource in one result")
async def _mixed(call: Call) -> Outcome:
    text = json.dumps({"test": "data", "value": 123})
    resource = _embedded("test://mixed-content-resource", "application/json", text)
    return done("Multiple content types test:", IMAGE, resource)


@TOOLS.add("test_error_handling", "Fails every time")
async def _error(call: Call) -> Outcome:
    return failed("This tool intentionally returns an error for testing")


@TOOLS.add(
    "json_schema_2020_12_tool", "Lists a schema with the keywords of JSON Schema 2020-12", _EVERY_KEYWORD
)
async def _schema(call: Call) -> Outcome:
    return done(json.dumps(dict(call.arguments), sort_keys=True))


@TOOLS.add("greet", "Greets by name", _GREETED)
async def _greet(call: Call) -> Outcome:
    return done(f"Hello, {call.arguments['name']}!")


@TOOLS.add("test_x_mcp_header", "Takes an argument that a header repeats", _MIRRORED)
async def _mirrored(call: Call) -> Outcome:
    return done(f"region={call.arguments.get('region')}")


@TOOLS.add("test_missing_capability", "Refuses clients that did not declare sampling")
async def _capability(call: Call) -> Outcome:
    need(call.context, "sampling")
    return done("The client declared sampling.")


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))
