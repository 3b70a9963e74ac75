"""The errors that the sample servers raise on purpose.

ServerError
├── OptionsError      an option of `create_app` or of a command cannot be used
├── RequestError      what a caller asked for cannot be answered as it was asked
└── UnavailableError  what the answer is in cannot be read: broken, not refused
"""


class ServerError(Exception):
    """Root of everything that these servers raise on purpose."""


class OptionsError(ServerError):
    """An option cannot be used; the message is one sentence for the operator."""


class RequestError(ServerError):
    """A request cannot be answered as it was asked; the message is for the model and repeats no input."""


class UnavailableError(ServerError):
    """A database, a folder or a cluster cannot be read; the message is for the model and names no address."""
