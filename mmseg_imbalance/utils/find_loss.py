"""Where in a model the loss is."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, out of a wrapper such as DistributedDataParallel."""
    return model.module if is_model_wrapper(model) else model


def find_losses(model: nn.Module, path: str | None, who: str) -> list[nn.Module]:
    """The modules that compute the loss of a segmentor, one or several that are added up.

    Args:
        model: The segmentor, or a wrapper of it such as DistributedDataParallel.
        path: Path of a loss, or of a list of them, in the segmentor. None: those of
            ``decode_head``, of the last one if there are several, whose output is the prediction.
        who: Who asks, a hook or an option of a tool, for the error.

    Raises:
        ValueError: There is no such module.
    """
    model = unwrapped(model)
    if path is None:
        module = getattr(model, 'decode_head', None)
        if isinstance(module, nn.ModuleList):  # a cascade
            module = module[-1]
        module = getattr(module, 'loss_decode', None)
    else:
        try:
            module = model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(f'{who}: the model has no module {path!r}') from error
    losses = list(module) if isinstance(module, nn.ModuleList) else [module]
    if not losses or not isinstance(losses[0], nn.Module):
        raise ValueError(
            f'{who}: the model has no decode_head.loss_decode to listen at; name the module of its '
            'loss, a hook with the argument `loss`, a tool with --loss'
        )
    return losses


def find_loss(model: nn.Module, path: str | None, who: str) -> nn.Module:
    """The first of :func:`find_losses`."""
    return find_losses(model, path, who)[0]
