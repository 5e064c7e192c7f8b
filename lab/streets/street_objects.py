"""The objects of a toy street: each function paints one object on a canvas.

Colours overlap between classes on purpose: clothes and cars have the colours of walls, poles have
the greys of the road, and walls carry boards that look like traffic signs. Shape and place,
not colour, distinguish the classes.
"""

import cv2
import numpy as np

from .street_canvas import Canvas

CLASSES = (
    'sky', 'building', 'road', 'sidewalk', 'vegetation', 'car', 'pole', 'sign', 'pedestrian',
    'bicycle',
)  # fmt: skip
SKY, BUILDING, ROAD, SIDEWALK, VEGETATION, CAR, POLE, SIGN, PEDESTRIAN, BICYCLE = range(10)

WALLS = (
    (150, 88, 72), (196, 176, 146), (142, 140, 138), (205, 196, 178), (120, 104, 92),
    (176, 152, 96), (112, 124, 140), (128, 140, 112), (186, 132, 112),
)  # fmt: skip
PAINTS = (
    (200, 200, 204), (40, 42, 46), (120, 124, 128), (158, 34, 36), (36, 66, 128), (222, 222, 218),
    (92, 96, 86), (182, 160, 108), (48, 92, 76),
)  # fmt: skip
BOARDS = (
    (196, 40, 40), (30, 76, 164), (236, 236, 232), (232, 196, 40), (36, 120, 70), (226, 120, 36),
)  # fmt: skip
SKINS = ((224, 184, 156), (192, 144, 112), (140, 96, 70), (92, 62, 46))
RUBBER = (34, 34, 36)


def pick(rng: np.random.Generator, colours, jitter: float = 14) -> np.ndarray:
    """Draws one of ``colours`` and shifts it by normal noise of standard deviation ``jitter``."""
    colour = np.asarray(colours[rng.integers(len(colours))], float)
    return np.clip(colour + rng.normal(0, jitter, 3), 8, 248)


def upright(x: float, z: float, outline) -> list[tuple[float, float, float]]:
    """Places a flat ``outline`` of (right, up) offsets so that it faces the camera."""
    return [(x + right, up, z) for right, up in outline]


def disc(radius: float, corners: int = 18, squeeze: float = 1.0) -> list[tuple[float, float]]:
    """Returns the corners of a regular polygon; ``squeeze`` scales its width."""
    angles = np.arange(corners) * 2 * np.pi / corners + np.pi / 2
    return [(radius * squeeze * np.cos(a), radius * np.sin(a)) for a in angles]


