"""Errors that are shown to the user in one line."""


class ToolError(Exception):
    """Ends a tool with one line of text and ``exit_code``: 2 for bad usage, else 1."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FileError(ValueError):
    """Raised if a user's file cannot be used; the message says which one and why."""


class BadFileError(FileError):
    """Raised if a file is not what it should be; the message says why and usually names it."""
