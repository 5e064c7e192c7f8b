"""How hooks write curves."""

from collections.abc import Mapping


def write_curves(runner, scalars: Mapping[str, float]) -> None:
    """Writes scalars of the current training iteration to every back end of the visualizer.

    They are in MMEngine's MessageHub too, under ``curves/<name>``, for hooks of the user's own. Its
    prefix ``train/`` would put each of them into every line of the terminal, and a curve per class
    is too much for that.

    Args:
        runner: The runner of the training.
        scalars: The values by name, such as ``train/recall/road``.
    """
    # not saved with checkpoints: a training of days would carry its whole history in each of them
    hub = {f'curves/{name}': value for name, value in scalars.items()}
    runner.message_hub.update_scalars(hub, resumed=False)
    runner.visualizer.add_scalars(dict(scalars), step=runner.iter + 1)
