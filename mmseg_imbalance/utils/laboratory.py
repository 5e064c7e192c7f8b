"""Access to the laboratory, which only the repository has, for tools that compare methods."""

import sys
from pathlib import Path


def find_lab(tool: str) -> None:
    """Makes the package ``lab`` importable, or ends the tool with a one-line error.

    Args:
        tool: ``__file__`` of the tool.
    """
    for folder in Path(tool).resolve().parents:
        if (folder / 'lab' / '__init__.py').is_file():
            sys.path.insert(0, str(folder))
            return
    print(
        f'{Path(tool).name}: error: it needs the laboratory (lab/), which is not part of an '
        'installed package; clone the repository and run it there',
        file=sys.stderr,
    )
    sys.exit(2)
