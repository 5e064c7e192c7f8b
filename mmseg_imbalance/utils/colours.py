"""Colours of figures and of label maps."""

import numpy as np

# Okabe and Ito's palette, whose colours colour-blind readers can tell apart.
COLOURS = ('#999999', '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')


def colourize(label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colours a label map (H, W) as (H, W, 3) uint8; labels beyond the palette become black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    return colours[label]
