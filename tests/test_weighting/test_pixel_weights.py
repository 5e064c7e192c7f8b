import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from mmseg.utils import get_classes, get_palette

from mmseg_imbalance.weighting.pixel_weight_figure import (
    COLUMNS,
    IGNORED,
    WeighedImage,
    figure_to_array,
    pixel_weight_figure,
)

CLASSES = ('road', 'pole', 'sign', 'sky')
PALETTE = [[128, 64, 128], [153, 153, 153], [220, 220, 0], [70, 130, 180]]
TITLE = "LossMaxPooling(p=1.7, ratio=0.25, pool='image')"


def draw_row(size=(40, 60), num_classes=4, seed=0, name='street_000001'):
    rng = np.random.default_rng(seed)
    label = np.resize(rng.permutation(num_classes), size)
    valid = np.ones(size, bool)
    valid[: size[0] // 8] = False
    weight = np.where(valid, rng.lognormal(sigma=2, size=size), 0)
    return WeighedImage(
        rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.where(valid, label, 255),
        np.roll(label, 1, 1), valid, rng.exponential(size=size), weight, name,
    )  # fmt: skip


def small_row(weight, valid=None, loss=None):
    """One line of pixels, all of the first class."""
    weight = np.array([weight], float)
    valid = np.ones(weight.shape, bool) if valid is None else np.array([valid])
    loss = np.ones(weight.shape) if loss is None else np.array([loss], float)
    zeros = np.zeros(weight.shape, int)
    return WeighedImage(np.zeros((*weight.shape, 3), np.uint8), zeros, zeros, valid, loss, weight)


def panels(figure):
    """The pictures, a list per row."""
    pictures = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    return [pictures[i : i + 5] for i in range(0, len(pictures), 5)]


def weight_panel(*args, **kwargs):
    """(W, 3) colours of a line of weights."""
    figure = pixel_weight_figure([small_row(*args, **kwargs)], CLASSES, PALETTE, TITLE)
    return np.asarray(panels(figure)[0][4])[0, :, :3].astype(int)


def test_panels_show_image_label_and_prediction():
    row = draw_row()
    (shown,) = panels(pixel_weight_figure([row], CLASSES, PALETTE, TITLE))
    np.testing.assert_array_equal(shown[0], row.image)
    for i in range(40):
        for j in range(60):
            colour = PALETTE[row.label[i, j]] if row.valid[i, j] else IGNORED
            assert tuple(shown[1][i, j]) == tuple(colour)
            assert tuple(shown[2][i, j]) == tuple(PALETTE[row.prediction[i, j]])
    for values in shown[3:]:
        grey = (np.asarray(values)[..., :3] == IGNORED).all(-1)
        np.testing.assert_array_equal(grey, ~row.valid)


def test_colours_of_the_weights():
    """Equal steps of the logarithm on both sides of 1, the middle; black is what has none."""
    weight = [0, 1e-5, 1e-3, 10**-1.5, 1, 10**0.5, 10]
    cividis = matplotlib.colormaps['cividis']
    expected = [[0, 0, 0]] * 2 + [
        [round(255 * part) for part in cividis(place)[:3]] for place in (0, 0.25, 0.5, 0.75, 1.0)
    ]
    np.testing.assert_allclose(weight_panel(weight), expected, atol=3)


def test_uniform_weights_have_the_colour_of_the_middle():
    middle = [round(255 * part) for part in matplotlib.colormaps['cividis'](0.5)[:3]]
    np.testing.assert_allclose(weight_panel([1, 1, 1]), [middle] * 3, atol=3)


def test_colours_of_the_losses_grow_from_zero_and_a_few_pixels_do_not_hide_the_others():
    loss = np.append(np.linspace(0, 1, 1000), 1e6)
    row = small_row(np.ones(1001), loss=loss)
    panel = panels(pixel_weight_figure([row], CLASSES, PALETTE, TITLE))[0][3]
    viridis = matplotlib.colormaps['viridis']
    for place, value in ((0, 0.0), (500, 0.5), (999, 1.0), (1000, 1.0)):
        np.testing.assert_allclose(panel[0, place] / 255, viridis(value), atol=0.02)


@pytest.mark.parametrize(
    'row',
    [
        small_row([0, 0], loss=[0, 0]),
        small_row([0, 0], valid=[False, False]),
        small_row([np.nan, 1], loss=[np.nan, np.inf]),
    ],
    ids=('no weight', 'nothing valid', 'diverged'),
)
def test_degenerate_images_are_drawn(row):
    figure = pixel_weight_figure([row], CLASSES, PALETTE, TITLE)
    assert figure_to_array(figure).any()


def test_notes_say_what_it_comes_to():
    row = small_row([8, 1, 1, 0, 0], valid=[True] * 4 + [False], loss=[4, 2, 1, 1, 9])
    row = row._replace(prediction=np.array([[0, 0, 0, 1, 1]]), name='munich_3')
    figure = pixel_weight_figure([row], CLASSES, PALETTE, 'T')
    assert figure.get_suptitle() == 'T'
    notes = ('munich_3', None, '75 % right', 'mean 2', '90 % on 50 % of the pixels')
    expected = [f'{c}: {n}' if n else c for c, n in zip(COLUMNS, notes, strict=True)]
    assert [axis.get_title() for axis in figure.axes[:5]] == expected


def texts_of(figure):
    found = [*figure.texts, *([figure._suptitle] if figure._suptitle not in figure.texts else [])]
    for axis in figure.axes:
        found.append(axis.title)
        labels = [axis.xaxis.label, *axis.get_xticklabels()] if axis.axison else []
        found += [text for text in labels if text.get_visible()]
    return found + [text for legend in figure.legends for text in legend.get_texts()]


SIZES = {'landscape': (36, 48), 'portrait': (64, 36), '2:1': (32, 64), 'line': (8, 64)}


def test_of_a_diverged_training_the_finite_losses_keep_their_colours():
    row = small_row([1, 1, 1, 1], loss=[0, np.inf, np.nan, 2])
    panel = panels(pixel_weight_figure([row], CLASSES, PALETTE, TITLE))[0][3][0] / 255
    viridis = matplotlib.colormaps['viridis']
    for place, colour in ((0, viridis(0.0)), (1, viridis(1.0)), (3, viridis(1.0))):
        np.testing.assert_allclose(panel[place], colour, atol=0.02)
    np.testing.assert_allclose(panel[2, :3], np.divide(IGNORED, 255), atol=0.01)


@pytest.mark.parametrize(
    ('size', 'name', 'num_classes', 'rows'),
    [
        ('landscape', 'cityscapes', 11, 1), ('landscape', 'ade', 150, 3),
        ('portrait', 'cityscapes', 19, 3), ('2:1', 'cityscapes', 19, 3), ('line', 'ade', 150, 1),
    ],
)  # fmt: skip
def test_fits_a_screen_and_no_text_is_clipped_or_overlaps(size, name, num_classes, rows):
    classes = get_classes(name)[:num_classes]
    drawn = [
        draw_row(SIZES[size], num_classes, seed=i, name=3 * 'frankfurt_000000_000294_leftImg8bit ')
        for i in range(rows)
    ]
    figure = pixel_weight_figure(drawn, classes, get_palette(name)[:num_classes], 2 * TITLE)
    height, width, channels = figure_to_array(figure).shape
    assert height <= 1080 and width <= 1920 and channels == 3
    boxes = [text.get_window_extent() for text in texts_of(figure) if text.get_text()]
    assert len(boxes) > 20
    for box in boxes:
        assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)
    boxes += [axis.get_window_extent() for axis in figure.axes]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            overlap_x = min(one.x1, other.x1) - max(one.x0, other.x0)
            overlap_y = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert overlap_x <= 1 or overlap_y <= 1


