"""Distributed runs on machines without an accelerator.

MMEngine assumes that a launched process owns a GPU: it calls ``torch.cuda.set_device``, passes
``device_ids`` to DistributedDataParallel, and leaves SyncBN (which refuses CPU tensors) in the
model.
"""

import atexit
import os
import sys
from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import MODEL_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

from .run_config import RunConfigError
from .settings import type_name


def prepare_cpu_launch(cfg: Config) -> None:
    """Makes a launched run work on a CPU; does nothing on other devices or without a launcher.

    Call it before the runner is built. It starts ``torch.distributed`` with gloo (the runner
    keeps an initialised process group), wraps the model without device ids, and replaces SyncBN
    by BN, so that each rank normalises with the statistics of its own samples. The rest of
    ``model_wrapper_cfg`` and ``find_unused_parameters`` do not change.

    Args:
        cfg: The run's config, changed in place; ``cfg.launcher`` says how it was launched.

    Raises:
        RunConfigError: If the launcher is neither ``'none'`` nor ``'pytorch'``, because MMEngine's
            other launchers need an accelerator.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    if cfg.launcher != 'pytorch':
        raise RunConfigError(
            f"launcher {cfg.launcher!r} needs an accelerator; use 'pytorch' (torchrun) on a CPU"
        )
    if not torch.distributed.is_initialized():
        seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        limit = {'timeout': timedelta(seconds=seconds)} if seconds else {}
        torch.distributed.init_process_group('gloo', **limit)
        # For runs that end with an error; see leave_cpu_launch for the others.
        atexit.register(torch.distributed.destroy_process_group)
    if cfg.get('model_wrapper_cfg') is None:  # the runner's default
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    kind = cfg.model_wrapper_cfg.get('type', 'MMDistributedDataParallel')
    if isinstance(kind, type):  # of a config in pure Python; upstream's runner takes names alone
        kind = cfg.model_wrapper_cfg.type = kind.__name__
    if issubclass(MODEL_WRAPPERS.get(kind), DistributedDataParallel):
        cfg.model_wrapper_cfg.device_ids = None  # the runner would name a GPU
    _replace_sync_bn(cfg.model)
    cfg.pop('sync_bn', None)  # it makes the runner turn BN into SyncBN
    if torch.distributed.get_rank() == 0:
        print_log('No accelerator: the processes talk through gloo, BN takes the place of SyncBN.')


def leave_cpu_launch() -> None:
    """Ends a successful process of a launched run on a CPU; does nothing in other processes.

    It runs what is registered for the end, such as closing log files, but leaves out the
    interpreter's clean-up, in which gloo's threads abort some processes.
    """
    group = torch.distributed
    if group.is_available() and group.is_initialized() and group.get_backend() == 'gloo':
        atexit.unregister(group.destroy_process_group)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _replace_sync_bn(node) -> None:
    """Replaces every ``type='SyncBN'`` in a node of a config and below it."""
    if isinstance(node, dict):
        if type_name(node.get('type', '')) in ('SyncBN', 'MMSyncBN', 'SyncBatchNorm'):
            node['type'] = 'BN'
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for child in node:
        _replace_sync_bn(child)
