"""Worker processes with a progress bar."""

import multiprocessing
import os
import pickle
import re
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
from rich.console import Console
from rich.progress import track

from .command_line import first_line
from .cores import usable_cores
from .errors import ToolError

Job = TypeVar('Job')
Result = TypeVar('Result')


def run_in_workers(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    nproc: int | None,
    description: str,
    chunk_size: int = 1,
) -> list[Result]:
    """Calls a function on every job in worker processes and shows a progress bar on stderr.

    With one worker it does the jobs in this process. So it does, without a bar, where a process may
    not start others, such as a worker of a data loader.

    Args:
        function: A function, picklable for several workers; an exception in it ends the run and is
            raised here.
        jobs: Arguments of the function, picklable alike.
        nproc: Maximum number of worker processes, one per CPU core if None.
        description: Text before the progress bar.
        chunk_size: Number of jobs that a worker gets at once. For each chunk the function is
            pickled again, which takes 0.1 ms or more, so very short jobs need larger chunks.

    Returns:
        The results, in the order of ``jobs``.

    Raises:
        ToolError: If a worker process dies, or something cannot be pickled.
    """
    if multiprocessing.current_process().daemon:
        return [function(job) for job in jobs]
    console = Console(stderr=True)
    if nproc == 1:
        done = map(function, jobs)
        return list(track(done, description, total=len(jobs), console=console))
    nproc = max(1, min(nproc or usable_cores(), -(-len(jobs) // chunk_size)))
    results: list[Result] = []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # OpenCV's threads do not survive a fork, and workers need none
    try:
        with ProcessPoolExecutor(nproc, initializer=_follow_parent) as pool:
            found = pool.map(function, jobs, chunksize=chunk_size)
            try:
                results.extend(track(found, description, total=len(jobs), console=console))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        # Python 3.13 says of a local function that it can't get it.
        if not re.search("pickle|Can't get local", str(error)):
            raise
        raise ToolError(
            f'worker processes cannot get the files ({first_line(error)}); use one process, by '
            'nproc=1 (--nproc 1)'
        ) from error
    except BrokenProcessPool:
        raise ToolError(
            f'a worker process died with {len(jobs) - len(results)} of {len(jobs)} files to go; '
            'run the same command again to go on; if memory ran out, with fewer workers (--nproc)',
            exit_code=1,
        ) from None
    finally:
        cv2.setNumThreads(threads)
    return results


def _follow_parent() -> None:
    # Ctrl-C reaches all processes of a terminal, but a worker finishes its file before it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A killed parent cannot end its workers, so they watch for its end.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
