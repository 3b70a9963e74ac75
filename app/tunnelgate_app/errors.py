"""The error that a command ends with."""


class CommandError(Exception):
    """What a command was asked for cannot be done; the text says why, and what to do."""
