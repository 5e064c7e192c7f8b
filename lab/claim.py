"""A folder belongs to one piece of work, which is noted in it."""

import json
from pathlib import Path

from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically


def claim(note: Path, recipe: dict) -> dict:
    """Notes what a folder is for, unless that is noted already.

    Args:
        note: The file of the note.
        recipe: What the folder is for, as JSON knows it.

    Returns:
        What is noted; the caller compares it with the recipe.

    Raises:
        ToolError: The note is damaged.
    """
    if not note.is_file():
        write_atomically(note, json.dumps(recipe, indent=1).encode())
    try:
        return json.loads(note.read_text())
    except (ValueError, RecursionError):
        raise ToolError(f'{note} is damaged; delete {note.parent} to make it anew') from None
