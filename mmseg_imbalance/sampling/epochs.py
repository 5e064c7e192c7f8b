"""Where MMEngine's training loop is, for samplers whose stream has no end of its own.

A loop by iterations draws without an end, a loop by epochs until the sampler stops. A sampler does
not see the loop; MMEngine notes its length and position in the message hub. As they stay there when
the training is over, they count only while MMEngine also notes that it trains. A training that an
error ends leaves that note behind, which samplers of the same process then take for theirs.
"""

from ..registry import HAS_STACK


def current_epoch() -> int | None:
    """Returns the epoch, from 0, of a training by several epochs, None of others or without one."""
    return _info('epoch') if (_info('max_epochs') or 1) > 1 else None


def is_over() -> bool:
    """Whether the loop goes on beyond its last iteration, as one of a single epoch would."""
    iteration, length = _info('iter'), _info('max_iters')
    return None not in (iteration, length) and iteration >= length


def _info(key: str) -> int | None:
    if not HAS_STACK:
        return None
    from mmengine.logging import MessageHub  # imported late: optional

    hub = MessageHub.get_current_instance()
    return hub.get_info(key) if hub.get_info('loop_stage') == 'train' else None
