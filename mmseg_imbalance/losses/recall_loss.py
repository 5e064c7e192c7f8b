"""Recall loss."""

from torch import Tensor

from ..ops import recall_class_weights
from ..registry import MODELS
from .class_count_loss import ClassCountLoss


@MODELS.register_module()
class RecallLoss(ClassCountLoss):
    r"""Cross-entropy with a weight per class, its share of missed pixels, 1 - recall.

    A perfectly recalled class needs no further push, while a class that is always missed gets the
    full weight of cross-entropy: J. Tian, N. C. Mithun, Z. Seymour, H.-P. Chiu, Z. Kira, *Striking
    the Right Balance: Recall Loss for Semantic Segmentation*, ICRA 2022, arXiv 2106.14917,

    .. math:: L = -\frac{1}{Z} \sum_n w_{y_n} \log p_n(y_n), \qquad
        w_c = \frac{\max(FN_c, floor)}{\max(N_c, floor)}

    where N_c and FN_c are the pixels and false negatives of class c in the batch, by the arg-max
    prediction. The weights are constants in the backward pass.

    Use it in any decode or auxiliary head that computes its loss on (N, C, H, W) logits::

        custom_imports = dict(imports=['mmseg_imbalance'])
        model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss')))

    Args:
        floor: Minimum number of missed pixels that is counted for a class, ≥ 0. 0 is the paper's
            definition; 1 is what the authors' released code does (a class that is recalled
            perfectly keeps the weight 1 / N_c).
        normalizer: The divisor Z. ``'weight'``: the sum of the class weights over the valid
            pixels, giving a weighted mean whose scale does not shrink as the recall grows;
            ``'valid'``: the number of valid pixels (``avg_non_ignore=True`` in MMSegmentation's
            cross-entropy); ``'all'``: the number of all pixels (the released code).
        momentum: Share in (0, 1] of the current batch in running counts that give the recall, see
            :class:`ClassCountLoss`. This is steadier if crops show few classes. None: the recall of
            the batch.
        sync: Whether to sum the counts over all processes, in one all-reduce per training step.
            Recall, divisor and the gradient that DistributedDataParallel averages are then those of
            all batches together. In evaluation every process counts for itself.
        loss_name: Key of the loss in the log.
        **kwargs: ``class_weight``, which enters the divisor ``'weight'``, ``num_classes``,
            ``loss_weight``, ``check_labels``, ``compile`` and ``kernels``, see
            :class:`ClassCountLoss`.

    Raises:
        ValueError: For floor < 0, an unknown normalizer or momentum outside (0, 1].

    Example:
        >>> import torch
        >>> loss = RecallLoss(floor=0, normalizer='valid')
        >>> logits = torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0]).view(1, 2, 2, 2)
        >>> label = torch.tensor([[[0, 0], [0, 1]]])
        >>> loss(logits, label)  # two of three pixels of class 0 are missed: 2/3 of their loss
        tensor(1.0243)
    """

    num_counts = 2
    _shown = ('floor', 'normalizer', 'momentum', 'sync')

    def __init__(
        self,
        floor: float = 1.0,
        normalizer: str = 'weight',
        momentum: float | None = None,
        sync: bool = False,
        loss_name: str = 'loss_recall',
        **kwargs,
    ) -> None:
        super().__init__(normalizer, momentum, sync, loss_name=loss_name, **kwargs)
        if not 0 <= floor < float('inf'):
            raise ValueError(f'floor must be a number of pixels ≥ 0, got {floor}')
        self.floor = floor

    def class_weights_of(self, counts: Tensor) -> Tensor:
        """Returns 1 - recall of every class, see :func:`recall_class_weights`."""
        return recall_class_weights(counts, self.floor)
