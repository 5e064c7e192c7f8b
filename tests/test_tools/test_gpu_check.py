"""The programme for a GPU, where there is none."""

import importlib.util
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch):
    spec = importlib.util.spec_from_file_location('gpu_check', ROOT / 'tools/gpu_check.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(torch.cuda.is_available(), reason='is for machines without a GPU')
@pytest.mark.parametrize('name', ('gpu_check.py', 'analysis_tools/benchmark_training.py'))
def test_without_a_gpu_it_says_so(run_tool, name):
    done = run_tool(name)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert 'PyTorch finds no' in done.stderr.splitlines()[-1]


def test_every_command_is_there(tool, tmp_path):
    parts = tool.commands(tmp_path)
    assert list(parts) == ['tests', 'losses', 'trainings', 'amp', 'camvid']
    assert not parts['camvid'] or (ROOT / 'data/camvid').is_dir()
    for named in parts.values():
        for name, (seconds, arguments) in named.items():
            assert 0 < seconds <= 240
            script = arguments[0]
            assert script == '-m' or Path(script).is_file(), name


def test_outcomes_of_commands(tool, tmp_path, capsys):
    commands = {'good': ['-c', 'print(1)'], 'bad': ['-c', 'import sys; sys.exit(3)']}
    commands['endless'] = ['-c', 'import time; time.sleep(60)']
    results = {
        name: tool.run(name, 1 + 9 * (name != 'endless'), c, tmp_path)
        for name, c in commands.items()
    }
    outcomes = {name: result['outcome'] for name, result in results.items()}
    assert outcomes == {'good': 'passed', 'bad': 'failed (3)', 'endless': 'stopped after 1 s'}
    assert (tmp_path / 'good.log').read_text() == '1\n'
    assert 'stopped after 1 s' in capsys.readouterr().out


def test_the_last_lines_are_a_table_of_the_numbers(tool):
    files = (ROOT / 'lab/speed/results/h200').glob('*.json')
    table = tool.short_table(files).splitlines()
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table[2:]]
    by_name = {name: numbers for name, *numbers in rows}
    assert len(by_name) == 5
    # time and memory of loss max-pooling and recall loss, as in docs/performance.md
    of_losses = ['0.43 ms', '0.47', '0.39', '0.36', '0.39']
    assert by_name['losses-19-classes-float32'] == of_losses
    of_steps = ['67.22 ms', '1.01', '1.00', '1.02', '1.00']
    assert by_name['training-cityscapes-float16'] == of_steps
