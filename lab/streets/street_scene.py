"""Procedural street scenes with label maps: a long-tailed data set that is not trivial to learn.

A scene shows a street in perspective under random light, with sky, houses, road markings,
sidewalks, trees, parked and driving cars, poles, traffic signs, people and bicycles that occlude
one another. It is painted at twice the size and reduced. Light, blur and noise imitate a camera.
"""

import zlib

import cv2
import numpy as np

from . import street_objects as objects
from .street_canvas import IGNORED, Camera, Canvas
from .street_objects import ROAD, SIDEWALK, SKY, VEGETATION, pick

CLASSES = objects.CLASSES

_OVERSAMPLING = 2
_NEAR, _FAR = 1.2, 90.0  # metres

# Standard deviation of the surface texture of each class, relative to its colour.
_TEXTURE = np.zeros(256, np.float32)
_TEXTURE[: len(CLASSES)] = (0.015, 0.07, 0.07, 0.08, 0.14, 0.03, 0.06, 0.04, 0.06, 0.04)


def draw_street(seed: int, split: str, index: int, size=(256, 128)):
    """Draws one street scene.

    The scene depends on the arguments alone, so any number of processes draws the same scenes.

    Args:
        seed (int): Seed of the data set, not negative.
        split (str): Name of the split, such as ``'train'``.
        index (int): Index of the image within its split.
        size (tuple[int, int]): Width and height in pixels.

    Returns:
        tuple: The RGB image (H, W, 3) and its label map (H, W), both uint8. Labels are indices
        into ``CLASSES``, or 255 where the bonnet of the camera's own car hides the street.

    Example:
        >>> image, label = draw_street(seed=0, split='train', index=3, size=(64, 32))
        >>> image.shape, label.shape
        ((32, 64, 3), (32, 64))
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
    canvas = Canvas(_camera(rng, size), *_air(rng))
    sun = int(rng.choice((-1, 1)))  # the side the light comes from
    street = _Street(rng)
    _sky(canvas, rng)
    _ground(canvas, rng, street)
    if rng.random() < 0.6:
        _house_shadow(canvas, rng, street, sun)
    for _, paint in sorted(_contents(canvas, rng, street, sun), key=lambda item: -item[0]):
        paint()
    _bonnet(canvas, rng)
    image = _photograph(rng, _textured(rng, canvas), size)
    # labels cannot be averaged, so every second label pixel is kept
    return image, np.ascontiguousarray(canvas.label[::_OVERSAMPLING, ::_OVERSAMPLING])


class _Street:
    """Random dimensions of a street in metres, measured from its centre line."""

    def __init__(self, rng) -> None:
        self.curb = rng.uniform(3.6, 5.4)
        self.front = self.curb + rng.uniform(1.9, 3.4)  # the line of the house fronts
        self.crossing = rng.uniform(16, 38) if rng.random() < 0.45 else None
        self.crossing_width = rng.uniform(7, 9)

    def crosses(self, z: float) -> bool:
        """Returns whether the side street covers the distance ``z``."""
        return self.crossing is not None and 0 <= z - self.crossing <= self.crossing_width


def _camera(rng, size) -> Camera:
    width, height = (_OVERSAMPLING * side for side in size)
    return Camera(
        width=width,
        height=height,
        focal=0.45 * (width + height) * rng.uniform(0.85, 1.2),
        horizon=height * rng.uniform(0.38, 0.48),
        x=rng.uniform(0.6, 2.0),
        y=rng.uniform(1.35, 1.8),
        roll=rng.normal(0, 0.012),
    )


def _air(rng):
    """Draws the colour of the haze and the visibility in metres."""
    return pick(rng, ((206, 214, 224), (190, 190, 192), (216, 204, 184)), 8), rng.uniform(70, 260)


def _sky(canvas: Canvas, rng) -> None:
    height, width = canvas.label.shape
    zenith = pick(rng, ((96, 146, 206), (150, 160, 172), (128, 152, 186), (188, 192, 196)), 10)
    slope = np.linspace(0, 1, height)[:, None, None] ** 0.7
    clouds = _noise(rng, (height, width), (4, 10, 24))[..., None]
    cover = np.clip(clouds * 0.5 + rng.uniform(-0.6, 0.4), 0, 0.8)
    sky = zenith * (1 - slope) + canvas.haze * slope
    canvas.image[:] = np.clip(sky * (1 - cover) + 236 * cover, 0, 255)
    canvas.label[:] = SKY


def _strip(x0: float, x1: float, z0: float = _NEAR, z1: float = _FAR):
    """Returns the corners of a rectangle on the ground."""
    return [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)]


def _ground(canvas: Canvas, rng, street: _Street) -> None:
    asphalt = np.full(3, rng.uniform(70, 118)) + rng.normal(0, 5, 3)
    paving = pick(rng, ((142, 134, 126), (122, 122, 122), (158, 146, 130), (132, 112, 102)), 9)
    lawn = pick(rng, ((92, 112, 60), (112, 112, 70)), 8)
    paint = np.full(3, rng.uniform(168, 226))
    _lengthwise(canvas, 200, lawn, VEGETATION)
    _lengthwise(canvas, street.front + 0.5, paving, SIDEWALK)
    for side in (-1, 1):
        for z in np.arange(3.0, 26.0, rng.uniform(0.9, 1.5)):
            joint = [(side * street.curb, 0, z), (side * street.front, 0, z)]
            canvas.line(joint, 0.02, paving * 0.82)
    _lengthwise(canvas, street.curb + 0.14, paving * 1.15, SIDEWALK)  # the kerb
    if street.crossing is not None:
        z0, z1 = street.crossing, street.crossing + street.crossing_width
        canvas.polygon(_strip(-120, 120, z0 - 1, z1 + 1), paving, SIDEWALK)
        canvas.polygon(_strip(-120, 120, z0 + 1, z1 - 1), asphalt, ROAD)
    _lengthwise(canvas, street.curb, asphalt, ROAD)
    _markings(canvas, rng, street, paint)
    for _ in range(rng.poisson(4)):  # patches and manholes
        x, z = rng.uniform(-street.curb + 1, street.curb - 1), rng.uniform(4, 30)
        patch = _strip(x - rng.uniform(0.3, 0.9), x + 0.3, z, z + rng.uniform(0.6, 2.5))
        canvas.polygon(patch, asphalt * rng.uniform(0.7, 1.15))


def _lengthwise(canvas: Canvas, half_width: float, colour, class_id: int) -> None:
    """Paints a band along the street in pieces, because a polygon has a single shade of haze."""
    ends = np.geomspace(_NEAR, _FAR, 10)
    for z0, z1 in zip(ends, ends[1:], strict=False):
        canvas.polygon(_strip(-half_width, half_width, z0, z1), colour, class_id)


def _markings(canvas: Canvas, rng, street: _Street, paint) -> None:
    dash = rng.uniform(2, 4)
    for z in np.arange(rng.uniform(1.5, 4), 60, 2.2 * dash):
        if not street.crosses(z + dash):
            canvas.polygon(_strip(-0.07, 0.07, z, z + dash), paint)
    if rng.random() < 0.5:
        for side in (-1, 1):
            edge = side * (street.curb - 0.4)
            canvas.polygon(_strip(edge - 0.06, edge + 0.06, _NEAR, street.crossing or 70), paint)
    if rng.random() < 0.4:
        z = street.crossing - 4 if street.crossing else rng.uniform(8, 22)
        for x in np.arange(-street.curb + 0.4, street.curb - 0.5, 1.0):
            canvas.polygon(_strip(x, x + 0.5, z, z + 2.6), paint)


def _house_shadow(canvas: Canvas, rng, street: _Street, sun: int) -> None:
    reach = street.front - rng.uniform(1.5, street.front + 1.5)
    strength = rng.uniform(0.3, 0.5)
    for z0, z1 in _house_ends(rng, street):
        canvas.shadow(_strip(sun * street.front, sun * reach, z0, z1), strength)


def _house_ends(rng, street: _Street):
    """Yields both ends of each house along one side, with gaps at random and at the side street."""
    z = rng.uniform(_NEAR, 4)
    while z < _FAR:
        end = z + rng.uniform(6, 15)
        if street.crossing is not None and z < street.crossing + street.crossing_width < end + 20:
            end = min(end, street.crossing - 1)
        if end - z > 2:
            yield z, end
        z = max(z + 1, end) + (rng.uniform(2, 9) if rng.random() < 0.3 else 0.05)
        if street.crosses(z) or street.crosses(z + 1):
            z = street.crossing + street.crossing_width + 1


def _contents(canvas: Canvas, rng, street: _Street, sun: int):
    """Yields (distance, painting function) of every object in the street.

    Each object has its own random stream, so the order of painting does not change it.
    """

    def item(z, paint, *args):
        stream = np.random.default_rng(rng.integers(2**63))
        return z, lambda: paint(canvas, stream, *args)

    for side in (-1, 1):
        for z0, z1 in _house_ends(rng, street):
            x = side * (street.front + rng.uniform(0, 1.2))
            yield item(z1, objects.building, side, x, z0, z1, sun)
        for _ in range(rng.poisson(3)):  # gardens and the far end of the street
            x = side * (street.front + rng.uniform(1, 9))
            z = rng.uniform(10, 80)
            yield item(z, objects.tree, x, z)
        for z in np.arange(rng.uniform(5, 16), 60, rng.uniform(7, 30)):
            if not street.crosses(z):
                yield item(z, objects.tree, side * (street.curb + rng.uniform(0.7, 1.3)), z)
        yield from _furniture(item, rng, street, side)
        yield from _parked_cars(item, rng, street, side)
    for x in rng.uniform(-0.9, 0.9, rng.integers(2, 9)) * street.front:
        yield item(_FAR - 1, objects.tree, x * 2, _FAR - rng.uniform(0, 8))
    yield from _traffic(item, rng, street)
    yield from _people(item, rng, street)


def _furniture(item, rng, street: _Street, side: int):
    x = side * (street.curb + 0.45)
    for z in np.arange(rng.uniform(7, 28), 60, rng.uniform(16, 30)):
        yield item(z, objects.lamp_post, x, z)
    for z in rng.uniform(6, 26, rng.poisson(0.8)):
        yield item(z, objects.sign_post, x + side * rng.uniform(-0.1, 0.6), z)


def _parked_cars(item, rng, street: _Street, side: int):
    if rng.random() < 0.45:
        return
    z = rng.uniform(6, 20)
    while z < 50:
        if rng.random() < 0.5 and not (street.crosses(z - 3) or street.crosses(z + 3)):
            heading = 0.0 if side > 0 else np.pi
            x = side * (street.curb - rng.uniform(0.9, 1.1))
            yield item(z, objects.car, x, z, heading + rng.normal(0, 0.03))
        z += rng.uniform(5, 9)


def _traffic(item, rng, street: _Street):
    for z in rng.uniform(10, 55, rng.poisson(0.6)):
        yield item(z, objects.car, rng.uniform(1.3, 2.0), z, rng.normal(0, 0.05))
    for z in rng.uniform(8, 55, rng.poisson(0.7)):
        yield item(z, objects.car, -rng.uniform(1.3, 2.2), z, np.pi + rng.normal(0, 0.05))
    if street.crossing is not None and rng.random() < 0.5:
        z = street.crossing + rng.uniform(0.35, 0.65) * street.crossing_width
        yield item(z, objects.car, rng.uniform(-12, 12), z, rng.choice((-1, 1)) * np.pi / 2)


def _people(item, rng, street: _Street):
    def sidewalk():
        return rng.choice((-1, 1)) * rng.uniform(street.curb + 0.4, street.front - 0.2)

    for z in rng.uniform(6.5, 30, rng.poisson(1.7)):
        crossing_road = rng.random() < 0.25
        x = rng.uniform(-street.curb, street.curb) if crossing_road else sidewalk()
        for friend in range(1 + (rng.random() < 0.25)):
            yield item(z, objects.pedestrian, x + 0.6 * friend, z)
    for z in rng.uniform(6.5, 24, rng.poisson(0.5)):
        if rng.random() < 0.35:
            lane = rng.choice((-1, 1)) * rng.uniform(1.2, street.curb - 0.5)
            yield item(z, objects.bicycle, lane, z, rng.choice((0.25, 1.2)), True)
        else:
            yield item(z, objects.bicycle, sidewalk(), z, rng.uniform(0.2, 2.9), False)


def _bonnet(canvas: Canvas, rng) -> None:
    height, width = canvas.label.shape
    centre = (int(width * rng.uniform(0.42, 0.58)), height + int(0.05 * height))
    axes = (int(width * rng.uniform(0.4, 0.55)), int(height * rng.uniform(0.09, 0.13)))
    cv2.ellipse(canvas.image, centre, axes, 0, 0, 360, pick(rng, objects.PAINTS).tolist(), -1)
    cv2.ellipse(canvas.label, centre, axes, 0, 0, 360, IGNORED, -1)


def _noise(rng, shape, cells) -> np.ndarray:
    """Draws smooth noise (H, W) of unit variance: a sum of grids of ``cells`` cells in height."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for count in cells:
        grid = rng.standard_normal((count, max(1, count * width // height)), np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.sqrt(len(cells))


def _textured(rng, canvas: Canvas) -> np.ndarray:
    height, width = canvas.label.shape
    rough = _noise(rng, (height, width), (12, height // 6, height // 2))
    texture = 1 + rough * _TEXTURE[canvas.label]
    return canvas.image.astype(np.float32) * texture[..., None]


def _photograph(rng, scene: np.ndarray, size) -> np.ndarray:
    """Turns a painted scene (H, W, 3) into a uint8 image of ``size``, as light and camera would."""
    height, width = scene.shape[:2]
    sideways = np.linspace(-1, 1, width)[None, :, None] * rng.uniform(-0.12, 0.12)
    light = rng.uniform(0.62, 1.2) * (1 + sideways) * rng.normal(1, 0.05, 3)
    relative = np.clip(scene * light / 255, 0, 1).astype(np.float32) ** rng.uniform(0.8, 1.3)
    reduced = cv2.resize(relative, tuple(size), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(reduced, (0, 0), rng.uniform(0.25, 0.7))
    grain = rng.uniform(0.006, 0.026)
    noise = rng.standard_normal(blurred.shape, np.float32) * grain * (0.6 + blurred)
    return np.clip((blurred + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
