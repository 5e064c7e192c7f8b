"""Balancing logit variation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import working_dtype
from ..ops.pixel_cross_entropy import PixelScores
from ..registry import MODELS
from .class_prior_loss import ClassPriorLoss
from .upsampled_logits import UpsampledLogits


@MODELS.register_module()
class BLVLoss(ClassPriorLoss):
    r"""Cross-entropy of logits that get noise in training, the more, the rarer the class is.

    Y. Wang, J. Fei, H. Wang, W. Li, T. Bao, L. Wu, R. Zhao, Y. Shen, *Balancing Logit Variation for
    Long-tailed Semantic Segmentation*, CVPR 2023, arXiv 2306.02061, equation 3. Of the class shares
    π, the logits f of every pixel and class become

    .. math:: \hat f_c = f_c + \frac{\log \pi_c}{\min_k \log \pi_k} \min(|\delta|, 1), \qquad
        \delta \sim N(0, \sigma^2)

    Their noise lies in [0, 1] for the rarest class. Each pixel of a rare class thus stands for a
    region of logits, which should give the class more room in the space of features. The bound 1 is
    from the paper's supplement, whose text is followed here; its Algorithm 1 sets negative draws to
    0 instead of taking absolute values.

    A loss in evaluation mode, as in ``model.eval()``, adds no noise. The draws are those of
    PyTorch's generator of the logits' device, so that they repeat with its seed; processes draw for
    themselves.

    The noisy logits take up one tensor of the logits' size, in float32 for half precision. It is
    kept for the backward pass, instead of the logits. ``UpsampledLogits`` are upsampled for it, so
    that ``FusedUpsamplingHook`` saves nothing.

    Args:
        sigma: Standard deviation ≥ 0 of the draws; 0 gives cross-entropy. Since they are bounded, a
            larger one brings more of them to the bound. The paper takes 6, and 4 once.
        prior: Share or number of pixels of each class, > 0, a file with such a list, or None for
            that of the training data, see :class:`ClassPriorLoss`.
        loss_name: Key of the loss in the log.
        **kwargs: ``class_weight``, ``loss_weight``, ``num_classes``, ``check_labels``, ``compile``
            and ``kernels``, see :class:`PixelWeightingLoss`. The mean is taken over the valid
            pixels.

    Raises:
        ValueError: For sigma < 0, and as in :class:`ClassPriorLoss`.

    Example:
        >>> loss = BLVLoss(prior=[0.9, 0.1])
        >>> logits, label = torch.zeros(1, 2, 1, 1), torch.tensor([[[1]]])
        >>> bool(loss(logits, label) < loss.eval()(logits, label))
        True
    """

    _shown = ('sigma',)

    def __init__(
        self,
        sigma: float = 6.0,
        prior: Sequence[float] | str | None = None,
        loss_name: str = 'loss_blv',
        **kwargs,
    ) -> None:
        super().__init__(prior, loss_name=loss_name, **kwargs)
        if not 0 <= sigma < math.inf:
            raise ValueError(f'sigma must be finite and ≥ 0, got {sigma}')
        self.sigma = float(sigma)

    def score(
        self, seg_logits: Tensor | UpsampledLogits, seg_label: Tensor, ignore_index: int
    ) -> PixelScores:
        """Computes cross-entropy of the logits, with noise in training mode."""
        if self.training and self.sigma > 0:
            seg_logits = self._noisy(seg_logits)
        return super().score(seg_logits, seg_label, ignore_index, shift=None)

    def _noisy(self, seg_logits: Tensor | UpsampledLogits) -> Tensor:
        """Returns the logits with noise, (N, C, H, W) float32 or float64, in one new tensor."""
        self._check_length('prior', self.log_prior, seg_logits.shape[1])
        if isinstance(seg_logits, UpsampledLogits):
            seg_logits = seg_logits.resized()
        dtype, device = working_dtype(seg_logits), seg_logits.device
        noise = torch.empty(seg_logits.shape, dtype=dtype, device=device).normal_(std=self.sigma)
        rarity = (self.log_prior / self.log_prior.min()).to(dtype)
        noise.abs_().clamp_(max=1).mul_(rarity[:, None, None])
        return noise.add_(seg_logits)
