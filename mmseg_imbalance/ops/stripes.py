"""Stripes: the parts of a large tensor that are processed at a time.

On a CPU, each stripe is one thread's. PyTorch's own way, all threads on each operation, makes every
operation wait for the slowest thread. Stripes have many short operations, so that a step takes many
times as long as soon as another process needs one of the cores.
"""

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from .compiling import is_compiling

# Fits the caches of a CPU's cores, so that only the first of several operations reads from memory
# and intermediate results take up none.
CPU_ELEMENTS = 1 << 19
# On a GPU, stripes have to keep it busy, but be a small share of the whole to save memory.
GPU_ELEMENTS, GPU_STRIPES = 1 << 20, 32


def stripe_elements(device: torch.device, total: int) -> int:
    """Returns how many of ``total`` elements a stripe has."""
    if device.type == 'cpu':  # a few stripes for each thread, as long as they are no trifles
        return min(CPU_ELEMENTS, max(CPU_ELEMENTS >> 4, total // (4 * torch.get_num_threads())))
    return max(GPU_ELEMENTS, total // GPU_STRIPES)


def map_stripes(
    work: Callable, stripes: Iterable, device: torch.device, on_threads: bool = True
) -> Iterator:
    """Returns the results of ``work`` for every stripe, in their order.

    Args:
        work: Called with a stripe, on a CPU by several threads at once. It must need no gradients.
        stripes: Its arguments, few numbers each: they are listed before the first call.
        device: Device of the tensors that ``work`` uses.
        on_threads: Whether ``work`` may have threads of its own; compiled code divides its loops.
    """
    threads = 1
    # A dispatch mode, such as that of fake tensors, holds in its own thread only.
    if on_threads and device.type == 'cpu' and not (is_compiling() or _get_current_dispatch_mode()):
        threads = torch.get_num_threads()
    return map(work, stripes) if threads == 1 else _on_threads(work, list(stripes), threads)


def _on_threads(work: Callable, stripes: list, threads: int) -> Iterator:
    if len(stripes) == 1:
        yield work(stripes[0])
        return
    pool, running = _pool(threads), deque()
    # as in the calling thread: an inference tensor is only changed in inference mode
    inference = torch.is_inference_mode_enabled()
    work = torch.inference_mode()(work) if inference else torch.no_grad()(work)
    for stripe in stripes:
        running.append(pool.submit(work, stripe))
        if len(running) > 2 * threads:  # results may be large
            yield running.popleft().result()
    for future in running:
        yield future.result()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Returns Python threads whose operations in PyTorch use no other threads."""
    started = threading.Barrier(threads)

    def start(_) -> None:
        torch.get_num_threads()  # else this thread's first operation would set them to the default
        torch.set_num_threads(1)  # for this thread, and for those that are yet to start
        started.wait()

    pool = ThreadPoolExecutor(threads, 'stripes')
    list(pool.map(start, range(threads)))
    torch.set_num_threads(threads)
    return pool


if hasattr(os, 'register_at_fork'):  # not on Windows, where processes do not fork
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of the threads


def cache_slices(numbers: Tensor) -> Iterator[slice]:
    """Cuts the columns of (G, S) into slices that fit a CPU's caches; elsewhere into one slice.

    Example:
        >>> list(cache_slices(torch.empty(2, 300000)))
        [slice(0, 262144, None), slice(262144, 300000, None)]
    """
    groups, columns = numbers.shape
    if is_compiling() or numbers.device.type != 'cpu':
        yield slice(0, columns)  # without a loop, which would compile anew for every size
        return
    step = max(1, CPU_ELEMENTS // max(1, groups))
    for start in range(0, max(1, columns), step):
        yield slice(start, min(start + step, columns))
