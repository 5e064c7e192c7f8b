"""How pixels are shared among programs."""

import triton

BLOCK = 1024
"""Pixels that a program looks at at a time."""


def shares(pixels: int, most: int, groups: int = 1) -> tuple[int, int]:
    """How many blocks a program has, a power of 2, and how many programs a group of pixels has.

    Args:
        pixels: Of a group.
        most: Programs of all groups, about.
        groups: Groups of pixels.
    """
    loops = triton.next_power_of_2(triton.cdiv(pixels * groups, most * BLOCK))
    return loops, triton.cdiv(pixels, loops * BLOCK)
