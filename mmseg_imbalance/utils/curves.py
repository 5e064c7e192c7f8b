"""Writing of training curves from hooks."""

from collections.abc import Mapping

_PREFIX = 'curves/'


def write_curves(runner, scalars: Mapping[str, float]) -> None:
    """Writes scalars of the current training iteration to every back end of the visualizer.

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
    runner.visualizer.add_scalars(dict(scalars), step=runner.iter + 1)


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
