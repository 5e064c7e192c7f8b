"""The code blocks of the documentation's pages."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r'^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>[\w{}-]*)\n(?P<text>.*?)^```$'
    r'|`(?P<command>python [^`\n]+)`',
    flags=re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A fenced block, or a command in the running text, and the page that shows it."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None
    """Why the block is not run, None where it is."""

    @property
    def file(self) -> str | None:
        """Under which name the page has its reader save the block: it begins with ``# name.py``."""
        match = re.match(r'# (\w+\.py)\n', self.text)
        return match and match[1]

    @property
    def in_running_text(self) -> bool:
        return not self.text.endswith('\n')

    @property
    def is_config(self) -> bool:
        return self.language == 'python' and re.search(r'^_base_ =', self.text, re.M) is not None

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def pages() -> list[str]:
    """All pages of the documentation: guides, reference, the pages of the methods."""
    patterns = ('*.md', 'docs/*.md', 'docs/api/*.md', 'configs/*/README.md', 'lab/README.md')
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def blocks(page: str) -> list[Block]:
    """All blocks of a page, from top to bottom."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            1 + text.count('\n', 0, match.start()),
            match['language'] or ('bash' if match['command'] else ''),
            match['text'] or match['command'] or '',
            match['reason'],
        )
        for match in _BLOCK.finditer(text)
    ]


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]
