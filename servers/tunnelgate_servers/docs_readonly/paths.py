"""Reading: which texts can be the path of a document.

A path is a key of the index and never opens a file. What nobody could pass on as an argument is none.
"""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from tunnelgate_servers.hosting import Line
from tunnelgate_servers.hosting.texts import MAX_LINE_CHARACTERS

MAX_PATH_CHARACTERS: Final = MAX_LINE_CHARACTERS
"""The length of the longest path of a document, in characters."""

_ARGUMENT: Final[TypeAdapter[str]] = TypeAdapter(Line)


def is_path(text: str) -> bool:
    """Return whether a text can be the path of a document."""
    try:
        _ARGUMENT.validate_python(text)
    except ValidationError:
        return False
    return True
