"""What the figure of a calibration shows."""

from mmseg_imbalance.calibration.tradeoff_figure import tradeoff_figure
from mmseg_imbalance.utils.files import write_figure


def test_every_tau_is_a_point_and_marks_are_named(tmp_path):
    curve = [(50 + t, 60 - t**2) for t in range(6)]
    taus = (-0.5, 0, 0.5, 1, 1.5, 2)
    points = [dict(tau=t, mAcc=x, mIoU=y) for t, (x, y) in zip(taus, curve, strict=True)]
    marks = {'as it is': dict(mAcc=51, mIoU=59), 'one $tau$': dict(mAcc=52, mIoU=56)}
    figure = tradeoff_figure(points, marks)
    (axis,) = figure.axes
    drawn = [tuple(map(tuple, line.get_xydata())) for line in axis.lines]
    assert drawn == [tuple(curve), ((51, 59),), ((52, 56),)]
    assert [text.get_text() for text in axis.texts] == ['-0.5', '2']
    assert [text.get_text() for text in axis.get_legend().texts] == ['as it is', 'one $tau$']
    write_figure(tmp_path / 'figure.png', figure)
    assert (tmp_path / 'figure.png').stat().st_size > 5000
