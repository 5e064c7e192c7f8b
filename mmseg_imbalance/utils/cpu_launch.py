"""Distributed runs on machines without an accelerator.

MMEngine takes for granted that a launched process owns a GPU: it calls
``torch.cuda.set_device``, hands ``device_ids`` to DistributedDataParallel, and leaves SyncBN
(which refuses CPU tensors) in the model.
"""

import atexit

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import MODEL_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

from .run_config import RunConfigError


def prepare_cpu_launch(cfg: Config) -> None:
    """Makes a launched run work on a CPU; does nothing elsewhere or without a launcher.

    Call it before the runner is built. It starts ``torch.distributed`` with gloo (the runner
    leaves an initialised process group alone), wraps the model without device ids and replaces
    SyncBN by BN, so that each process normalises with the statistics of its own samples. All else
    of ``model_wrapper_cfg``, and ``find_unused_parameters``, stay as they are.

    Args:
        cfg: The run's config, changed in place; ``cfg.launcher`` says how it was launched.

    Raises:
        RunConfigError: The launcher is neither ``'none'`` nor ``'pytorch'``: MMEngine's other
            launchers need an accelerator.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    if cfg.launcher != 'pytorch':
        raise RunConfigError(
            f"launcher {cfg.launcher!r} needs an accelerator; use 'pytorch' (torchrun) on a CPU"
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
        # left to the interpreter's end, gloo's threads abort some processes that have done well
        atexit.register(torch.distributed.destroy_process_group)
    if cfg.get('model_wrapper_cfg') is None:  # what the runner would do
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    wrapper = MODEL_WRAPPERS.get(cfg.model_wrapper_cfg.get('type', 'MMDistributedDataParallel'))
    if issubclass(wrapper, DistributedDataParallel):
        cfg.model_wrapper_cfg.device_ids = None  # the runner would name a GPU
    _replace_sync_bn(cfg.model)
    cfg.pop('sync_bn', None)  # it has the runner turn BN into SyncBN
    if torch.distributed.get_rank() == 0:
        print_log('No accelerator: the processes talk through gloo, BN takes the place of SyncBN.')


def _replace_sync_bn(node) -> None:
    """Replaces every ``type='SyncBN'`` below a node of a config."""
    if isinstance(node, dict):
        if node.get('type') in ('SyncBN', 'MMSyncBN'):
            node['type'] = 'BN'
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for child in node:
        _replace_sync_bn(child)
