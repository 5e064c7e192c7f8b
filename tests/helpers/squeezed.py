"""Markdown without the spaces that align it."""

import re


def squeezed(markdown):
    """The text with single spaces, and rules of three hyphens."""
    return re.sub('-{3,}', '---', re.sub(' +', ' ', markdown))
