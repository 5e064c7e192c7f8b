"""Triton kernels of the operations for NVIDIA GPUs: the same results in few launches.

Their modules are imported where they are used, since Triton may be missing.
"""

from .available import kernels_apply, kernels_if, without_kernels

__all__ = ['kernels_apply', 'kernels_if', 'without_kernels']
