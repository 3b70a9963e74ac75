"""What this server raises besides the errors of `hosting`.

ServerError
├── OptionsError
│   └── DocumentsMissingError  the folder, or a file named beside it, is not there
└── RequestError
    └── NoSuchDocumentError    no document has this path
"""

from tunnelgate_servers.hosting import OptionsError, RequestError


class DocumentsMissingError(OptionsError):
    """The documents folder, or a file named beside it, does not exist or is of the wrong kind."""


class NoSuchDocumentError(RequestError):
    """No document of the index has the requested path."""
