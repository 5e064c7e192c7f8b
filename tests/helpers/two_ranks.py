"""Two processes that talk through gloo."""

import socket
from datetime import timedelta

import cv2
import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def on_two_ranks(function, folder, *args):
    """Calls ``function(rank, folder, *args)`` in two processes of one group, and waits.

    The processes are forks: one that is started anew imports for ten seconds.
    """
    cv2.setNumThreads(1)  # ends its threads, for which a fork would wait
    mp.start_processes(_join, (function, folder, args), nprocs=2, start_method='fork')


def _join(rank, function, folder, args):
    torch.set_num_threads(1)  # those of the parent are not there after a fork
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),  # not the half hour that a process left alone would wait
    )
    function(rank, folder, *args)
    dist.destroy_process_group()  # left to the interpreter's end, its threads abort


def on_cpus():
    """The environment of a launch script: a free port, and no accelerator."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return {'PORT': str(server.getsockname()[1]), 'CUDA_VISIBLE_DEVICES': ''}
