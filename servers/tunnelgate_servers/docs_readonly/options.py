"""Reading: what a configuration file gives as options, checked once and before anything is served."""

import os
from pathlib import Path
from typing import cast

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError
from tunnelgate_servers.docs_readonly.sources import DocumentSources
from tunnelgate_servers.hosting import OptionsError


def sources_from_options(folder: object, extra_files: object) -> DocumentSources:
    """Return the documents that two options name.

    Raises `DocumentsMissingError` when the folder is not a folder or an extra file is not a file, and
    `OptionsError` for an empty or mistyped value.
    """
    documents = Path(os.path.realpath(_path("folder", folder)))
    if not documents.is_dir():
        raise DocumentsMissingError(f"The documents folder {documents} does not exist or is not a folder.")
    files = tuple(_path("extra_files", file) for file in items_from_option("extra_files", extra_files))
    for file in files:
        if not file.is_file():
            raise DocumentsMissingError(f"The extra file {file} does not exist or is not a file.")
    return DocumentSources(documents, files)


def items_from_option(option: str, value: object) -> tuple[object, ...]:
    """Return the items of an option that is a list; raises `OptionsError`."""
    if not isinstance(value, list | tuple):
        raise OptionsError(f"The option {option} needs a list, not {value!r}.")
    return tuple(cast("list[object]", value))


def _path(option: str, value: object) -> Path:
    if isinstance(value, Path):
        return value.absolute()
    if not isinstance(value, str) or not value:
        # An empty text would mean the working directory, which nobody asked to publish.
        raise OptionsError(f"The option {option} needs a text that is not empty, not {value!r}.")
    return Path(value).absolute()
