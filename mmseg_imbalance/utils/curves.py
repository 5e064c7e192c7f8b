"""Writing of curves and pictures of a training."""

import re
from collections.abc import Mapping

import numpy as np
from mmengine.visualization import DVCLiveVisBackend, MLflowVisBackend, Visualizer

_PREFIX = 'curves/'
_ODD = re.compile(r'[^\w/.\- ]')
# These take the name of a picture for that of a file, and the next picture would overwrite it.
_FILES = {MLflowVisBackend: '{name}/{step}.png', DVCLiveVisBackend: '{name}/{step}'}


def write_curves(runner, scalars: Mapping[str, float]) -> None:
    """Writes scalars of the current training iteration, see :func:`add_curves`.

    For users' own hooks, they are also in MMEngine's MessageHub, under ``curves/<name>``. Under its
    prefix ``train/``, every log line in the terminal would list all of them, which is too much for
    curves of each class.

    Args:
        runner: The runner of the training.
        scalars: The values by name, such as ``train/recall/road``.
    """
    # Not saved in checkpoints, as each would hold the whole history of days of training.
    hub = {f'{_PREFIX}{name}': value for name, value in scalars.items()}
    runner.message_hub.update_scalars(hub, resumed=False)
    add_curves(runner.visualizer, scalars, runner.iter + 1)


def add_curves(visualizer: Visualizer, scalars: Mapping[str, float], step: int) -> None:
    """Writes scalars to every back end of the visualizer, and ``iter``, as MMEngine's curves have.

    MMEngine tells Weights & Biases no step, so that only ``iter`` can be the axis of its curves.

    Args:
        visualizer: The visualizer of the run.
        scalars: The values by name. In names, MLflow refuses all but letters, digits and
            ``_-./`` and space: other characters are written as ``_``.
        step: Number of training iterations so far.
    """
    named = {_ODD.sub('_', name): value for name, value in scalars.items()}
    visualizer.add_scalars(named | {'iter': step}, step=step)


def write_picture(runner, name: str, picture: np.ndarray) -> None:
    """Writes a picture of the current training iteration to every back end of the visualizer.

    Args:
        runner: The runner of the training.
        name: Its name; MLflow and DVCLive have a folder of this name, with a file per iteration.
        picture: uint8 (H, W, 3), RGB.
    """
    step = runner.iter + 1
    for back_end in runner.visualizer._vis_backends.values():
        file = next((f for kind, f in _FILES.items() if isinstance(back_end, kind)), '{name}')
        file = file.format(name=name, step=step)
        back_end.add_image(file, picture, step=step)


def leave_out_curves(checkpoint: dict) -> None:
    """Takes the curves' names out of a checkpoint; MMEngine saves them without their values.

    When the training is resumed, MMEngine would warn of each of them.

    Args:
        checkpoint: What is about to be saved, changed in place.
    """
    hub = checkpoint.get('message_hub')
    if isinstance(hub, dict):  # its parts are those in use
        kept = {k: v for k, v in hub['resumed_keys'].items() if not k.startswith(_PREFIX)}
        checkpoint['message_hub'] = dict(hub, resumed_keys=kept)