def box(x0: float, x1: float, y0: float, y1: float) -> list[tuple[float, float]]:
    """Returns the corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def building(canvas: Canvas, rng, side: int, x: float, z0: float, z1: float, sun: int) -> None:
    """Paints a house from ``z0`` to ``z1`` whose front stands at ``x`` on ``side`` (-1 left)."""
    height = rng.uniform(4.5, 13)
    wall = pick(rng, WALLS)
    front = wall * (1.08 if side != sun else 0.72)
    end = wall * rng.uniform(0.78, 0.95)
    glass = pick(rng, ((58, 66, 80), (92, 104, 120), (40, 40, 44), (150, 166, 184)))
    depth = side * 14

    def on_front(along, up0, up1):
        return [(x, up0, along[0]), (x, up0, along[1]), (x, up1, along[1]), (x, up1, along[0])]

    def on_end(across, up0, up1):
        left, right = x + side * across[0], x + side * across[1]
        return upright(0, z0, box(left, right, up0, up1))

    canvas.polygon(on_end((0, abs(depth)), 0, height), end, BUILDING)
    canvas.polygon(on_front((z0, z1), 0, height), front, BUILDING)
    roof = pick(rng, ((110, 66, 54), (84, 84, 88), (60, 56, 54)))
    canvas.polygon(on_front((z0, z1), height - rng.uniform(0.3, 1.4), height), roof)
    pitch, size = rng.uniform(1.7, 3.2), rng.uniform(0.8, 1.4)
    for floor in np.arange(rng.uniform(0.8, 1.4), height - 2.4, 3.0):
        for start in np.arange(z0 + 0.7, min(z1, 45) - size, pitch):
            tint = glass * rng.uniform(0.75, 1.3)
            canvas.polygon(on_front((start, start + size), floor, floor + 1.5), tint)
        for start in np.arange(0.7, 8, pitch):
            tint = glass * rng.uniform(0.75, 1.3)
            canvas.polygon(on_end((start, start + size), floor, floor + 1.5), tint)
    for _ in range(rng.poisson(0.12 * (z1 - z0))):  # boards that are not traffic signs
        start, low = rng.uniform(z0, max(z0 + 0.1, z1 - 2)), rng.uniform(1.8, 4)
        board = on_front(
            (start, start + rng.uniform(0.8, 3)), low, min(low + rng.uniform(0.5, 1), height)
        )
        canvas.polygon(board, pick(rng, BOARDS))
    if rng.random() < 0.3:
        across = rng.uniform(0.3, 3)
        low = rng.uniform(1.8, 3.2)
        board = on_end((across, across + rng.uniform(0.6, 1.4)), low, low + rng.uniform(0.6, 1))
        canvas.polygon(board, pick(rng, BOARDS))


def tree(canvas: Canvas, rng, x: float, z: float) -> None:
    """Paints a tree, or a bush without a trunk."""
    bush = rng.random() < 0.3
    trunk = 0.0 if bush else rng.uniform(1.6, 2.8)
    radius = rng.uniform(0.5, 1.0) if bush else rng.uniform(1.0, 2.1)
    leaf = pick(rng, ((66, 92, 46), (92, 112, 52), (58, 78, 58), (136, 112, 50), (104, 84, 56)), 10)
    bark = pick(rng, ((84, 70, 58), (104, 98, 90), (62, 52, 46)), 6)
    canvas.line(
        [(x, 0, z), (x + rng.normal(0, 0.1), trunk + radius, z)],
        rng.uniform(0.18, 0.32),
        bark,
        VEGETATION,
    )
    leaves = int(60 * min(1, 12 / z))  # a distant tree does not need all its leaves
    for size, count, spread, class_id in ((0.55, 9, 0.6, VEGETATION), (0.16, leaves, 0.85, None)):
        for _ in range(count):
            angle, reach = rng.uniform(0, 2 * np.pi), spread * radius * np.sqrt(rng.random())
            right, up = reach * np.cos(angle), reach * np.sin(angle)
            light = 0.82 + 0.28 * up / radius + rng.normal(0, 0.13)
            blob = disc(radius * size * rng.uniform(0.7, 1.2), corners=8)
            outline = [(right + a, max(0.0, trunk + radius + up + b)) for a, b in blob]
            canvas.polygon(upright(x, z, outline), leaf * light, class_id)


# Side view of a car: corners (along, up) in metres, clockwise from the rear bumper. CAR_FACES names
# the faces that run across the car between one corner and the next.
CAR_PROFILE = (
    (0.0, 0.28),
    (0.0, 0.88),
    (0.35, 0.95),
    (0.85, 1.42),
    (2.45, 1.44),
    (3.15, 0.98),
    (4.2, 0.84),
    (4.25, 0.28),
)
CAR_FACES = ('rear', 'boot', 'glass', 'roof', 'glass', 'hood', 'front')


def car(canvas: Canvas, rng, x: float, z: float, heading: float) -> None:
    """Paints a car whose centre is at ``x``, ``z`` and whose nose points to ``heading``.

    The heading is in radians: 0 points away from the camera, pi towards it.
    """
    paint = pick(rng, PAINTS, 10)
    glass = np.asarray((46, 54, 64)) * rng.uniform(0.7, 1.7)
    stretch, tall, half = rng.uniform(0.88, 1.08), rng.uniform(0.95, 1.35), rng.uniform(0.8, 0.95)
    sin, cos = np.sin(heading), np.cos(heading)

    def place(along, across, up):
        along = (along - 2.1) * stretch
        return (x + along * sin + across * cos, up * tall, z + along * cos - across * sin)

    canvas.shadow([place(a, b, 0) for a, b in ((-0.1, -1), (-0.1, 1), (4.4, 1), (4.4, -1))], 0.55)
    for along in (0.75, 3.4):
        for across in (-half, half - 0.2):
            tyre = [place(along + a, across + b, 0.3 + u) for b in (0, 0.2) for a, u in disc(0.3)]
            canvas.polygon(_hull(canvas, tyre), RUBBER, CAR)
    for face, near, far in zip(CAR_FACES, CAR_PROFILE, CAR_PROFILE[1:], strict=False):
        quad = [
            place(near[0], -half, near[1]),
            place(near[0], half, near[1]),
            place(far[0], half, far[1]),
            place(far[0], -half, far[1]),
        ]
        if not _faces_camera(canvas, quad):
            continue
        shade = {'roof': 1.15, 'hood': 1.1, 'boot': 1.08}.get(face, 0.85)
        canvas.polygon(quad, glass if face == 'glass' else paint * shade, CAR)
        if face in ('rear', 'front'):
            _lamps(canvas, place, near[0] if face == 'rear' else far[0], half, face)
    for across, corners in ((-half, CAR_PROFILE), (half, CAR_PROFILE[::-1])):
        side = [place(a, across, u) for a, u in corners]
        if not _faces_camera(canvas, side):
            continue
        canvas.polygon(side, paint * 0.75, CAR)
        for window in (
            ((0.75, 0.98), (1.0, 1.34), (1.6, 1.35), (1.6, 0.98)),
            ((1.7, 0.98), (1.7, 1.35), (2.38, 1.35), (2.9, 0.99)),
        ):
            canvas.polygon([place(a, across, u) for a, u in window], glass)
        for along in (0.75, 3.4):
            for radius, colour in ((0.33, RUBBER), (0.18, (128, 128, 130))):
                wheel = [place(along + a, across, 0.31 + u) for a, u in disc(radius)]
                canvas.polygon(wheel, colour, CAR)


def _faces_camera(canvas: Canvas, corners) -> bool:
    pixels = canvas.camera.project(corners)
    x, y = pixels[:, 0], pixels[:, 1]
    return np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) < 0


def _hull(canvas: Canvas, points):
    """Returns the world points whose projections form the convex hull, in order."""
    pixels = canvas.camera.project(points).astype(np.float32)
    return [points[i] for i in cv2.convexHull(pixels, returnPoints=False)[:, 0]]


def _lamps(canvas: Canvas, place, along: float, half: float, face: str) -> None:
    colour = (176, 30, 30) if face == 'rear' else (238, 236, 214)
    for inner in (-half + 0.05, half - 0.3):
        corners = ((inner, 0.65), (inner + 0.25, 0.65), (inner + 0.25, 0.82), (inner, 0.82))
        canvas.polygon([place(along, b, u) for b, u in corners], colour)
    plate = ((-0.25, 0.42), (0.25, 0.42), (0.25, 0.54), (-0.25, 0.54))
    canvas.polygon([place(along, b, u) for b, u in plate], (214, 212, 196))


def lamp_post(canvas: Canvas, rng, x: float, z: float) -> None:
    """Paints a street lamp whose arm reaches over the road."""
    height, width = rng.uniform(4, 7), rng.uniform(0.09, 0.15)
    colour = _pole_colour(rng)
    reach = -np.sign(x) * rng.uniform(0.6, 1.6)
    canvas.line([(x, 0, z), (x, height, z), (x + reach, height + 0.2, z)], width, colour, POLE)
    lamp = upright(x + reach, z, box(-0.25, 0.25, height + 0.1, height + 0.3))
    canvas.polygon(lamp, colour * 1.1, POLE)


def sign_post(canvas: Canvas, rng, x: float, z: float) -> None:
    """Paints a traffic sign on its post, sometimes seen from behind."""
    height, radius = rng.uniform(2.3, 3.0), rng.uniform(0.34, 0.48)
    canvas.line([(x, 0, z), (x, height, z)], rng.uniform(0.07, 0.1), _pole_colour(rng), POLE)
    outline, core, plate, ink = _sign_face(rng)
    if rng.random() < 0.12:
        plate = ink = _pole_colour(rng)

    def scaled(corners, factor):
        return upright(x, z - 0.05, [(factor * a, height + factor * b) for a, b in corners])

    canvas.polygon(scaled(outline, radius), plate, SIGN)
    canvas.polygon(scaled(core, radius), ink)


def _sign_face(rng):
    red, blue, yellow, white = (196, 32, 36), (28, 78, 168), (232, 196, 40), (232, 232, 228)
    bar = box(-0.6, 0.6, -0.18, 0.18)
    faces = (
        (disc(1), disc(0.7), red, white),
        (disc(1), bar, red, white),
        (disc(1), box(-0.15, 0.15, -0.5, 0.6), blue, white),
        (disc(1.1, 3), disc(0.65, 3), red, white),
        (disc(1.1, 4), disc(0.8, 4), white, yellow),
        (box(-0.8, 0.8, -0.8, 0.8), box(-0.35, 0.35, -0.6, 0.6), blue, white),
        (disc(1, 8), bar, red, white),
        (box(-0.7, 0.7, -1, 1), bar, white, (60, 60, 64)),
    )
    outline, core, plate, ink = faces[rng.integers(len(faces))]
    return outline, core, pick(rng, (plate,)), pick(rng, (ink,))


def _pole_colour(rng) -> np.ndarray:
    grey = rng.uniform(52, 168)
    return np.clip(grey + rng.normal(0, 7, 3), 20, 220)


def pedestrian(canvas: Canvas, rng, x: float, z: float) -> None:
    """Paints a person on foot: legs in stride, coat, arms and head."""
    size = rng.uniform(0.92, 1.08) * (0.68 if rng.random() < 0.12 else 1)
    coat, trousers = pick(rng, WALLS + PAINTS), pick(rng, PAINTS) * 0.8
    skin, hair = pick(rng, SKINS, 8), pick(rng, ((44, 36, 32), (110, 84, 54), (70, 70, 72)), 8)
    stride, wide = rng.uniform(0.0, 0.3), rng.uniform(0.19, 0.26)
    canvas.shadow([(x - 0.3, 0, z - 0.15), (x + 0.3, 0, z - 0.15), (x + 0.4, 0, z + 0.4)], 0.3)

    def paint(outline, colour):
        outline = [(size * a, size * b) for a, b in outline]
        canvas.polygon(upright(x, z, outline), colour, PEDESTRIAN)

    for foot, light in ((-stride, 0.85), (stride, 1.0)):
        paint([(-0.13, 0.88), (0.13, 0.88), (foot + 0.1, 0), (foot - 0.1, 0)], trousers * light)
    for side in (-1, 1):
        hand = side * (0.24 + 0.5 * stride)
        paint([(-0.08, 1.42), (0.08, 1.42), (hand, 0.85)], coat * 0.8)
    paint([(-wide, 1.42), (wide, 1.42), (0.88 * wide, 0.78), (-0.88 * wide, 0.78)], coat)
    paint([(a, 1.58 + b) for a, b in disc(0.15, squeeze=0.8)], hair)
    paint([(a, 1.55 + b) for a, b in disc(0.11, squeeze=0.8)], skin)


def bicycle(canvas: Canvas, rng, x: float, z: float, heading: float, rider: bool) -> None:
    """Paints a bicycle and, with ``rider``, the person on it.

    The label covers the whole discs of the wheels, as in Cityscapes, although the image shows the
    background between the spokes. The heading is in radians: 0 points away from the camera, pi / 2
    to the right.
    """
    sin, cos = np.sin(heading), np.cos(heading)
    paint = pick(rng, PAINTS)

    def place(outline):
        return [(x + a * sin, u, z + a * cos) for a, u in outline]

    for hub in (-0.53, 0.53):
        rim = [(hub + a, 0.35 + u) for a, u in disc(0.35)]
        canvas.mark(place(rim), BICYCLE)
        for end in rim[::2]:
            canvas.line(place([(hub, 0.35), end]), 0.01, (128, 128, 130))
        canvas.line(place([*rim, rim[0]]), 0.055, RUBBER, BICYCLE)
    crank, saddle, bars = (-0.05, 0.32), (-0.2, 0.88), (0.38, 0.92)
    for tube in (
        (saddle, crank, bars),
        ((-0.17, 0.78), (0.36, 0.78)),
        ((-0.53, 0.35), crank),
        ((-0.53, 0.35), (-0.17, 0.78)),
        (bars, (0.53, 0.35)),
    ):
        canvas.line(place(tube), 0.06, paint, BICYCLE)
    canvas.line(place([(-0.34, 0.9), (-0.1, 0.9)]), 0.09, RUBBER, BICYCLE)
    if abs(sin) < 0.5:  # from behind or in front, the handlebar is the widest part
        grip = [(x - 0.28, 0.98, z), (x + 0.28, 0.98, z)]
        canvas.line(grip, 0.06, RUBBER, BICYCLE)
    if rider:
        coat = pick(rng, WALLS + PAINTS)
        wide = 0.14 + 0.1 * abs(cos)
        skin = pick(rng, SKINS, 8)
        canvas.line(place([(-0.2, 0.9), (0.1, 0.6), (0.0, 0.2)]), 0.14, coat * 0.6, PEDESTRIAN)
        canvas.line(place([(-0.2, 0.9), (0.05, 1.4)]), 2 * wide, coat, PEDESTRIAN)
        canvas.line(place([(0.05, 1.35), (0.36, 0.98)]), 0.1, coat * 0.85, PEDESTRIAN)
        head = place([(0.1, 1.6)])[0]
        outline = [(a, head[1] + b) for a, b in disc(0.14, squeeze=0.85)]
        canvas.polygon(upright(head[0], head[2], outline), skin, PEDESTRIAN)
