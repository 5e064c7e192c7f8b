import cv2
import numpy as np
import pytest

TOOL = 'analysis_tools/plot_weighting.py'


@pytest.mark.parametrize('kind', ('npy', 'txt'))
def test_draws_a_figure(call_tool, tmp_path, kind):
    losses, out = tmp_path / f'losses.{kind}', tmp_path / 'new folder' / 'figure.png'
    values = np.arange(50.0)
    if kind == 'npy':
        np.save(losses, values)
    else:
        np.savetxt(losses, values)
    assert call_tool(TOOL, out, '--p', 1, 2, 'inf', '--ratio', 0.1, '--losses', losses) == 0
    assert cv2.imread(str(out)).shape[1] > 600


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--p', '0.5'], "'0.5' is not a number in [1, inf]"),
        (['--ratio', '0'], "'0' is not a number in (0, 1]"),
        (['--losses', 'none.npy'], 'none.npy holds no losses'),
    ],
)
def test_what_cannot_be_is_one_line(call_tool, capsys, tmp_path, args, message):
    assert call_tool(TOOL, tmp_path / 'out.png', *args) == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error
    assert not (tmp_path / 'out.png').exists()


def test_pickled_losses_are_refused(call_tool, capsys, tmp_path):
    np.save(tmp_path / 'losses.npy', np.array([{}]), allow_pickle=True)
    assert call_tool(TOOL, tmp_path / 'out.png', '--losses', tmp_path / 'losses.npy') == 2
    assert 'holds no losses' in capsys.readouterr().err
