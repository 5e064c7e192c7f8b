"""The operations in Triton, for NVIDIA GPUs: the same results in a few launches.

Their modules are imported where they are used, as Triton need not be there.
"""

from .available import kernels_apply, without_kernels

__all__ = ['kernels_apply', 'without_kernels']
