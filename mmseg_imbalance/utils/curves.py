"""Writing of curves and pictures of a training."""

import re
from collections.abc import Mapping

import numpy as np
from mmengine.visualization import DVCLiveVisBackend, MLflowVisBackend, Visualizer

_ODD = re.compile(r'[^\w/.\- ]')
# These take the name of a picture for that of a file, and the next picture would overwrite it.
_FILES = {MLflowVisBackend: '{name}/{step}.png', DVCLiveVisBackend: '{name}/{step}'}


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
