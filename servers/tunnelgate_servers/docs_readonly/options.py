"""Reading: what a configuration file gives as options, checked once and before anything is served."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from tunnelgate_servers.docs_readonly.errors import DocumentsMissingError, OptionsError


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options: absolute paths, free of links for folder and index, and at least one host."""

    folder: Path
    index: Path
    extra_files: tuple[Path, ...]
    allowed_hosts: tuple[str, ...]

    @classmethod
    def parse(cls, *, folder: object, index: object, extra_files: object, allowed_hosts: object) -> Self:
        """Check what a configuration file gave.

        Raises `DocumentsMissingError` when the folder is not a folder or an extra file is not a file, and
        `OptionsError` for an empty or mistyped value.
        """
        documents = _without_links(_path("folder", folder))
        if not documents.is_dir():
            raise DocumentsMissingError(
                f"The documents folder {documents} does not exist or is not a folder."
            )
        files = tuple(_path("extra_files", file) for file in _items("extra_files", extra_files))
        for file in files:
            if not file.is_file():
                raise DocumentsMissingError(f"The extra file {file} does not exist or is not a file.")
        hosts = tuple(_text("allowed_hosts", host) for host in _items("allowed_hosts", allowed_hosts))
        if not hosts:
            raise OptionsError("The option allowed_hosts is empty, so that every request would be refused.")
        file = _without_links(_path("index", index))
        return cls(folder=documents, index=file, extra_files=files, allowed_hosts=hosts)


def _path(option: str, value: object) -> Path:
    # An empty text would mean the working directory, which nobody asked to publish.
    return value.absolute() if isinstance(value, Path) else Path(_text(option, value)).absolute()


def _without_links(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _text(option: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise OptionsError(f"The option {option} needs a text that is not empty, not {value!r}.")
    return value


def _items(option: str, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise OptionsError(f"The option {option} needs a list, not {value!r}.")
    return tuple(cast("list[object]", value))
