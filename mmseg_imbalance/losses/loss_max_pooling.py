"""Loss max-pooling."""

import torch
from torch import Tensor, nn

from ..ops.max_pooling import max_pooling_weights
from ..ops.pixel_cross_entropy import PixelScores
from ..ops.row_stripes import working_dtype
from ..registry import MODELS
from ..statistics.class_statistics import ClassStatistics
from .class_count_loss import ClassCountLoss
from .pixel_weighting_loss import PixelWeightingLoss
from .upsampled_logits import UpsampledLogits

_POOLS = ('image', 'batch')


@MODELS.register_module()
class LossMaxPooling(PixelWeightingLoss):
    r"""Pools the pixel losses by the worst case over a family of weightings, not by their mean.

    Cross-entropy averages over the pixels, so a class with few pixels hardly counts. Loss
    max-pooling gives more weight to pixels with large losses, whatever their class: S. Rota Bulò,
    G. Neuhold, P. Kontschieder, *Loss Max-Pooling for Semantic Image Segmentation*, CVPR 2017,
    arXiv 1704.02966,

    .. math:: L = \max_w \Big\{\sum_u w(u)\,\ell(u) :
        w \ge 0,\ \|w\|_p \le n^{-1/q},\ \|w\|_\infty \le n^{-1/q} m^{-1/p}\Big\}

    over the n valid pixels of an image, with 1/p + 1/q = 1. The optimum is computed exactly, see
    :mod:`mmseg_imbalance.ops.max_pooling`; an image without a valid pixel contributes 0. With
    ``reduction_override`` ``'sum'`` or ``'none'`` the weights are in units of the uniform weight
    1/n, so that p = inf gives plain cross-entropy in every reduction.

    Use it in any decode or auxiliary head that computes its loss on (N, C, H, W) logits::

        custom_imports = dict(imports=['mmseg_imbalance'])
        model = dict(
            decode_head=dict(
                loss_decode=dict(_delete_=True, type='LossMaxPooling', p=1.7, ratio=0.25)))

    Args:
        p: How selective the pooling is, in [1, inf]: inf gives the mean, 1 the mean of the m
            largest losses (top-k, OHEM). In a config write ``'inf'``: MMEngine writes
            ``float('inf')`` to the work dir in a way that it cannot read.
        ratio: m / n in (0, 1], the least share of the valid pixels that has to carry the weight;
            1 gives the mean, for every p. A pixel weighs at most (1/ratio)^(1/p) times as much as
            in the mean.
        pool: Whether to pool each ``'image'`` (the loss is the mean over the images, independent of
            the batch size and of the number of GPUs) or the whole ``'batch'`` of one process; n
            counts its pixels.
        pixel_loss: Another loss to pool instead of soft-max cross-entropy, a module or the config
            of a registered one. It is called with ``reduction_override='none'`` and has to return
            losses ≥ 0 of shape (N, H, W), as :class:`SoftmaxFocalLoss` does; sigmoid losses return
            one per class. A recall loss with momentum is refused.
        loss_name: Key of the loss in the log.
        **kwargs: ``class_weight``, ``loss_weight``, ``num_classes``, ``check_labels``, also for
            negative losses of ``pixel_loss``, ``compile`` and ``kernels``, also in ``pixel_loss``,
            see :class:`PixelWeightingLoss`. ``pixel_loss`` has options of its own for the rest.

    Raises:
        ValueError: For p < 1, a ratio outside (0, 1], an unknown pool or a ``pixel_loss`` with
            momentum.

    Example:
        >>> import torch
        >>> loss = LossMaxPooling(p=1, ratio=0.25)
        >>> logits = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 9.0, 0.0, 9.0]).view(1, 2, 2, 2)
        >>> label = torch.tensor([[[0, 1], [1, 1]]])
        >>> loss(logits, label)  # the worst of four pixels
        tensor(0.6931)
    """

    _shown = ('p', 'ratio', 'pool')

    def __init__(
        self,
        p: float = 1.7,
        ratio: float = 0.25,
        pool: str = 'image',
        pixel_loss: dict | nn.Module | None = None,
        loss_name: str = 'loss_lmp',
        **kwargs,
    ) -> None:
        super().__init__(loss_name=loss_name, **kwargs)
        self.p, self.ratio = float(p), float(ratio)
        if not self.p >= 1:
            raise ValueError(f'p must be in [1, inf], got {p}')
        if not 0 < self.ratio <= 1:
            raise ValueError(f'ratio must be in (0, 1], got {ratio}')
        if pool not in _POOLS:
            raise ValueError(f'pool must be one of {_POOLS}, got {pool!r}')
        self.pool = pool
        built = pixel_loss is None or isinstance(pixel_loss, nn.Module)
        self.pixel_loss = pixel_loss if built else MODELS.build(pixel_loss)
        if isinstance(self.pixel_loss, ClassCountLoss) and self.pixel_loss.momentum is not None:
            raise ValueError(
                'pixel_loss has momentum, but its running counts are only updated where it is the '
                'loss itself: leave its momentum out'
            )

    @property
    def needs_float64(self) -> bool:
        """Whether it computes some numbers in float64; a mean does not."""
        pools = self.p < float('inf') and self.ratio < 1
        return pools or getattr(self.pixel_loss, 'needs_float64', False)

    @property
    def needs_statistics(self) -> bool:
        """Whether :meth:`use_statistics` has to be called, for this loss or ``pixel_loss``."""
        return super().needs_statistics or getattr(self.pixel_loss, 'needs_statistics', False)

    def use_statistics(self, statistics: ClassStatistics) -> dict[str, list[float]]:
        """Computes what depends on class statistics, also of ``pixel_loss``."""
        computed = super().use_statistics(statistics)
        if getattr(self.pixel_loss, 'needs_statistics', False):
            inner = self.pixel_loss.use_statistics(statistics)
            computed |= {f'{name} of pixel_loss': values for name, values in inner.items()}
        return computed

    def score(
        self, seg_logits: Tensor | UpsampledLogits, seg_label: Tensor, ignore_index: int
    ) -> PixelScores:
        """Computes ``pixel_loss``, by default cross-entropy."""
        if self.pixel_loss is None:
            return super().score(seg_logits, seg_label, ignore_index, shift=None)
        losses = self._other_losses(seg_logits, seg_label, ignore_index)
        losses = torch.where(seg_label != ignore_index, losses, 0.0)
        return PixelScores(losses, None, seg_logits.shape[1])

    def _other_losses(
        self, seg_logits: Tensor | UpsampledLogits, seg_label: Tensor, ignore_index: int
    ) -> Tensor:
        """Computes and checks ``pixel_loss`` (N, H, W)."""
        name = type(self.pixel_loss).__name__
        if not isinstance(self.pixel_loss, PixelWeightingLoss):
            if isinstance(seg_logits, UpsampledLogits):
                raise TypeError(
                    f'pixel_loss {name} needs logits of label size: it cannot be used with '
                    'FusedUpsamplingHook'
                )
            # In other losses ignored pixels can spoil the gradient, see pixel_cross_entropy.
            valid = (seg_label != ignore_index)[:, None]
            seg_logits = torch.where(valid, seg_logits, 0.0).to(working_dtype(seg_logits))
        losses = self.pixel_loss(
            seg_logits, seg_label, ignore_index=ignore_index, reduction_override='none'
        )
        if losses.shape != seg_label.shape:
            raise ValueError(
                f'pixel_loss {name} returned {tuple(losses.shape)} instead of one loss per pixel, '
                f'(N, H, W) = {tuple(seg_label.shape)}; it cannot be pooled'
            )
        if self._checks_values(losses) and bool((losses < 0).any()):
            raise ValueError(
                f'pixel_loss {name} returned the negative loss {float(losses.min()):g}; '
                'loss max-pooling is defined for losses ≥ 0'
            )
        return losses

    def weigh(self, scores: PixelScores, seg_label: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns optimal weights, and the valid pixels of each image or the batch."""
        if self.pool == 'image':
            losses, mask = scores.loss.flatten(1), valid.flatten(1)
        else:
            losses, mask = scores.loss.reshape(1, -1), valid.reshape(1, -1)
        weights = max_pooling_weights(losses.float(), mask, self.p, self.ratio)
        return weights.view_as(scores.loss), mask.sum(1)

    def curves(self, weighing: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Returns ``'saturated'``, the share of pixels with the largest possible weight.

        It is (n / m)^(1/p) for the n valid pixels of an image or batch, m = max(1, ratio · n).
        """
        start = 1 if self.pool == 'image' else 0
        weighing, valid = weighing.flatten(start), valid.flatten(start)
        n = valid.sum(-1, keepdim=True).double()
        largest = (n / (self.ratio * n).clamp(min=1)) ** (1 / self.p)
        share = (valid & (weighing >= (1 - 1e-5) * largest)).sum().double() / valid.sum()
        return {'saturated': share}
