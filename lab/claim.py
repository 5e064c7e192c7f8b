"""A note in a folder that says which piece of work the folder belongs to."""

import json
from pathlib import Path

from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically


def claim(note: Path, recipe: dict) -> dict:
    """Writes a note of what a folder is for, unless there is one already.

    Args:
        note: The file of the note.
        recipe: What the folder is for, with JSON's types only.

    Returns:
        The recipe in the note, which the caller compares with its own.

    Raises:
        ToolError: If the note is damaged.
    """
    if not note.is_file():
        write_atomically(note, json.dumps(recipe, indent=1).encode())
    try:
        return json.loads(note.read_text())
    except (ValueError, RecursionError):
        raise ToolError(f'{note} is damaged; delete {note.parent} to recreate it') from None
