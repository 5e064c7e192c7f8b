"""The camera's geometry and the strokes on image and label."""

import numpy as np
import pytest

from lab.streets.street_canvas import IGNORED, Camera, Canvas

SQUARE = [(-1, 0.5, 10), (1, 0.5, 10), (1, 2.5, 10), (-1, 2.5, 10)]


def camera(**changes):
    return Camera(
        **{
            **dict(width=200, height=100, focal=100.0, horizon=40.0, x=0.0, y=1.5, roll=0.0),
            **changes,
        }
    )


def test_a_point_at_eye_level_lies_on_the_horizon_at_any_distance():
    rows = camera().project([(-3, 1.5, 2), (5, 1.5, 80)])[:, 1]
    assert rows == pytest.approx([40, 40])


def test_size_falls_with_distance():
    near = camera().project([(0, 0, 5), (1, 0, 5)])
    far = camera().project([(0, 0, 10), (1, 0, 10)])
    assert near[1, 0] - near[0, 0] == pytest.approx(20)
    assert far[1, 0] - far[0, 0] == pytest.approx(10)


def test_moving_the_camera_right_moves_the_picture_left():
    assert camera(x=1.0).project([(0, 1.5, 10)])[0] == pytest.approx((90, 40))


def test_roll_turns_about_the_centre_of_the_horizon():
    straight = camera().project([(1, 0.5, 10)])[0]
    turned = camera(roll=np.pi / 2).project([(1, 0.5, 10)])[0]
    assert straight == pytest.approx((110, 50)) and turned == pytest.approx((90, 50))


def test_polygon_paints_image_and_label_alike():
    canvas = Canvas(camera(), haze=(0, 0, 0), visibility=1e9)
    canvas.polygon(SQUARE, (200, 100, 50), class_id=3)
    painted = (canvas.image == (200, 100, 50)).all(axis=2)
    assert painted.sum() == pytest.approx(20 * 20, rel=0.15)
    assert np.array_equal(painted, canvas.label == 3)
    assert (canvas.label[~painted] == IGNORED).all()


def test_paint_without_a_class_leaves_the_label():
    canvas = Canvas(camera(), haze=(0, 0, 0), visibility=1e9)
    canvas.polygon(SQUARE, (200, 100, 50))
    canvas.line(SQUARE, 0.2, (1, 2, 3))
    canvas.shadow(SQUARE, 0.5)
    assert (canvas.label == IGNORED).all()


def test_mark_leaves_the_image():
    canvas = Canvas(camera(), haze=(0, 0, 0), visibility=1e9)
    canvas.mark(SQUARE, 3)
    assert (canvas.label == 3).any() and not canvas.image.any()


def test_far_colours_fade_into_the_haze():
    canvas = Canvas(camera(), haze=(200, 200, 200), visibility=10.0)
    canvas.polygon(SQUARE, (0, 0, 0))
    faded = 200 * (1 - np.exp(-1))
    assert canvas.image.max() == pytest.approx(faded, abs=1)


def test_shadow_darkens_inside_only():
    canvas = Canvas(camera(), haze=(0, 0, 0), visibility=1e9)
    canvas.image[:] = 100
    canvas.shadow(SQUARE, 0.4)
    values, counts = np.unique(canvas.image[..., 0], return_counts=True)
    assert values.tolist() == [60, 100]
    assert counts[0] == pytest.approx(20 * 20, rel=0.15)


@pytest.mark.parametrize('metres', [0.5, 2.0])
def test_a_line_is_as_wide_as_its_metres(metres):
    canvas = Canvas(camera(), haze=(0, 0, 0), visibility=1e9)
    canvas.line([(0, 0.5, 10), (0, 3.0, 10)], metres, (9, 9, 9), class_id=1)
    # OpenCV rounds thick lines up by a pixel on either side
    assert 10 * metres <= (canvas.label[35] == 1).sum() <= 10 * metres + 2
