import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from squeezed import squeezed

from mmseg_imbalance.statistics.class_distribution import (
    class_distribution_figure,
    class_distribution_table,
)

CLASSES = ('sign', 'road', 'train', 'pole')
ONE = {'pixels': np.array([0.004, 0.99, 0, 0.006]), 'images': np.array([0.0999, 1, 0, 0.5])}
OTHER = {'pixels': np.array([0.3, 0.7, 0, 1e-7]), 'images': np.array([0.25, 0.75, 0, 0.03])}


def test_table_of_one():
    assert squeezed(class_distribution_table(CLASSES, {'data': ONE})).splitlines() == [
        '| class | pixels % | images % |',
        '| --- | ---: | ---: |',
        '| road | 99.0 | 100.0 |',
        '| pole | 0.60 | 50.0 |',
        '| sign | 0.40 | 10.0 |',
        '| train | 0 | 0 |',
    ]


def test_table_of_several():
    assert squeezed(class_distribution_table(CLASSES, {'a': ONE, 'b': OTHER})).splitlines()[
        ::3
    ] == [
        '| class | pixels %: a | pixels %: b | images %: a | images %: b |',
        '| pole | 0.60 | 1.0e-05 | 50.0 | 3.0 |',
    ]


def names(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def test_figure_shows_the_shares_from_head_to_tail():
    figure = class_distribution_figure(CLASSES, {'a': ONE, 'b': OTHER})
    assert names(figure.axes[0]) == ['road', 'pole', 'sign', 'train']
    assert figure.axes[0].yaxis_inverted()
    for axis, kind in zip(figure.axes, ('pixels', 'images'), strict=True):
        assert axis.get_xscale() == 'log' and axis.get_xlabel() == f'share of {kind}'
        start = axis.get_xlim()[0]
        for bars, shares in zip(axis.containers, (ONE, OTHER), strict=True):
            expected = shares[kind][[1, 3, 0, 2]]
            np.testing.assert_allclose(bars.datavalues, np.maximum(expected, start))
            assert start < expected[expected > 0].min()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['a', 'b']
    colours = {axis.containers[i][0].get_facecolor() for axis in figure.axes for i in (0, 1)}
    assert len(colours) == 2


def test_one_distribution_needs_no_legend():
    assert class_distribution_figure(CLASSES, {'data': ONE}).legends == []


def overlap(boxes):
    boxes = sorted(boxes, key=lambda box: box.y0)
    return any(a.y1 > b.y0 for a, b in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize('count, several', [(1, 1), (19, 3), (150, 1)])
def test_no_text_is_clipped_or_overlaps(count, several):
    rng = np.random.default_rng(0)
    shares = {}
    for i in range(several):
        pixels = np.exp(rng.normal(0, 3, count))
        shares[f'sampler {i}'] = {
            'pixels': pixels / pixels.sum(),
            'images': rng.uniform(size=count) ** 4,
        }
        shares[f'sampler {i}']['images'][0] = 1
    classes = [f'animal; creature, {"very " * (i % 5)}long name {i}' for i in range(count)]
    figure = class_distribution_figure(classes, shares)
    FigureCanvasAgg(figure).draw()
    width, height = figure.canvas.get_width_height()
    for axis in figure.axes:
        labels = [label for label in axis.get_yticklabels() if label.get_text()]
        labels = labels if axis is figure.axes[0] else []
        for text in [*axis.texts, *labels, *axis.get_xticklabels(), axis.xaxis.label]:
            box = text.get_window_extent()
            assert 0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height, text
        assert all(text.get_window_extent().x1 <= axis.bbox.x1 for text in axis.texts)
        assert not overlap([label.get_window_extent() for label in labels])


def test_all_zero():
    nothing = {'pixels': np.zeros(4), 'images': np.zeros(4)}
    figure = class_distribution_figure(CLASSES, {'data': nothing})
    FigureCanvasAgg(figure).draw()
    assert [text.get_text() for text in figure.axes[0].texts] == ['0'] * 4


def test_names_are_no_markdown():
    table = class_distribution_table(['a|b', '<unk>', '*car*', 'pole'], {'data': ONE})
    for name in (r'a\|b', r'\<unk>', r'\*car\*'):
        assert f'| {name} ' in table
