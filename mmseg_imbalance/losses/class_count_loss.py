"""Base of losses whose class weights depend on how the batch's classes are predicted."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops import PixelScores, class_counts, per_pixel
from ..utils.distributed import all_reduce, get_dist_info
from .pixel_weighting_loss import PixelWeightingLoss

_NORMALIZERS = ('valid', 'all', 'weight')


class ClassCountLoss(PixelWeightingLoss):
    """Weighs every pixel by a class weight, computed from counts of the arg-max prediction.

    A subclass implements :meth:`class_weights_of`. This base counts without a synchronisation,
    keeps running counts and sums over processes::

        class PrecisionLoss(ClassCountLoss):
            def class_weights_of(self, counts):
                total, true_positive, predicted = counts.double()
                return (predicted - true_positive) / predicted.clamp(min=1)

    Args:
        normalizer: The divisor Z. ``'weight'``: the sum of the class weights over the valid
            pixels, giving a weighted mean whose scale does not shrink as the classes are learned;
            ``'valid'``: the number of valid pixels; ``'all'``: the number of all pixels.
        momentum: Share in (0, 1] of the current batch in running counts that give the weights, as
            in batch normalisation; only classes in the batch are updated. Checkpoints save and
            resume the counts; without ``sync`` each process has its own, and those of the first
            are saved (DistributedDataParallel of a model that holds the loss gives these to all,
            unless ``broadcast_buffers=False``, as MMEngine sets it). Each step updates them once,
            but not in evaluation, where classes without counts have those of the batch, and not
            with ``reduction_override='none'``. None: the counts of the batch.
        sync: Whether to sum the counts over all processes, in one all-reduce per training step.
        num_classes: Number of classes. With ``momentum``, it is needed if something copies the
            model before the first batch, as MMEngine's EMAHook and ``nn.DataParallel`` do;
            ``ConsistencyHook`` takes it from the head.
        **kwargs: ``class_weight``, ``loss_weight``, ``loss_name``, ``check_labels``, ``compile``
            and ``kernels``, see :class:`PixelWeightingLoss`; class weights enter the divisor
            ``'weight'``.

    Attributes:
        together: Whether all processes evaluate the loss, so that ``sync`` holds in evaluation too.
        num_counts: Class attribute, how many counts are used and kept in checkpoints: 2 for
            pixels N and true positives TP, 3 for predicted pixels P too.

    Raises:
        ValueError: For an unknown normalizer or a momentum outside (0, 1].
    """

    needs_predictions = True
    needs_float64 = True
    _in_float64 = ('running_counts',)
    num_counts = 3
    together = False

    def __init__(
        self,
        normalizer: str = 'weight',
        momentum: float | None = None,
        sync: bool = False,
        num_classes: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(num_classes=num_classes, **kwargs)
        if normalizer not in _NORMALIZERS:
            raise ValueError(f'normalizer must be one of {_NORMALIZERS}, got {normalizer!r}')
        if momentum is not None and not 0 < momentum <= 1:
            raise ValueError(f'momentum must be in (0, 1] or None, got {momentum}')
        self.normalizer = normalizer
        self.momentum = momentum
        self.sync = sync
        if momentum is not None:
            # Without num_classes, empty until the first batch or checkpoint shows it.
            counts = torch.zeros(self.num_counts, num_classes or 0, dtype=torch.float64)
            self.register_buffer('running_counts', counts)

    @property
    def needs_num_classes(self) -> bool:
        """Whether the running counts have no size yet, so that a copy would not fit later."""
        return self.momentum is not None and self.running_counts.numel() == 0

    def set_num_classes(self, num_classes: int) -> None:
        """Gives the running counts their size, as the argument ``num_classes`` does."""
        self.num_classes = num_classes
        self.running_counts = self.running_counts.new_zeros(self.num_counts, num_classes)

    def __deepcopy__(self, memo: dict) -> 'ClassCountLoss':
        """Copies the loss.

        Raises:
            ValueError: If the running counts have no size yet.
        """
        self._refuse_copy_without_size()
        copied = memo[id(self)] = type(self).__new__(type(self))
        vars(copied).update(deepcopy(vars(self), memo))
        return copied

    def _replicate_for_data_parallel(self) -> 'ClassCountLoss':
        self._refuse_copy_without_size()  # replicas live for one step, and would lose the counts
        return super()._replicate_for_data_parallel()

    def _refuse_copy_without_size(self) -> None:
        if self.needs_num_classes:
            raise ValueError(
                f'{type(self).__name__} with momentum needs num_classes, since the model is copied '
                'before its first batch, as by EMAHook: add num_classes to the loss, or '
                "dict(type='ConsistencyHook') to custom_hooks"
            )

    def class_weights_of(self, counts: Tensor) -> Tensor:
        """Returns the weight of every class.

        Args:
            counts: (``num_counts``, C), pixels N, true positives TP and, if used, predicted
                pixels P of every class; int64, or float64 running averages.

        Returns:
            (C,) float64, ≥ 0.
        """
        raise TypeError(f'{type(self).__name__} has to write class_weights_of')

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the class weight of every pixel's label, and the divisor Z."""
        num_classes = scores.num_classes
        label = torch.where(valid, seg_label, num_classes)
        counts = class_counts(scores.pred, label, num_classes, ignore_index=num_classes)
        counts = counts[: self.num_counts]
        if self.normalizer == 'all':  # pixels of the batch, to be summed like the other counts
            counts = F.pad(counts, (0, 1), value=seg_label.numel())
        # An evaluation may be on one process alone.
        sync = self.sync and (self.training or self.together)
        if sync:
            all_reduce(counts)

        class_weight = self.class_weights_of(self._running(counts[:, :num_classes]))
        divisor = self._divisor(counts[0], class_weight)
        if sync:  # every process divides by its share of the common divisor
            divisor = divisor / get_dist_info()[1]
        return per_pixel(class_weight.to(scores.loss.dtype), label), divisor

    def _divisor(self, pixels: Tensor, class_weight: Tensor) -> Tensor:
        """Returns Z (1,) float64, from the pixels of every class and, for ``'all'``, of all."""
        if self.normalizer == 'all':
            return pixels[-1:].double()
        if self.normalizer == 'valid':
            return pixels.sum(0, keepdim=True).double()
        if self.class_weight is not None:
            class_weight = class_weight * self.class_weight
        return (pixels * class_weight).sum(0, keepdim=True)

    def _running(self, counts: Tensor) -> Tensor:
        """Returns the batch's counts, or the updated running counts."""
        if self.momentum is None:
            return counts
        running = self.running_counts
        if self.needs_num_classes:
            running = torch.zeros_like(counts, dtype=running.dtype)
        present, known = counts[0] > 0, running[0] > 0
        if not self.training:
            return torch.where(known, running, counts)
        moved = running + self.momentum * (counts - running)
        moved = torch.where(present, torch.where(known, moved, counts), running)
        if self.probing:
            return moved
        if self.needs_num_classes:
            self.running_counts = moved
        else:  # in place, as in batch normalisation, for replicas and CUDA graphs that refer to it
            running.copy_(moved)
        return moved

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        saved = state_dict.get(prefix + 'running_counts')
        if saved is not None and self.needs_num_classes:
            self.running_counts = self.running_counts.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
