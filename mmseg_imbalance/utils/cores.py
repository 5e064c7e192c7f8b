"""The CPU cores that there are for a process."""

import os


def usable_cores() -> int:
    """Returns on how many CPU cores this process may run, as limited by ``taskset`` or Slurm."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
