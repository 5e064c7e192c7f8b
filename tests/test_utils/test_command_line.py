"""How tools end, and the arguments that they share."""

import argparse
import os
import signal
import sys

import pytest

from mmseg_imbalance.utils.command_line import (
    add_nproc,
    add_seed,
    one_line_errors,
    ratio,
    run_tool,
    whole_number,
)
from mmseg_imbalance.utils.cores import usable_cores
from mmseg_imbalance.utils.errors import ToolError


@pytest.fixture(autouse=True)
def tool(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/somewhere/tool.py'])
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def failing(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    'error, code, line',
    [
        (ToolError('bad usage'), 2, 'tool.py: error: bad usage\n'),
        (ToolError('no luck', exit_code=1), 1, 'tool.py: error: no luck\n'),
        (OSError('disk is full'), 2, 'tool.py: error: disk is full\n'),
        (KeyboardInterrupt(), 130, 'tool.py: interrupted; run the same command again\n'),
    ],
)
def test_a_tool_ends_with_one_line(error, code, line, capsys):
    assert run_tool(failing(error)) == code
    assert capsys.readouterr().err == line


def test_a_terminated_tool_ends_like_an_interrupted_one():
    assert run_tool(lambda: os.kill(os.getpid(), signal.SIGTERM)) == 130


def test_other_errors_and_success_pass():
    assert run_tool(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        run_tool(failing(ZeroDivisionError()))
    with pytest.raises(OSError), one_line_errors('go on', 'less'):
        raise OSError


def test_tool_errors_exit_where_the_rest_may_fail(capsys):
    with pytest.raises(SystemExit) as end, one_line_errors('go on', 'less'):
        raise ToolError('bad usage')
    assert end.value.code == 2
    assert capsys.readouterr().err == 'tool.py: error: bad usage\n'


@pytest.mark.parametrize(
    'error',
    [
        MemoryError('no room'),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError('CUDA out of memory.'),
        OSError('Cannot allocate memory'),
    ],
)
def test_lack_of_memory_says_what_takes_less(error, capsys):
    with pytest.raises(SystemExit) as end, one_line_errors('go on', 'less'):
        raise error
    assert end.value.code == 1
    assert f'tool.py: error: out of memory ({error}); try less\n' in capsys.readouterr().err
    with pytest.raises(RuntimeError, match='other'), one_line_errors('go on', 'less'):
        raise RuntimeError('other')


def test_a_killed_worker_is_lack_of_memory(capsys):
    with pytest.raises(SystemExit) as end, one_line_errors('go on', 'less'):
        try:
            raise RuntimeError('DataLoader worker (pid 9) is killed by signal: Killed. ')
        except RuntimeError as error:
            raise RuntimeError('DataLoader worker (pid(s) 9) exited unexpectedly') from error
    assert end.value.code == 1
    assert 'out of memory (DataLoader worker (pid(s) 9)' in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit) as end, one_line_errors('go on', 'less'):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SyntaxError('Failed to format the config file')  # as MMEngine does  # noqa: B904
    assert end.value.code == 130
    assert capsys.readouterr().err == 'tool.py: interrupted; go on\n'
    with pytest.raises(SyntaxError), one_line_errors('go on', 'less'):
        raise SyntaxError('in a config')


@pytest.mark.parametrize('text', ['-1', '1.5', 'x', '', '--2'])
def test_whole_number_refuses(text):
    with pytest.raises(argparse.ArgumentTypeError, match='whole number >= 0'):
        whole_number(0)(text)


def test_whole_number():
    assert whole_number(1)('12') == 12


@pytest.mark.parametrize('text', ['0', '1', '-0.5', 'nan', 'x', ''])
def test_ratio_refuses(text):
    with pytest.raises(argparse.ArgumentTypeError, match='number between 0 and 1'):
        ratio(text)


def test_ratio():
    assert ratio('0.25') == 0.25


def test_shared_arguments():
    parser = argparse.ArgumentParser()
    add_nproc(parser)
    add_seed(parser, of='something')
    assert vars(parser.parse_args([])) == dict(nproc=usable_cores(), seed=0)
    assert vars(parser.parse_args(['--nproc', '3', '--seed', '7'])) == dict(nproc=3, seed=7)
