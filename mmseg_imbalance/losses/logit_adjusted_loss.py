"""Logit adjustment and balanced soft-max."""

import math
from collections.abc import Sequence

from torch import Tensor

from ..ops.pixel_cross_entropy import PixelScores
from ..registry import MODELS
from .class_prior_loss import ClassPriorLoss
from .upsampled_logits import UpsampledLogits


@MODELS.register_module()
class LogitAdjustedLoss(ClassPriorLoss):
    r"""Cross-entropy of logits that are shifted in training by the class frequencies.

    A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar, *Long-Tail Learning via
    Logit Adjustment*, ICLR 2021, arXiv 2007.07314, equation 10. With tau = 1 it is the balanced
    soft-max of J. Ren et al., *Balanced Meta-Softmax for Long-Tailed Visual Recognition*, NeurIPS
    2020, arXiv 2007.10740. For logits f and class shares π,

    .. math:: \ell = -\log
        \frac{\exp(f_y + \tau \log \pi_y)}{\sum_c \exp(f_c + \tau \log \pi_c)}

    The prior accounts for the class frequencies, so that the logits, by which the network predicts,
    need not. They aim at the error averaged over the classes (mean accuracy) instead of over the
    pixels. Nothing changes at test time::

        custom_imports = dict(imports=['mmseg_imbalance'])
        model = dict(
            decode_head=dict(loss_decode=dict(_delete_=True, type='LogitAdjustedLoss')))
        custom_hooks = [dict(type='ClassStatisticsHook')]

    Args:
        tau: Strength of the prior, ≥ 0; 0 gives cross-entropy.
        prior: Share or number of pixels of each class, > 0, a file with such a list, or None for
            that of the training data, see :class:`ClassPriorLoss`. A class without a pixel counts
            as one pixel then: the logarithm of 0 would take it out of the soft-max, and nothing
            would push its logits down, although they compete with all others at test time.
        **kwargs: ``class_weight``, ``loss_weight``, ``loss_name`` (``'loss_la'``), ``num_classes``,
            ``check_labels``, ``compile`` and ``kernels``, see :class:`PixelWeightingLoss`. The mean
            is taken over the valid pixels.

    Raises:
        ValueError: For tau < 0, or for a prior that cannot be read, is not > 0 everywhere or does
            not have ``num_classes`` entries.

    Example:
        >>> import torch
        >>> loss = LogitAdjustedLoss(prior=[0.9, 0.1])
        >>> logits = torch.zeros(1, 2, 1, 1)
        >>> loss(logits, torch.tensor([[[1]]]))  # -log 0.1
        tensor(2.3026)
    """

    _shown = ('tau',)

    def __init__(
        self,
        tau: float = 1.0,
        prior: Sequence[float] | str | None = None,
        loss_name: str = 'loss_la',
        **kwargs,
    ) -> None:
        super().__init__(prior, loss_name=loss_name, **kwargs)
        if not 0 <= tau < math.inf:
            raise ValueError(f'tau must be finite and ≥ 0, got {tau}')
        self.tau = float(tau)

    def score(
        self, seg_logits: Tensor | UpsampledLogits, seg_label: Tensor, ignore_index: int
    ) -> PixelScores:
        """Computes cross-entropy of the adjusted logits, predictions of the unadjusted logits."""
        self._check_length('prior', self.log_prior, seg_logits.shape[1])
        shift = self.tau * self.log_prior
        return super().score(seg_logits, seg_label, ignore_index, shift)
