"""A hook that stops a training at the first loss that is not finite and reports the cause."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ..losses.upsampled_logits import UpsampledLogits
from ..utils.class_names import trained_classes
from ..utils.find_loss import unwrapped
from .non_finite import find_culprit, first_non_finite_parameter


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops a training before a NaN or infinite loss changes the weights, and names the pixel.

    The hook checks every loss of the model, in all heads, of this package or of MMSegmentation.
    The first value that is not finite ends the training with a one-line error: iteration, loss,
    image, pixel, label, and whether the logits, a weight or the loss itself are at fault. At this
    point neither the backward pass nor the optimizer has run, so the model is unchanged::

        custom_hooks = [*_base_.custom_hooks, dict(type='NonFiniteLossHook')]

    Use it to find an error, not in every training: on a GPU, each checked loss waits for the
    device. Apart from that, the training stays the same bit for bit. In a distributed training,
    the rank that finds the value ends with the error, and the launcher ends the other ranks. In
    compiled code, each check causes a graph break.

    MMDetection's ``CheckInvalidLossHook`` checks the sum of all losses, after the optimizer step.

    Args:
        interval: Iterations ≥ 1 from one check to the next. Above 1, the value found may result
            from an earlier one that was not checked.

    Raises:
        ValueError: If ``interval`` < 1 or, at the start of a training, the model has no loss.
        FloatingPointError: If a loss is not finite.
    """

    def __init__(self, interval: int = 1) -> None:
        if not interval >= 1:
            raise ValueError(f'interval must be a number of iterations ≥ 1, got {interval}')
        self.interval = interval
        self._handles: list = []
        self._batch: dict | None = None  # of an iteration to be checked, else None

    def before_train(self, runner) -> None:
        """Registers the check with every loss."""
        self._model = unwrapped(runner.model)
        self._classes = trained_classes(runner)
        losses = _find_all_losses(self._model)
        if not losses:
            raise ValueError(
                'NonFiniteLossHook: the model has no loss to listen at, a module with a loss_name'
            )
        for path, loss in losses.items():
            self._handles.append(loss.register_forward_hook(self._check(path), with_kwargs=True))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Keeps the batch if its losses are to be checked."""
        looks = self.every_n_train_iters(runner, self.interval)
        self._batch, self._iteration = data_batch if looks else None, runner.iter + 1

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Releases the batch."""
        self._batch = None

    def after_train(self, runner=None) -> None:
        """Removes the checks."""
        while self._handles:
            self._handles.pop().remove()
        self._batch = None

    def _check(self, path: str):
        """Returns a forward hook that checks the loss at a path in the model."""

        def check(loss: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
            # OHEM first computes single pixels' losses; the loss itself follows in another call.
            probing = kwargs.get('reduction_override') == 'none'
            if self._batch is None or probing or bool(output.isfinite().all()):
                return
            batch = self._batch
            self.after_train()  # the error skips after_train; later calls must not be checked
            rank = f' of process {get_rank()}' if get_world_size() > 1 else ''
            values = output.detach().flatten()
            value = values[~values.isfinite()][0].item()
            raise FloatingPointError(
                f'iteration {self._iteration}{rank}: {loss.loss_name} ({path}) is {value}: '
                + self._explain(loss, args, kwargs, batch)
            )

        return check

    @torch.no_grad()
    def _explain(self, loss: nn.Module, args: tuple, kwargs: dict, batch: dict) -> str:
        parameter = first_non_finite_parameter(self._model)
        if parameter is not None:
            return f'{parameter} of the model is not finite, since an iteration before or as loaded'
        if args and isinstance(args[0], UpsampledLogits):
            args = args[0].resized(), *args[1:]
        if not _is_pixelwise(args):
            return 'it is not called with logits (N, C, H, W) and labels (N, H, W)'
        logits, label = args[:2]
        weight = kwargs.get('weight', args[2] if len(args) > 2 else None)
        culprit = find_culprit(loss, logits, label, weight, kwargs.get('ignore_index', 255))
        if culprit is None:
            return 'logits, weights and losses of all pixels are finite, their sum is not'
        n, row, column = culprit.pixel
        name = _label_name(int(label[culprit.pixel]), logits.shape[1], self._classes)
        place = f'{_image_name(batch, n)}, row {row}, column {column} of the crop, label {name}'
        return f'{place}: {culprit.fault}; {culprit.share}'


def _find_all_losses(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the modules logged under a ``loss_name``, keyed by their path in the model."""
    return {
        path: module
        for path, module in model.named_modules()
        # A compiled module also has the attributes of the module inside it.
        if hasattr(module, 'loss_name') and not path.endswith('_orig_mod')
    }


def _is_pixelwise(args: tuple) -> bool:
    if len(args) < 2 or not all(isinstance(tensor, Tensor) for tensor in args[:2]):
        return False
    logits, label = args[:2]
    if logits.dim() != 4 or label.dtype != torch.int64:
        return False
    return label.shape == (len(logits), *logits.shape[2:])


def _image_name(batch: dict, index: int) -> str:
    """Returns an image's path, or its position in the batch if the path is unknown."""
    samples = batch.get('data_samples', ())
    path = samples[index].get('img_path') if index < len(samples) else None
    return path or f'image {index} of the batch'


def _label_name(label: int, num_channels: int, classes: tuple[str, ...]) -> str:
    """Formats a label, with its class name if the logits belong to the data set's classes."""
    if num_channels == len(classes) and 0 <= label < num_channels:
        return f'{label} ({classes[label]})'
    return str(label)
