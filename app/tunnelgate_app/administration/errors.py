"""The error that administering a tunnel ends with."""

from tunnelgate_app.errors import CommandError


class AdministrationError(CommandError):
    """A tunnel cannot be administered as asked; the text says why, what to do, and never a token."""
