import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.legend import Legend

from lab.study.predictions_figure import comparison_figure
from mmseg_imbalance.utils.colours import colourize

CLASSES = ('road', 'pole', 'sign')
SHARE = np.array([0.9, 0.02, 0.08])
RECALL = {'a': np.array([0.6, 0.1, np.nan]), 'b': np.array([0.6, 0.2, np.nan])}


def test_colours():
    palette = [[1, 2, 3], [4, 5, 6]]
    picture = colourize(np.array([[0, 1, 255]], np.uint8), palette)
    assert picture.tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0]]]


@pytest.fixture
def figure():
    image, label = np.zeros((8, 16, 3), np.uint8), np.zeros((8, 16), np.uint8)
    palette = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    examples = [(image, label, {'a': label, 'b': label + 1})] * 2
    return comparison_figure(CLASSES, palette, SHARE, RECALL, examples)


def test_the_figure_shows_pictures_and_bars_from_the_most_frequent_class_to_the_rarest(figure):
    *pictures, bars = figure.axes
    assert [axis.get_title() for axis in pictures[:4]] == ['image', 'truth', 'a', 'b']
    assert len(pictures) == 8
    assert [tick.get_text().split('\n')[0] for tick in bars.get_xticklabels()] == [
        'road', 'sign', 'pole',
    ]  # fmt: skip
    heights = [patch.get_height() for patch in bars.patches]
    np.testing.assert_allclose(heights, [60, np.nan, 10, 60, np.nan, 20])


def test_no_text_is_clipped(figure):
    FigureCanvasAgg(figure).draw()
    *pictures, bars = figure.axes
    texts = [axis.title for axis in pictures] + bars.get_xticklabels() + [bars.yaxis.label]
    for parent in (bars, *figure.subfigs):
        texts += [text for legend in parent.get_children() if isinstance(legend, Legend)
                  for text in legend.get_texts()]  # fmt: skip
    assert {'road', 'b (mean 40.0)', 'recall in %'} <= {text.get_text() for text in texts}
    for text in texts:
        box = text.get_window_extent()
        assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max), text
