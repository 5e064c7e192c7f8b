"""How pixels are shared among programs.

Triton's own functions for this arithmetic take several microseconds a call on the host, which is
much beside the launch of a kernel.
"""

BLOCK = 1024
"""Pixels that a program processes at a time."""


def ceil_div(number: int, divisor: int) -> int:
    """Divides positive integers and rounds up."""
    return -(-number // divisor)


def next_power_of_2(number: int) -> int:
    """Returns the smallest power of 2 that is not less than a positive integer."""
    return 1 << (number - 1).bit_length()


def shares(pixels: int, most: int, groups: int = 1) -> tuple[int, int]:
    """Returns the blocks per program, a power of 2, and the programs per group of pixels.

    Args:
        pixels: Pixels per group.
        most: Approximate limit of all programs.
        groups: Number of groups.
    """
    loops = next_power_of_2(ceil_div(pixels * groups, most * BLOCK))
    return loops, ceil_div(pixels, loops * BLOCK)
