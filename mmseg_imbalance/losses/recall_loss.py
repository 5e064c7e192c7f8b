"""Recall loss."""

import torch
from torch import Tensor

from ..ops import class_counts, safe_divisor
from ..ops.pixel_cross_entropy import PixelScores
from ..ops.recall import recall_class_weights
from ..registry import MODELS
from ..utils.distributed import all_reduce, get_dist_info
from .pixel_weighting_loss import PixelWeightingLoss

_NORMALIZERS = ('valid', 'all', 'weight')


@MODELS.register_module()
class RecallLoss(PixelWeightingLoss):
    r"""Cross-entropy whose classes weigh as much as they are missed, 1 - recall.

    A class that is recalled perfectly needs no further push, one that is always missed gets the
    full weight of cross-entropy: J. Tian, N. C. Mithun, Z. Seymour, H.-P. Chiu, Z. Kira, *Striking
    the Right Balance: Recall Loss for Semantic Segmentation*, ICRA 2022, arXiv 2106.14917,

    .. math:: L = -\frac{1}{Z} \sum_n w_{y_n} \log p_n(y_n), \qquad
        w_c = \frac{\max(FN_c, floor)}{\max(N_c, floor)}

    with the pixels N_c and false negatives FN_c of class c in the batch, from the arg-max
    prediction. The weights are constants in the backward pass.

    Use it in any decode or auxiliary head that computes its loss on (N, C, H, W) logits::

        custom_imports = dict(imports=['mmseg_imbalance'])
        model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss')))

    Args:
        floor: Least number of missed pixels that a class is credited with, in pixels, ≥ 0: 0 is
            the paper's definition, 1 what the authors' released code does (a class that is
            recalled perfectly keeps the weight 1 / N_c).
        normalizer: The divisor Z. ``'weight'``: the sum of the class weights over the valid
            pixels, a weighted mean whose scale does not shrink as the recall grows; ``'valid'``:
            the number of valid pixels (``avg_non_ignore=True`` in MMSegmentation's cross-entropy);
            ``'all'``: the number of all pixels (the released code).
        momentum: Share in (0, 1] of the current batch in running counts that the recall is taken
            from, as in batch normalisation; only classes present are updated. Steadier where crops
            show few classes. The counts are saved and resumed with the checkpoint; without
            ``sync`` every process has its own, and a checkpoint those of the first. They move once
            a step: not in evaluation, and not with ``reduction_override='none'``. None: the recall
            of the batch.
        sync: Whether to sum the counts over all processes, in one all-reduce a step: recall and
            divisor are then those of the union of their batches, and so is the gradient that
            DistributedDataParallel averages.
        class_weight: See :class:`PixelWeightingLoss`, as for the arguments below; class weights
            enter the divisor ``'weight'``, as they do in MMSegmentation's cross-entropy.
        loss_weight: Factor of the whole loss.
        loss_name: Key of the loss in the log.
        num_classes: Number of classes. With ``momentum``, name it where something copies the
            model's buffers before the first iteration, such as MMEngine's EMAHook.
        check_labels: Whether to check the values of the labels; None does so on a CPU.
        compile: Whether to compile the pass over the logits.

    Raises:
        ValueError: floor < 0, unknown normalizer, momentum outside (0, 1].

    Example:
        >>> import torch
        >>> loss = RecallLoss(floor=0, normalizer='valid')
        >>> logits = torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0]).view(1, 2, 2, 2)
        >>> label = torch.tensor([[[0, 0], [0, 1]]])
        >>> loss(logits, label)  # two of three pixels of class 0 are missed: 2/3 of their loss
        tensor(1.0243)
    """

    needs_predictions = True

    def __init__(
        self,
        floor: float = 1.0,
        normalizer: str = 'weight',
        momentum: float | None = None,
        sync: bool = False,
        class_weight=None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_recall',
        num_classes: int | None = None,
        check_labels: bool | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(class_weight, loss_weight, loss_name, num_classes, check_labels, compile)
        if not 0 <= floor < float('inf'):
            raise ValueError(f'floor must be a number of pixels ≥ 0, got {floor}')
        if normalizer not in _NORMALIZERS:
            raise ValueError(f'normalizer must be one of {_NORMALIZERS}, got {normalizer!r}')
        if momentum is not None and not 0 < momentum <= 1:
            raise ValueError(f'momentum must be in (0, 1] or None, got {momentum}')
        self.floor = floor
        self.normalizer = normalizer
        self.momentum = momentum
        self.sync = sync
        if momentum is not None:
            # Without num_classes, (2, 0) until the first batch or checkpoint tells.
            counts = torch.zeros(2, num_classes or 0, dtype=torch.float64)
            self.register_buffer('running_counts', counts)

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """The class weight of every pixel's label, and the divisor Z."""
        num_classes = scores.num_classes
        label = seg_label.int().masked_fill_(~valid, num_classes)
        counts = class_counts(scores.pred, label, num_classes, ignore_index=num_classes)[:2]
        counts = torch.cat([counts, counts.new_full((2, 1), seg_label.numel())], 1)
        if self.sync:
            all_reduce(counts)
        counts, num_pixels = counts[:, :-1], counts[0, -1:]

        class_weight = recall_class_weights(self._running(counts), self.floor)
        table = torch.cat([class_weight, class_weight.new_zeros(1)]).to(scores.loss.dtype)
        pixel_weight = table.index_select(0, label.flatten()).view_as(label)
        divisor = self._divisor(counts, num_pixels, class_weight)
        if self.sync:  # every process divides by its share of the union's divisor
            divisor = divisor / get_dist_info()[1]
        return pixel_weight, safe_divisor(divisor.to(scores.loss.dtype))

    def _divisor(self, counts: Tensor, num_pixels: Tensor, class_weight: Tensor) -> Tensor:
        if self.normalizer == 'all':
            return num_pixels.double()
        if self.normalizer == 'valid':
            return counts[0].sum(0, keepdim=True).double()
        if self.class_weight is not None:
            class_weight = class_weight * self.class_weight
        return (counts[0] * class_weight).sum(0, keepdim=True)

    def _running(self, counts: Tensor) -> Tensor:
        """The counts to take the recall from: the batch's, or the updated running ones."""
        if self.momentum is None:
            return counts
        running = self.running_counts
        if running.shape[1] == 0:
            running = torch.zeros_like(counts, dtype=running.dtype)
        if not self.training:
            return running
        present, known = counts[0] > 0, running[0] > 0
        moved = running + self.momentum * (counts - running)
        moved = torch.where(present, torch.where(known, moved, counts), running)
        if not self.probing:
            self.running_counts = moved
        return moved

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        saved = state_dict.get(prefix + 'running_counts')
        if saved is not None and self.momentum is not None and self.running_counts.numel() == 0:
            self.running_counts = torch.zeros_like(saved, device=self.running_counts.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """What a printed model shows."""
        return (
            f'floor={self.floor}, normalizer={self.normalizer!r}, momentum={self.momentum}, '
            f'sync={self.sync}'
        )
