"""Trainings that end as by kill -9, at a place that is always the same."""

import os
import signal

from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmseg.registry import HOOKS


def end():
    os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module(force=True)
class EndInForwardHook(Hook):
    """Ends the process in the forward pass of an iteration, counted from 0."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            runner.model.decode_head.conv_seg.register_forward_pre_hook(lambda *_: end())


@HOOKS.register_module(force=True)
class EndInCheckpointHook(Hook):
    """Ends the process when one half of a checkpoint is written."""

    def __init__(self, name):
        self.name = name

    def before_train(self, runner):
        put = LocalBackend.put

        def put_half(backend, data, path):
            if os.path.basename(str(path)) != self.name:
                return put(backend, data, path)
            with open(path, 'wb') as file:
                file.write(data[: len(data) // 2])
            end()

        LocalBackend.put = put_half
