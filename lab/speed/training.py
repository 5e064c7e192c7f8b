"""Time and memory of whole training steps with different losses in the heads."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_imbalance.hooks.fused_upsampling import find_heads, fuse
from mmseg_imbalance.utils.find_loss import losses_of

from .measure import Measurement

STEPS = 3  # per round, so that the CPU can run ahead of the device as in a training
TRAINED_LOSSES = {
    'cross-entropy': [dict(type='CrossEntropyLoss')],
    'LMP': [dict(type='LossMaxPooling')],
    'recall loss': [dict(type='RecallLoss')],
    'LMP and Lovász': [dict(type='LossMaxPooling'), dict(type='LovaszSoftmaxLoss')],
}


class Training:
    """A model on random images and labels; the losses of its heads can be exchanged.

    Losses have the ``loss_weight`` of the head's own, of the first one if it has several.

    Args:
        cfg: Config of a training. ``model`` and ``optim_wrapper`` are used; no weights are loaded.
        images: Number of images in a step.
        size: Height and width.
        device: A GPU.
        dtype: ``'float32'``, or ``'float16'`` and ``'bfloat16'`` for mixed precision.
    """

    def __init__(
        self, cfg: Config, images: int, size: tuple[int, int], device: torch.device, dtype: str
    ) -> None:
        settings = cfg.model.copy()
        settings.backbone.init_cfg = settings.pretrained = None
        settings.data_preprocessor.size = size
        self.model = revert_sync_batchnorm(MODELS.build(settings)).to(device).train()
        wrapper = dict(cfg.optim_wrapper)
        if dtype != 'float32':
            # The scale is constant: a dynamic one skips steps while it falls, and these cost less.
            wrapper |= dict(type='AmpOptimWrapper', dtype=dtype, loss_scale=1.0)
        self.optimizer = build_optim_wrapper(self.model, wrapper)
        self.heads = find_heads(self.model)
        self.loss_weights = {
            path: losses_of(head)[0].loss_weight for path, head in self.heads.items()
        }
        self.size, self.device = size, device
        self.set_images(images)

    def set_images(self, images: int) -> None:
        """Draws a new batch of ``images`` images."""
        size, device, num_classes = self.size, self.device, self.model.num_classes
        self.batch = dict(
            inputs=[torch.randint(256, (3, *size), device=device).byte() for _ in range(images)],
            data_samples=[
                SegDataSample(
                    gt_sem_seg=PixelData(data=torch.randint(num_classes, (1, *size), device=device))
                )
                for _ in range(images)
            ],
        )

    def step(self, losses: dict[str, nn.Module], fused: bool) -> None:
        """Trains one step with other losses, given by the paths of the heads."""
        with ExitStack() as stack:
            for path, head in self.heads.items():
                head.loss_decode = losses[path]
                if fused:
                    stack.callback(fuse(head))
            self.model.train_step(self.batch, self.optimizer)

    def contestants(self) -> dict[str, Callable[[], None]]:
        """Returns the steps by name: each loss as in MMSegmentation, and fused with upsampling."""
        steps = {}
        for name, configs in TRAINED_LOSSES.items():
            losses = {
                path: nn.ModuleList(MODELS.build(loss | dict(loss_weight=w)) for loss in configs)
                for path, w in self.loss_weights.items()
            }
            steps[name] = lambda losses=losses: self.step(losses, fused=False)
            steps[f'{name}, fused'] = lambda losses=losses: self.step(losses, fused=True)
        return steps


def measure_training(
    training: Training, repeats: int = 5, progress: Callable[[Iterable], Iterable] = iter
) -> list[Measurement]:
    """Measures the steps of :meth:`Training.contestants` in turns.

    Args:
        training: The model.
        repeats: Number of rounds.
        progress: Wraps the rounds, to show progress.

    Returns:
        The median time and the peak memory, including the model, of each step.
    """
    contestants = training.contestants()
    for step in contestants.values():  # warms up, and lets the optimizer allocate its state
        for _ in range(STEPS):
            step()
    peaks = {name: _peak(step) for name, step in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in progress(range(repeats)):
        for name, step in contestants.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) / STEPS)
    return [Measurement(name, statistics.median(times[name]), peaks[name]) for name in contestants]


def largest_batches(training: Training, tried: Sequence[int]) -> dict[str, int]:
    """Finds how many images fit into the GPU's memory with each step.

    Args:
        training: The model; its images are replaced.
        tried: Numbers of images to try, ascending.

    Returns:
        The largest number tried that fits, by the name of the step; 0 if none fits.
    """
    fitting = {}
    for name, step in training.contestants().items():
        fitting[name] = 0
        for images in tried:
            training.set_images(images)
            try:
                step()
            except torch.cuda.OutOfMemoryError:
                break
            finally:
                training.optimizer.zero_grad()
                torch.cuda.empty_cache()
            fitting[name] = images
    return fitting


def _peak(step: Callable[[], None]) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()
