"""Measures time and peak memory of several steps in turns."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


class ContestantError(RuntimeError):
    """A step failed; the message starts with its name."""


class Contestant(NamedTuple):
    """A training step that is measured.

    Attributes:
        name: Name of the step.
        step: Takes logits (N, C, H, W) that require a gradient and labels (N, H, W) int64, and
            computes the gradient of the logits (or does other work to compare with that).
        waits: Whether it waits for the device; such a step cannot be captured in a CUDA graph.
    """

    name: str
    step: Callable[[Tensor, Tensor], None]
    waits: bool = False


class Measurement(NamedTuple):
    """Time and memory of a step.

    Attributes:
        name: Name of the step.
        seconds: Median time of the step.
        peak_bytes: Peak memory during the step, beyond the memory that was in use before.
        device_seconds: Median time of the step captured in a CUDA graph, which is the time of the
            device alone, without Python. None on a CPU, and for a step that waits for the device.
    """

    name: str
    seconds: float
    peak_bytes: int
    device_seconds: float | None = None


def measure(
    contestants: Sequence[Contestant],
    logits: Tensor,
    label: Tensor,
    repeats: int = 11,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Measurement]:
    """Measures steps in turns; each round has new logits, which all steps share.

    If the machine is slow for a while, all steps slow down and their ratios stay the same. Each
    round has a random order, since a step starts with the caches and the free memory that the
    previous step leaves. A first round compiles and measures the memory; it is not timed.

    Args:
        contestants: The steps.
        logits: (N, C, H, W) leaf tensor, overwritten with random numbers of standard deviation 3.
        label: (N, H, W) int64.
        repeats: Number of rounds, ≥ 1.
        progress: Wraps the rounds, to show progress.

    Returns:
        One measurement per step, in the same order.

    Raises:
        ContestantError: If a step fails, for example because memory runs out.
    """
    logits.requires_grad_()
    with torch.no_grad():
        logits.normal_(0, 3)
    peaks = [_warm_up(contestant, logits, label) for contestant in contestants]
    graphs = [_capture(contestant, logits, label) for contestant in contestants]
    times: list[list[float]] = [[] for _ in contestants]
    device_times: list[list[float]] = [[] for _ in contestants]
    for _ in progress(range(repeats)):
        with torch.no_grad():
            logits.normal_(0, 3)
        for i in torch.randperm(len(contestants)).tolist():
            logits.grad = None
            times[i].append(_time(contestants[i].step, logits, label))
            if graphs[i] is not None:
                device_times[i].append(_replay_time(graphs[i]))
    logits.grad = None
    return [
        Measurement(
            contestant.name,
            statistics.median(times[i]),
            peaks[i],
            statistics.median(device_times[i]) if device_times[i] else None,
        )
        for i, contestant in enumerate(contestants)
    ]


def _warm_up(contestant: Contestant, logits: Tensor, label: Tensor) -> int:
    try:
        return _peak(contestant.step, logits, label)
    except RuntimeError as error:
        raise ContestantError(f'{contestant.name} cannot be measured: {error}') from error


def _capture(contestant: Contestant, logits: Tensor, label: Tensor) -> torch.cuda.CUDAGraph | None:
    if logits.device.type != 'cuda' or contestant.waits:
        return None
    stream = torch.cuda.Stream(logits.device)
    stream.wait_stream(torch.cuda.current_stream(logits.device))
    with torch.cuda.stream(stream):  # autograd has to know the stream
        logits.grad = None
        contestant.step(logits, label)
    torch.cuda.current_stream(logits.device).wait_stream(stream)
    logits.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        contestant.step(logits, label)
    logits.grad = None
    return graph


def _replay_time(graph: torch.cuda.CUDAGraph) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def _time(step: Callable, logits: Tensor, label: Tensor) -> float:
    _wait(logits)
    start = time.perf_counter()
    step(logits, label)
    _wait(logits)
    return time.perf_counter() - start


def _wait(tensor: Tensor) -> None:
    if tensor.device.type == 'cuda':
        torch.cuda.synchronize(tensor.device)


def _peak(step: Callable, logits: Tensor, label: Tensor) -> int:
    """Returns the peak of the bytes allocated in a step, after two steps to warm up."""
    for _ in range(2):
        logits.grad = None
        step(logits, label)
    logits.grad = None
    if logits.device.type == 'cuda':
        torch.cuda.synchronize(logits.device)
        before = torch.cuda.memory_allocated(logits.device)
        torch.cuda.reset_peak_memory_stats(logits.device)
        step(logits, label)
        return torch.cuda.max_memory_allocated(logits.device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step(logits, label)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == '[memory]']
    held = peak = 0
    for event in sorted(events, key=_start_of):
        held += event.nbytes()  # negative where memory is freed
        peak = max(peak, held)
    return peak


def _start_of(event) -> int:
    return event.start_ns() if hasattr(event, 'start_ns') else event.start_us()  # PyTorch < 2.4
