"""Reads ``Content-Type`` as far as a JSON body needs it.

Specification: RFC 9110 section 8.3.1.
"""

import re
from functools import lru_cache

_MAX_VALUE = 1024  # octets; media types with all their parameters have a tenth of that
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rb"(?P<essence>" + _TOKEN + rb"/" + _TOKEN + rb")(?P<parameters>.*)", re.DOTALL)
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(?:(" + _TOKEN + rb")=(?:(" + _TOKEN + rb')|"([^"\\]*)"))?')


def read_media_type(value: bytes) -> tuple[str, str | None]:
    """Return the media type and its ``charset``, both in lower case.

    What is not a media type, or names two charsets, comes back as ``("", None)``, which no list has.
    """
    return _read_media_type(value) if len(value) <= _MAX_VALUE else ("", None)


@lru_cache(maxsize=256)
def _read_media_type(value: bytes) -> tuple[str, str | None]:
    match = _MEDIA_TYPE.fullmatch(value.strip(b" \t"))
    if match is None:
        return "", None
    charset: bytes | None = None
    rest: bytes = match["parameters"].rstrip(b" \t")
    position = 0
    while position < len(rest):
        parameter = _PARAMETER.match(rest, position)
        if parameter is None:
            return "", None
        position = parameter.end()
        if parameter[1] is not None and b"*" in parameter[1]:
            return "", None  # RFC 2231 would let a charset come in pieces
        if parameter[1] is not None and parameter[1].lower() == b"charset":
            if charset is not None:
                return "", None
            charset = parameter[2] if parameter[2] is not None else parameter[3]
    return match["essence"].lower().decode(), None if charset is None else charset.lower().decode("latin-1")
