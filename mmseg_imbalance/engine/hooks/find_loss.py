"""Where in a model the loss is."""

from mmengine.model import is_model_wrapper
from torch import nn


def find_loss(model: nn.Module, path: str | None, hook: str) -> nn.Module:
    """The module that computes the loss of a segmentor.

    Args:
        model: The segmentor, or a wrapper of it such as DistributedDataParallel.
        path: Path of the module in the segmentor. None: the first loss of ``decode_head``, of the
            last one if there are several, whose output is the prediction.
        hook: Who asks, for the error.

    Raises:
        ValueError: There is no such module.
    """
    model = model.module if is_model_wrapper(model) else model
    if path is not None:
        try:
            return model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(f'{hook}: the model has no module {path!r}') from error
    module = getattr(model, 'decode_head', None)
    if isinstance(module, nn.ModuleList):  # a cascade
        module = module[-1]
    module = getattr(module, 'loss_decode', None)
    if isinstance(module, nn.ModuleList):
        module = module[0]
    if not isinstance(module, nn.Module):
        raise ValueError(
            f'{hook}: the model has no decode_head.loss_decode to listen at; name another module '
            'with its argument `loss`'
        )
    return module
