"""What all losses share: checks of their input, class weights and names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..ops.compiling import is_compiling
from ..ops.labels import check_labels
from ..statistics import METHODS, class_weights
from ..statistics.class_statistics import ClassStatistics
from ..statistics.class_values import ClassValuesError, load_class_weight, source_of
from ..utils.precise_buffers import PreciseBuffers
from .upsampled_logits import UpsampledLogits

_REDUCTIONS = ('none', 'mean', 'sum')
_WITHOUT_FLOAT64 = ('mps',)  # Apple's GPUs
_ONE_CHANNEL = (
    'over one channel the soft-max is always 1, so nothing would be trained; for one foreground '
    'class give the network two, in MMSegmentation by num_classes=2 and out_channels=2 in the head'
)


class SegmentationLoss(PreciseBuffers, nn.Module):
    """Base of all losses: reads class weights, checks what it is called with.

    Its arguments, and the errors that they raise, are those of :class:`PixelWeightingLoss`.

    Attributes:
        needs_float64: Whether it computes some numbers in float64 on the device of the labels.
    """

    needs_float64 = False
    _shown: tuple[str, ...] = ()  # the attributes that describe the loss in a printed model

    def __init__(
        self,
        class_weight: Sequence[float] | str | None,
        loss_weight: float,
        loss_name: str,
        num_classes: int | None,
        check_labels: bool | None,
    ) -> None:
        super().__init__()
        if num_classes == 1:
            raise ValueError(f'num_classes is 1, but {_ONE_CHANNEL}')
        if 'loss' not in loss_name:
            raise ValueError(
                f"loss_name must contain 'loss', got {loss_name!r}: MMEngine only trains what is "
                f"named so, and logs the rest; try 'loss_{loss_name}'"
            )
        self.num_classes = num_classes
        names_a_method = isinstance(class_weight, str) and class_weight in METHODS
        self.class_weight_method = class_weight if names_a_method else None
        # Empty until the statistics are set; training before that is an error.
        weights = [] if names_a_method else load_class_weight(class_weight)
        # A buffer follows the model to its device; as configuration it is not in checkpoints.
        buffer = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.register_buffer('class_weight', buffer, persistent=False)
        self._weights_source = (
            'class_weight' if names_a_method else source_of(class_weight, 'class_weight')
        )
        if weights:
            self._check_length(self._weights_source, self.class_weight, num_classes)
        self.loss_weight = loss_weight
        self.check_labels = check_labels
        self._loss_name = loss_name

    def extra_repr(self) -> str:
        """Describes the loss in a printed model."""
        return ', '.join(f'{name}={getattr(self, name)!r}' for name in self._shown)

    @property
    def loss_name(self) -> str:
        """Key of the loss in the dictionary that the head returns."""
        return self._loss_name

    @property
    def needs_statistics(self) -> bool:
        """Whether :meth:`use_statistics` has to be called before the loss."""
        return self.class_weight_method is not None

    def use_statistics(self, statistics: ClassStatistics) -> dict[str, list[float]]:
        """Computes what depends on class statistics, such as ``class_weight``.

        Args:
            statistics: Statistics of the training data.

        Returns:
            The computed values by name, one number per class each.

        Raises:
            ValueError: If their number of classes is not ``num_classes``.
        """
        if self.class_weight_method is None:
            return {}
        weights = class_weights(statistics, self.class_weight_method)
        self._check_length('class_weight', weights, self.num_classes)
        self.class_weight = self.class_weight.new_tensor(weights)
        return {f'class_weight ({self.class_weight_method})': weights}

    @staticmethod
    def _checked_reduction(reduction_override: str | None) -> str:
        reduction = reduction_override or 'mean'
        if reduction not in _REDUCTIONS:
            raise ValueError(f'reduction_override must be one of {_REDUCTIONS}, got {reduction!r}')
        return reduction

    def _check_input(
        self,
        seg_logits: Tensor | UpsampledLogits,
        seg_label: Tensor,
        weight: Tensor | None,
        ignore_index: int,
    ) -> None:
        if seg_logits.dim() != 4:
            way = '; use seg_logits.flatten(2, 3) and seg_label.flatten(1, 2)'
            raise ValueError(
                f'seg_logits must be (N, C, H, W), got {tuple(seg_logits.shape)}'
                + (way if seg_logits.dim() == 5 else '')
            )
        n, channels, height, width = seg_logits.shape
        if channels == 1:
            raise ValueError(f'seg_logits have 1 channel, but {_ONE_CHANNEL}')
        if seg_label.shape != (n, height, width):
            raise ValueError(
                f'seg_label must be (N, H, W) = {(n, height, width)} to fit seg_logits, '
                f'got {tuple(seg_label.shape)}{_way_to_fit(seg_logits, seg_label)}'
            )
        if not isinstance(seg_label, Tensor):
            raise TypeError(f'seg_label must be a tensor, got {type(seg_label).__name__}')
        if seg_label.dtype != torch.int64:
            raise TypeError(f'seg_label must be int64, got {seg_label.dtype}; use seg_label.long()')
        if weight is not None and weight.shape != seg_label.shape:
            raise ValueError(
                f'weight must be {tuple(seg_label.shape)} as seg_label, got {tuple(weight.shape)}'
            )
        if self.needs_float64 and seg_label.device.type in _WITHOUT_FLOAT64:
            raise RuntimeError(
                f'{type(self).__name__} computes some numbers in float64, which a device of type '
                f'{seg_label.device.type} does not have: leave the loss on '
                'the CPU and call loss(logits.cpu(), label.cpu()); the gradient flows back'
            )
        if self.num_classes is not None and channels != self.num_classes:
            raise ValueError(
                f'seg_logits have {channels} channels, but num_classes={self.num_classes}'
            )
        if self.class_weight is not None:
            self._check_length(self._weights_source, self.class_weight, channels)
        if self._checks_values(seg_label):
            check_labels(seg_label, channels, ignore_index)

    @staticmethod
    def _check_length(name: str, values: Sequence[float] | Tensor, num_classes: int | None) -> None:
        if len(values) == 0:
            raise RuntimeError(
                f'{name} is computed from class statistics, which have not been counted yet: add '
                "custom_hooks = [dict(type='ClassStatisticsHook')] to the config or, without "
                "MMSegmentation, call the loss's use_statistics(count_label_maps(…))"
            )
        if num_classes is not None and len(values) != num_classes:
            raise ClassValuesError(f'{name} has {len(values)} entries for {num_classes} classes')

    def _checks_values(self, tensor: Tensor) -> bool:
        """Whether to check values: never in a compiled graph, which a check would break."""
        if is_compiling():
            return False
        return tensor.device.type == 'cpu' if self.check_labels is None else self.check_labels


def _way_to_fit(seg_logits: Tensor | UpsampledLogits, seg_label: Tensor) -> str:
    """Continues the message about a shape, if what to do about it is clear."""
    if seg_label.dim() == 4 and seg_label.shape[1] == 1:
        return '; use seg_label[:, 0]'
    if isinstance(seg_logits, Tensor) and seg_label.dim() == 3:
        return (
            '; resize the logits, or wrap them: '
            'UpsampledLogits(seg_logits, seg_label.shape[1:], align_corners=False)'
        )
    return ''
