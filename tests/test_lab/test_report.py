"""Tables and figure of measurements, and the machine they were made on."""

import pytest

from lab.speed.contestants import COPY_LIMIT, EAGER_CROSS_ENTROPY
from lab.speed.measure import Measurement
from lab.speed.scaling import scaling_figure
from lab.speed.tables import losses_table, stages_table

MIB = 1 << 20
MEASURED = [
    Measurement(COPY_LIMIT, 0.01, 10 * MIB),
    Measurement(EAGER_CROSS_ENTROPY, 0.05, 30 * MIB),
    Measurement('LMP', 0.03, 15 * MIB),
]


def cells(table: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]
    assert set(''.join(rows[1])) <= set(':- ')  # Markdown
    return rows[:1] + rows[2:]


def test_ratios_of_losses():
    header, limit, base, lmp = cells(losses_table(MEASURED))
    assert header[2:4] == ['× cross-entropy', '× copy limit']
    assert limit == ['copy limit', '10.0', '0.20', '1.0', '10', '0.333']
    assert base == ['cross-entropy', '50.0', '1.00', '5.0', '30', '1.000']
    assert lmp == ['LMP', '30.0', '0.60', '3.0', '15', '0.500']


def test_on_a_gpu_the_time_of_the_device_stands_beside_that_of_a_lone_step():
    device_seconds = [0.004, 0.02, None]
    measured = [m._replace(device_seconds=s) for m, s in zip(MEASURED, device_seconds, strict=True)]
    header, limit, base, lmp = cells(losses_table(measured))
    assert header[3:6] == ['ms of the device', '× cross-entropy', '× copy limit']
    assert limit[3:6] == ['4.00', '0.20', '1.0']
    assert base[3:6] == ['20.0', '1.00', '5.0']
    assert lmp[3:6] == ['–', '–', '–']  # it waits for the device


def test_ratios_of_stages_are_to_the_first():
    _, first, second, _ = cells(stages_table(MEASURED))
    assert first[1:] == ['10.0', '1.00', '10', '1.000']
    assert second[1:] == ['50.0', '5.00', '30', '3.000']


def test_figure_is_logarithmic_with_a_line_for_each():
    by_pixels = {
        1 << bits: [m._replace(seconds=m.seconds * 2**bits) for m in MEASURED] for bits in (16, 18)
    }
    figure = scaling_figure(by_pixels, 'a machine')
    (axis,) = figure.axes
    assert (axis.get_xscale(), axis.get_yscale(), axis.get_title()) == ('log', 'log', 'a machine')
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines) == [m.name for m in MEASURED]
    assert lines['LMP'].get_xdata().tolist() == [1 << 16, 1 << 18]
    assert lines['LMP'].get_ydata() == pytest.approx([30 * 2**16, 30 * 2**18])
