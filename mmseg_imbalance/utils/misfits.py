"""Detection of weights that do not belong to a model.

MMEngine loads the weights that fit, logs the others, and goes on with random ones in their place.
"""

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from .checkpoints import CheckpointError
from .resuming import check_parts

_SHOWN = 2


def misfits(model: nn.Module, checkpoint: dict, training: bool = False) -> list[str]:
    """Names weights that are missing from a checkpoint, superfluous, or of another shape.

    Args:
        model: The model, or its wrapper for distributed training or test-time augmentation.
        checkpoint: The loaded checkpoint.
        training: Whether to compare auxiliary heads, batch counts and the state of losses, too.

    Returns:
        Clauses with numbers and names, such as ``'2 are not in the model, such as a, b'``; an
        empty list if all weights fit.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    weights = checkpoint.get('state_dict', checkpoint)
    found = {key.removeprefix('module.'): value for key, value in weights.items()}
    wanted = model.state_dict()
    if not training:
        found, wanted = (
            {key: value for key, value in part.items() if not _in_trainings_alone(key)}
            for part in (found, wanted)
        )
    shapes = {key: tuple(getattr(value, 'shape', ())) for key, value in found.items()}
    lost = [key for key in wanted if key not in found]
    lost += [
        f'{key} {shapes[key]} for {tuple(value.shape)}'
        for key, value in wanted.items()
        # An empty tensor takes its shape from the checkpoint.
        if key in found and value.numel() and shapes[key] != tuple(value.shape)
    ]
    extra = [key for key in found if key not in wanted]
    clauses = {'are missing or of another shape': lost, 'are not in the model': extra}
    return [
        f'{len(keys)} {what}, such as {", ".join(keys[:_SHOWN])}'
        for what, keys in clauses.items()
        if keys
    ]


class MisfitHook(Hook):
    """Stops a test or a resumed training whose checkpoint belongs to another model.

    It also stops a training that cannot resume; checkpoints from URLs are checked only here.

    Args:
        checkpoint: Name of the checkpoint, for errors.
        training: As in :func:`misfits`.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, training: bool) -> None:
        self.checkpoint = checkpoint
        self.training = training

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compares the checkpoint with the model before the weights are copied into it.

        Raises:
            CheckpointError: If weights do not fit; names them. Also as in :func:`check_parts`.
        """
        if self.training:
            check_parts(checkpoint, self.checkpoint, runner.cfg)
        found = misfits(runner.model, checkpoint, self.training)
        if not found:
            return
        way_out = 'take the config that it was trained with'
        trained = checkpoint.get('meta', {}).get('experiment_name')
        if trained:
            way_out += f', that of {trained}'
        if self.training:
            way_out += (
                ', or start with the weights that fit: no --resume, and --cfg-options '
                f'load_from={self.checkpoint}'
            )
        raise CheckpointError(
            f'the weights of {self.checkpoint} are of another model: {"; ".join(found)}; {way_out}'
        )


def _in_trainings_alone(key: str) -> bool:
    """Whether a weight is only used in training: auxiliary heads, batch counts, losses' state."""
    return (
        key.startswith('auxiliary_head.')
        or key.endswith('.num_batches_tracked')
        or '.loss_decode.' in key
    )
