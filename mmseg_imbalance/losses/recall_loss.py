"""Recall loss."""

from torch import Tensor

from ..ops import recall_class_weights
from ..registry import MODELS
from .class_count_loss import ClassCountLoss


@MODELS.register_module()
class RecallLoss(ClassCountLoss):
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
        kernels: Whether to use the Triton kernels on a GPU.

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

    num_counts = 2

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
        kernels: bool = True,
    ) -> None:
        super().__init__(
            normalizer,
            momentum,
            sync,
            num_classes,
            class_weight=class_weight,
            loss_weight=loss_weight,
            loss_name=loss_name,
            check_labels=check_labels,
            compile=compile,
            kernels=kernels,
        )
        if not 0 <= floor < float('inf'):
            raise ValueError(f'floor must be a number of pixels ≥ 0, got {floor}')
        self.floor = floor

    def class_weights_of(self, counts: Tensor) -> Tensor:
        """1 - recall of every class, see :func:`recall_class_weights`."""
        return recall_class_weights(counts, self.floor)

    def extra_repr(self) -> str:
        """What a printed model shows."""
        return (
            f'floor={self.floor}, normalizer={self.normalizer!r}, momentum={self.momentum}, '
            f'sync={self.sync}'
        )
