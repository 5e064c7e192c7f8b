import numpy as np
import pytest
from mmseg.utils import get_classes, get_palette
from PIL import ImageDraw

from mmseg_imbalance.utils.overlay import overlay_image

CLASSES = ('sky', 'road', 'sign', 'car')
PALETTE = [[70, 130, 180], [128, 64, 128], [220, 220, 0], [0, 0, 142]]


def draw(size, num_classes, name='ade'):
    """An overlay of an image in which every class occurs."""
    label = np.resize(np.arange(num_classes), size)
    classes, palette = get_classes(name)[:num_classes], get_palette(name)[:num_classes]
    return overlay_image(np.zeros((*size, 3), np.uint8), label, classes, palette, opacity=1)


@pytest.fixture
def drawn(monkeypatch):
    """Text and box (left, top, right, bottom) of whatever is drawn; of a patch, its colour."""
    boxes = []

    def text(draw, place, text, *, fill, font, anchor):
        boxes.append((text, draw.textbbox(place, text, font=font, anchor=anchor)))
        draw_text(draw, place, text, fill=fill, font=font, anchor=anchor)

    def rectangle(draw, box, fill, outline):
        boxes.append((fill, box))
        draw_rectangle(draw, box, fill=fill, outline=outline)

    draw_text, draw_rectangle = ImageDraw.ImageDraw.text, ImageDraw.ImageDraw.rectangle
    monkeypatch.setattr(ImageDraw.ImageDraw, 'text', text)
    monkeypatch.setattr(ImageDraw.ImageDraw, 'rectangle', rectangle)
    return boxes


def has_colour(picture, colour):
    return (picture == colour).all(-1).any()


@pytest.mark.parametrize('opacity', [0, 0.3, 1])
def test_colours_are_mixed_with_the_image(opacity):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 300, 3), np.uint8)
    label = rng.integers(0, 4, (40, 300))
    overlay = overlay_image(image[..., ::-1], label, CLASSES, PALETTE, opacity)
    mixed = (1 - opacity) * image[..., ::-1] + opacity * np.array(PALETTE)[label]
    assert overlay.dtype == np.uint8
    assert abs(overlay[:40, :300] - mixed).max() <= 0.5 + 1e-4


def test_the_legend_names_what_occurs_and_nothing_else():
    label = np.zeros((100, 400), np.int64)
    label[0, 0] = 2
    image = np.full((100, 400, 3), 9, np.uint8)
    legend = overlay_image(image, label, CLASSES, PALETTE)[100:]
    occurs = [has_colour(legend, colour) for colour in PALETTE]
    assert occurs == [True, False, True, False]


def test_the_legend_gives_colours_and_shares_in_the_order_of_the_classes(drawn):
    label = np.ones((100, 100), np.uint8)
    label[:25] = 0
    label[-1, -1] = 3
    overlay_image(np.zeros((100, 100, 3), np.uint8), label, CLASSES, PALETTE)
    assert [what for what, _ in drawn] == [
        (70, 130, 180), 'sky 25.0%', (128, 64, 128), 'road 75.0%', (0, 0, 142), 'car <0.1%',
    ]  # fmt: skip
    for (_, patch), (_, text) in zip(drawn[::2], drawn[1::2], strict=True):
        assert patch[2] < text[0] and patch[1] <= (text[1] + text[3]) / 2 <= patch[3]


@pytest.mark.parametrize(
    ('size', 'num_classes'),
    [((360, 480), 11), ((128, 256), 10), ((1024, 2048), 19), ((600, 400), 19), ((512, 512), 150),
     ((16, 16), 19), ((8, 2000), 150)],
    ids=str,
)  # fmt: skip
def test_no_text_is_clipped_and_none_overlaps(size, num_classes, drawn):
    height, width = draw(size, num_classes).shape[:2]
    boxes = np.array([box for _, box in drawn])
    assert len(boxes) == 2 * num_classes
    left, top, right, bottom = boxes.T
    assert min(left.min(), top.min()) > 0 and right.max() < width and bottom.max() < height
    assert ((left > size[1]) | (top > size[0])).all()  # beside the image or below it
    apart = [(a > b[:, None]) for a, b in ((left, right), (top, bottom))]
    overlapping = ~(apart[0] | apart[0].T | apart[1] | apart[1].T)
    assert (overlapping == np.eye(len(boxes), dtype=bool)).all()
    assert all(bottom - top > 8)  # pixels: letters, capitals or not, can be read


def test_letters_grow_with_the_image():
    heights = [draw(size, 4).shape[0] - size[0] for size in ((300, 1000), (600, 2000))]
    assert heights[1] > 1.7 * heights[0]


def test_the_legend_stands_beside_only_where_it_would_be_higher_and_larger_below():
    assert draw((360, 480), 11).shape[1] == 480
    assert draw((512, 512), 150).shape[0] == 512
    assert draw((16, 16), 19).shape[0] > 19 * 13  # beside, it would be one long row


def test_the_width_is_the_same_for_all_images_of_a_data_set(drawn):
    image = np.zeros((40, 50, 3), np.uint8)
    shapes = [
        overlay_image(image, np.full((40, 50), c), ('a', 'long name'), PALETTE[:2]).shape
        for c in (0, 1)
    ]
    assert shapes[0] == shapes[1]
    text, (_, _, right, _) = drawn[-1]
    assert text == 'long name 100.0%' and 50 < right < shapes[1][1]


@pytest.mark.parametrize(
    ('label', 'message'),
    [(np.zeros((3, 5), int), r'\(4, 5\), its label of \(3, 5\)'),
     (np.full((4, 5), 255, np.uint8), 'label 255 is not one of 4 classes'),
     (np.full((4, 5), 4), 'label 4 is not one of 4 classes')],
)  # fmt: skip
def test_what_is_no_segmentation_is_named(label, message):
    with pytest.raises(ValueError, match=message):
        overlay_image(np.zeros((4, 5, 3), np.uint8), label, CLASSES, PALETTE)
