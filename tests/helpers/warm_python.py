"""``python`` in the test of the documentation, without the seconds that imports take.

A process that has imported what the tools need of other packages forks for every command, which
sees nothing of the ones before it:

    python warm_python.py serve FD            is that process, which listens at an open socket
    python warm_python.py ask ADDRESS …       has it run ``python …`` (``short_python.py``)
"""

import gc
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

# Not the package itself: commands that forget to import it should fail.
PACKAGES = ('matplotlib.pyplot', 'mmengine.runner', 'mmseg.apis', 'mmseg.datasets', 'torch._dynamo')


@contextmanager
def warm_python(folder: Path, **environment):
    """Starts the process; yields the shell script that stands for ``python``."""
    with socket.socket(socket.AF_UNIX) as listening:
        address = str(folder / 's')
        listening.bind(address)
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, __file__, 'serve', str(listening.fileno())],
            env={**os.environ, **environment},
            pass_fds=[listening.fileno()],
        )
    try:
        yield f'#!/bin/sh\nexec "{sys.executable}" -SE "{__file__}" ask "{address}" "$@"\n'
    finally:
        process.terminate()
        process.wait()


def ask(address: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b'.'], [0, 1, 2])
        with server.makefile('rw') as stream:
            stream.write(json.dumps([arguments, os.getcwd(), dict(os.environ)]) + '\n')
            stream.flush()
            code = int(stream.readline() or 1)
    return code if code >= 0 else 128 - code  # as a shell tells of signals


def serve(listening: socket.socket) -> None:
    for package in PACKAGES:
        import_module(package)
    gc.collect()
    gc.freeze()  # else every fork looks through what has been imported, at its end
    while True:
        connection, _ = listening.accept()
        with connection, connection.makefile('rw') as stream:
            files = socket.recv_fds(connection, 1, 3)[1]
            request = json.loads(stream.readline())
            child = os.fork()
            if not child:
                raise SystemExit(run(files, *request))
            for file in files:
                os.close(file)
            _, status = os.waitpid(child, 0)
            stream.write(f'{os.waitstatus_to_exitcode(status)}\n')


def run(files: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> int:
    """Does in a fork what a new process would do; returns its exit code."""
    import numpy as np
    import short_python

    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (open(number, 'w', closefd=False) for number in (1, 2))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))
    np.random.seed()  # every process draws its own numbers
    return short_python.main(arguments)


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(socket.socket(fileno=int(sys.argv[2])))
    raise SystemExit(ask(sys.argv[2], sys.argv[3:]))
