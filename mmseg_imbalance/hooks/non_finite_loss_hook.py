"""Ends a training at the first loss that is not finite, and names where it comes from."""

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ..losses.upsampled_logits import UpsampledLogits
from ..utils.find_loss import unwrapped
from .non_finite import find_culprit, first_non_finite_parameter


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Raises before a NaN or infinite loss reaches the weights, and names its pixel.

    It listens at every loss of the model, in all heads, of this package or MMSegmentation's own.
    The first value that is not finite ends the training with one line: iteration, loss, image,
    pixel, label, and whether its logits, a weight or the loss itself are at fault. Neither the
    backward pass nor the optimizer has run then, so that the model is still the one that made it::

        custom_hooks = [*_base_.custom_hooks, dict(type='NonFiniteLossHook')]

    It is for finding an error, not for every training: a GPU is waited for at each loss that is
    looked at. Otherwise the training stays the same, bit for bit. In a distributed one the process
    that sees the value ends with the error, and the launcher ends the others. Code that is compiled
    breaks its graph there.

    MMEngine's own ``CheckInvalidLossHook`` sees the sum of all losses, after the optimizer's step.

    Args:
        interval: Iterations ≥ 1 from one that is looked at to the next. Above 1, what is found may
            be the consequence of an earlier value that was not looked at.

    Raises:
        ValueError: ``interval`` < 1; at the start of a training, a model without a loss.
        FloatingPointError: A loss is not finite.
    """

    def __init__(self, interval: int = 1) -> None:
        if not interval >= 1:
            raise ValueError(f'interval must be a number of iterations ≥ 1, got {interval}')
        self.interval = interval
        self._handles: list = []
        self._batch: dict | None = None  # of an iteration that is looked at

    def before_train(self, runner) -> None:
        """Starts to listen."""
        self._model = unwrapped(runner.model)
        self._classes = runner.train_dataloader.dataset.metainfo['classes']
        losses = _find_all_losses(self._model)
        if not losses:
            raise ValueError(
                'NonFiniteLossHook: the model has no loss to listen at, a module with a loss_name'
            )
        for path, loss in losses.items():
            self._handles.append(loss.register_forward_hook(self._check(path), with_kwargs=True))

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Remembers the batch whose losses are looked at."""
        looks = self.every_n_train_iters(runner, self.interval)
        self._batch, self._iteration = data_batch if looks else None, runner.iter + 1

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Lets go of it."""
        self._batch = None

    def after_train(self, runner=None) -> None:
        """Stops listening."""
        while self._handles:
            self._handles.pop().remove()
        self._batch = None

    def _check(self, path: str):
        """A forward hook for the loss at a path in the model."""

        def check(loss: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> None:
            # OHEM's probing of single pixels is no loss yet; that follows.
            probing = kwargs.get('reduction_override') == 'none'
            if self._batch is None or probing or bool(output.isfinite().all()):
                return
            batch = self._batch
            self.after_train()  # no training, no end of it: who goes on is not to be held up
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
    """The modules whose value enters the log under a ``loss_name``, by their path in the model."""
    return {
        path: module
        for path, module in model.named_modules()
        # a compiled module shows the attributes of the one inside
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
    """What to call an image of a batch of the data loader."""
    samples = batch.get('data_samples', ())
    path = samples[index].get('img_path') if index < len(samples) else None
    return path or f'image {index} of the batch'


def _label_name(label: int, num_channels: int, classes: tuple[str, ...]) -> str:
    """A label, with its class where the logits are those of the data set's classes."""
    if num_channels == len(classes) and 0 <= label < num_channels:
        return f'{label} ({classes[label]})'
    return str(label)
