"""Errors that are shown to the user in one line."""


class ToolError(Exception):
    """Ends a tool with one line of text and ``exit_code``: 2 for bad usage, else 1."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FileError(ValueError):
    """A file of the user's cannot be used; the text says which one and why."""


class BadFileError(FileError):
    """A file that cannot be what it is meant to be; the text says why, and mostly which one."""