def test_more_than_three_images_keep_the_size_of_three():
    heights = {}
    for count in (3, 6):
        figure = pixel_weight_figure([draw_row()] * count, CLASSES, PALETTE, TITLE)
        figure_to_array(figure)
        heights[count] = figure.axes[0].get_window_extent().height
    assert heights[6] == pytest.approx(heights[3], rel=0.03)


def test_legend_names_the_classes_that_occur():
    row = small_row([1, 1, 1], valid=[True, True, False])
    row = row._replace(label=np.array([[0, 0, 2]]), prediction=np.array([[3, 0, 0]]))

    def entries(row):
        (legend,) = pixel_weight_figure([row], CLASSES, PALETTE, TITLE).legends
        return [text.get_text() for text in legend.get_texts()]

    assert entries(row) == ['road', 'sky', 'ignored']
    assert entries(row._replace(valid=np.ones((1, 3), bool))) == ['road', 'sign', 'sky']


def test_images_of_several_sizes_keep_their_shape():
    rows = [draw_row((40, 60)), draw_row((60, 40))]
    figure = pixel_weight_figure(rows, CLASSES, PALETTE, TITLE)
    figure_to_array(figure)
    for axis, row in zip(figure.axes[::5], rows, strict=False):
        box, (height, width) = axis.get_window_extent(), row.label.shape
        assert box.width / box.height == pytest.approx(width / height, rel=0.01)


def test_drawing_leaves_no_figure_behind():
    before = matplotlib.pyplot.get_fignums()
    pixel_weight_figure([draw_row()], CLASSES, PALETTE, TITLE)
    assert matplotlib.pyplot.get_fignums() == before
