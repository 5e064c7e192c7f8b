"""Writing of training curves from hooks."""

from collections.abc import Mapping


def write_curves(runner, scalars: Mapping[str, float]) -> None:
    """Writes scalars of the current training iteration to every back end of the visualizer.

    For users' own hooks, they are also in MMEngine's MessageHub, under ``curves/<name>``. Under its
    prefix ``train/``, every log line in the terminal would list all of them, which is too much for
    curves of each class.

    Args:
        runner: The runner of the training.
        scalars: The values by name, such as ``train/recall/road``.
    """
    # Not saved in checkpoints: after days of training, each would hold the whole history.
    hub = {f'curves/{name}': value for name, value in scalars.items()}
    runner.message_hub.update_scalars(hub, resumed=False)
    runner.visualizer.add_scalars(dict(scalars), step=runner.iter + 1)
