import json

import cv2
import pytest

TOOL = 'analysis_tools/benchmark_losses.py'
SMALL = ('--shape', 2, 5, 16, 24, '--repeats', 2, '--no-compile', '--device', 'cpu')


def test_measures_prints_and_writes(call_tool, capsys, tmp_path, monkeypatch):
    out, figure = tmp_path / 'new' / 'losses.json', tmp_path / 'losses.png'
    monkeypatch.setattr('lab.speed.scaling.PLOTTED_BITS', (8, 10))
    assert call_tool(TOOL, *SMALL, '--json', out, '--plot', figure) == 0
    printed = capsys.readouterr().out
    assert 'shape [2, 5, 16, 24], dtype float32, repeats 2' in printed
    report = json.loads(out.read_text())
    assert report['settings'] == dict(
        shape=[2, 5, 16, 24], dtype='float32', repeats=2, stride=8, seed=0
    )
    for row in (*report['losses'], *report['stages']):
        assert row['seconds'] > 0 and row['peak_bytes'] > 0
        assert f'| {row["name"]} ' in printed
    assert list(report['by_pixels']) == ['256', '1024']
    assert {len(rows) for rows in report['by_pixels'].values()} == {len(report['losses'])}
    assert cv2.imread(str(figure)).shape[1] > 600


def test_others_can_be_left_out(call_tool, capsys):
    assert call_tool(TOOL, *SMALL, '--no-others', '--dtype', 'bfloat16', '--stride', 5) == 0
    assert 'Lovász (MMSegmentation)' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--device', 'cuda:99'], "device 'cuda:99' cannot be used: "),
        (['--device', 'abacus'], "device 'abacus' cannot be used: "),
        (['--dtype', 'int8'], "invalid choice: 'int8'"),
        (['--shape', '2', '0', '4', '4'], "'0' is not a whole number >= 1"),
        (['--shape', '2', '1', '4', '4'], '--shape has 1 class; the losses need two or more'),
    ],
)
def test_what_cannot_be_is_one_line(call_tool, capsys, args, message):
    assert call_tool(TOOL, *SMALL, *args) == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


def test_a_loss_that_cannot_be_measured_is_named(call_tool, capsys, monkeypatch, tmp_path):
    from mmseg.models.losses import LovaszLoss

    def fail(*args, **kwargs):
        raise RuntimeError('out of memory\nTried to allocate 9 GiB')

    monkeypatch.setattr(LovaszLoss, 'forward', fail)
    assert call_tool(TOOL, *SMALL, '--json', tmp_path / 'out.json') == 1
    error = capsys.readouterr().err
    assert 'Lovász (MMSegmentation) cannot be measured: out of memory (--no-others' in error
    assert not (tmp_path / 'out.json').exists()
