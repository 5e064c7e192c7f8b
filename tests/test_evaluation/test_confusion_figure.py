import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mmseg_imbalance.evaluation.confusion_figure import confusion_figure

CITYSCAPES = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
    'motorcycle', 'bicycle',
)  # fmt: skip


def test_rows_are_percentages_of_the_true_class():
    confusion = np.array([[990, 6, 4], [50, 150, 0], [0, 0, 0]])
    axis, bar = confusion_figure(('road', 'sign', 'train'), confusion).axes
    (image,) = axis.images
    np.testing.assert_allclose(image.get_array()[:2], [[99, 0.6, 0.4], [25, 75, 0]])
    assert np.ma.getmaskarray(image.get_array())[2].all()  # no pixels, no percentages
    assert image.get_clim() == (0, 100) and image.get_cmap().name == 'cividis'
    cells = {text.get_position(): text.get_text() for text in axis.texts}
    assert cells == {(0, 0): '99', (1, 0): '1', (0, 1): '25', (1, 1): '75'}
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ['road', 'sign', 'train']
    assert axis.yaxis_inverted() and axis.get_ylabel() == 'true class'
    assert bar.get_ylabel().startswith('% of the true class')


def test_numbers_stand_out_from_their_cells():
    axis, _ = confusion_figure(('a', 'b'), np.array([[51, 49], [20, 80]])).axes
    (image,) = axis.images
    for text in axis.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))
        assert abs(luminance(cell) - (text.get_color() == 'white')) > 0.35


def luminance(colour):
    return np.dot(colour[:3], (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize(
    'classes',
    [CITYSCAPES[:11], CITYSCAPES, [f'class number {i}' for i in range(60)], ('no', 'y' * 40)],
    ids=len,
)
def test_nothing_is_clipped_or_overlaps(classes):
    confusion = np.full((len(classes),) * 2, 100) + 900 * np.eye(len(classes), dtype=int)
    figure = confusion_figure(classes, confusion)
    canvas = FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=80)
    file.seek(0)
    pixels = matplotlib.image.imread(file)[..., :3]
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 1).all()  # a clipped text would reach the edge
    axis = figure.axes[0]
    renderer = canvas.get_renderer()
    for ticks, low, high in (
        (axis.get_yticklabels(), 'ymin', 'ymax'),
        (axis.get_xticklabels(), 'xmin', 'xmax'),
    ):
        boxes = sorted(
            (getattr(box, low), getattr(box, high))
            for box in (tick.get_window_extent(renderer) for tick in ticks)
        )
        assert all(a[1] <= b[0] for a, b in zip(boxes, boxes[1:], strict=False))
    width = axis.get_window_extent().width / len(classes)
    assert all(text.get_window_extent(renderer).width < 0.7 * width for text in axis.texts)
    assert bool(axis.texts) == (len(classes) <= 25)


def test_no_figure_is_left_open():
    before = plt.get_fignums()
    confusion_figure(('a', 'b'), np.eye(2, dtype=int))
    assert plt.get_fignums() == before
