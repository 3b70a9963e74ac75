"""The errors of this server.

DocsError
├── OptionsError               an option of `create_app` cannot be used
│   └── DocumentsMissingError  the folder, or a file named beside it, is not there
├── RequestError               what a caller asked for cannot be answered
│   └── NoSuchDocumentError    no document has this path
└── IndexUnavailableError      the index cannot be read: broken, not refused
"""


class DocsError(Exception):
    """Root of everything that this package raises on purpose."""


class OptionsError(DocsError):
    """An option of `create_app` cannot be used; the message is one sentence for the operator."""


class DocumentsMissingError(OptionsError):
    """The documents folder, or a file named beside it, does not exist or is of the wrong kind."""


class RequestError(DocsError):
    """A request cannot be answered as it was asked; the message is for the model and repeats no input."""


class NoSuchDocumentError(RequestError):
    """No document of the index has the requested path."""


class IndexUnavailableError(DocsError):
    """The index file cannot be opened or read."""
