"""Each object leaves its class on the canvas, where it stands and as large as it is."""

import numpy as np
import pytest

from lab.streets import street_objects as objects
from lab.streets.street_canvas import IGNORED, Camera, Canvas

FOCAL = 400.0


@pytest.fixture
def canvas():
    camera = Camera(width=800, height=600, focal=FOCAL, horizon=350, x=0.0, y=1.5, roll=0.0)
    return Canvas(camera, haze=(200, 200, 200), visibility=1e9)


def extent(mask, z):
    """Width and height of a mask in metres at distance ``z``."""
    rows, columns = np.nonzero(mask)
    return np.ptp(columns) * z / FOCAL, np.ptp(rows) * z / FOCAL


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(
    'paint, args, classes, width, height',
    [
        (objects.pedestrian, (), {objects.PEDESTRIAN}, (0.2, 1.0), (0.9, 2.0)),
        (objects.bicycle, (np.pi / 2, False), {objects.BICYCLE}, (1.5, 2.1), (0.8, 1.1)),
        (objects.bicycle, (0.1, False), {objects.BICYCLE}, (0.3, 0.8), (0.8, 1.2)),
        (objects.car, (0.0,), {objects.CAR}, (1.5, 2.4), (1.2, 2.4)),
        (objects.car, (np.pi / 2,), {objects.CAR}, (3.4, 5.2), (1.2, 2.4)),
        (objects.tree, (), {objects.VEGETATION}, (1, 6), (0.8, 8)),
        (objects.sign_post, (), {objects.POLE, objects.SIGN}, (0.5, 1.2), (2.3, 3.7)),
        (objects.lamp_post, (), {objects.POLE}, (0.5, 2.2), (4, 7.6)),
    ],
)
def test_class_size_and_place(canvas, seed, paint, args, classes, width, height):
    z = 10.0
    paint(canvas, np.random.default_rng(seed), 1.0, z, *args)
    mask = canvas.label != IGNORED
    assert set(np.unique(canvas.label[mask]).tolist()) == classes
    across, up = extent(mask, z)
    assert width[0] < across < width[1] and height[0] < up < height[1]
    column = 400 + 1.0 * FOCAL / z
    assert abs(np.nonzero(mask)[1].mean() - column) < 1.0 * FOCAL / z
    ground = 350 + 1.5 * FOCAL / z
    assert abs(np.nonzero(mask)[0].max() - ground) < 0.6 * FOCAL / z


def test_a_rider_is_a_pedestrian_on_a_bicycle(canvas):
    objects.bicycle(canvas, np.random.default_rng(0), 0.0, 8.0, 1.2, True)
    rows = {
        c: np.nonzero(canvas.label == c)[0].mean() for c in (objects.PEDESTRIAN, objects.BICYCLE)
    }
    assert rows[objects.PEDESTRIAN] < rows[objects.BICYCLE]


def test_a_building_stands_on_its_side(canvas):
    objects.building(canvas, np.random.default_rng(0), -1, -6.0, 8.0, 20.0, 1)
    rows, columns = np.nonzero(canvas.label == objects.BUILDING)
    assert len(rows) > 1000 and columns.max() < 400
