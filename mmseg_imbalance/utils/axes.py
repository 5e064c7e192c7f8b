"""The look that figures of scores share."""


def add_light_grid(axis, lines: str = 'both') -> None:
    """Draws a pale grid behind a matplotlib axis's content, and no frame above and to the right."""
    axis.grid(axis=lines, alpha=0.3)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)
