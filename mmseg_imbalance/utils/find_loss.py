"""Look-up of the loss modules in a model."""

from mmengine.model import is_model_wrapper
from torch import nn

from .predicted_classes import predicting_head


def unwrapped(model: nn.Module) -> nn.Module:
    """Returns the model inside a wrapper such as DistributedDataParallel."""
    return model.module if is_model_wrapper(model) else model


def losses_of(head: nn.Module) -> list[nn.Module]:
    """Returns the one or more losses that a head adds up."""
    return _listed(head.loss_decode)


def _listed(losses: nn.Module) -> list[nn.Module]:
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


def find_losses(model: nn.Module, path: str | None, who: str) -> list[nn.Module]:
    """Returns the one or more modules whose sum is the loss of a segmentor.

    Args:
        model: The segmentor, or a wrapper of it such as DistributedDataParallel.
        path: Path of a loss, or of a list of losses, in the segmentor. None means the losses of
            ``decode_head`` or, in a cascade, of the last head, whose output is the prediction.
        who: Hook or tool option that needs the loss, for the error message.

    Raises:
        ValueError: If there is no such module.
    """
    model = unwrapped(model)
    if path is None:
        module = getattr(predicting_head(model), 'loss_decode', None)
    else:
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(f'{who}: the model has no module {path!r}') from error
    losses = _listed(module)
    if not losses or not isinstance(losses[0], nn.Module):
        raise ValueError(
            f'{who}: the model has no decode_head.loss_decode to listen at; name the module of its '
            'loss, a hook with the argument `loss`, a tool with --loss'
        )
    return losses
