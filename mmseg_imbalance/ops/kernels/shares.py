"""How pixels are shared among programs."""

import triton

BLOCK = 1024
"""Pixels that a program processes at a time."""


def shares(pixels: int, most: int, groups: int = 1) -> tuple[int, int]:
    """Returns the blocks per program, a power of 2, and the programs per group of pixels.

    Args:
        pixels: Pixels per group.
        most: Approximate limit of all programs.
        groups: Number of groups.
    """
    loops = triton.next_power_of_2(triton.cdiv(pixels * groups, most * BLOCK))
    return loops, triton.cdiv(pixels, loops * BLOCK)
