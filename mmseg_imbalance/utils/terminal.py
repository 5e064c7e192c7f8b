"""Output of the command-line tools that is read in a terminal, a file or a pipe."""

import os

from rich.console import Console
from rich.markdown import Markdown

_WIDTH = 200  # of a file or a pipe; rich assumes 80, and cuts tables that are wider


def print_markdown(text: str) -> None:
    """Prints Markdown as wide as the terminal; without one, 200 characters or ``COLUMNS``."""
    console = Console()
    if not console.is_terminal and not os.environ.get('COLUMNS'):
        console.width = _WIDTH
    console.print(Markdown(text))
