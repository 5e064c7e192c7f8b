"""A pinhole camera, and a canvas that paints image and label map at once.

World coordinates are metres: x to the right of the road's centre line, y up from the ground,
z forward from the camera. Colours are RGB triples, 0-255.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

IGNORED = 255
"""Label of pixels that belong to no class."""

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along the road.

    Args:
        width (int): Canvas width in pixels.
        height (int): Canvas height in pixels.
        focal (float): Focal length in pixels.
        horizon (float): Row of the horizon in pixels.
        x (float): Lateral position in metres.
        y (float): Height above the ground in metres.
        roll (float): Rotation about the optical axis in radians.
    """

    width: int
    height: int
    focal: float
    horizon: float
    x: float
    y: float
    roll: float

    def project(self, points) -> np.ndarray:
        """Projects world points (n, 3) with z > 0 to pixel positions (n, 2)."""
        points = np.asarray(points, float)
        scale = self.focal / points[:, 2]
        right = (points[:, 0] - self.x) * scale
        down = (self.y - points[:, 1]) * scale
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        columns = self.width / 2 + cos * right - sin * down
        rows = self.horizon + sin * right + cos * down
        return np.column_stack((columns, rows))


class Canvas:
    """An RGB image (H, W, 3) and its label map (H, W), both uint8, painted together.

    With ``class_id=None`` a method paints the image only: a window stays part of its building.
    Distant colours fade into ``haze``.

    Args:
        camera (Camera): The camera that sees the scene.
        haze (array): Colour of the far distance.
        visibility (float): Distance in metres at which 63 % of a colour is haze.
    """

    def __init__(self, camera: Camera, haze, visibility: float) -> None:
        self.camera = camera
        self.haze = haze
        self.visibility = visibility
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.label = np.full((camera.height, camera.width), IGNORED, np.uint8)

    def polygon(self, points, colour, class_id: int | None = None) -> None:
        """Fills the polygon with world corners ``points`` (n, 3)."""
        corners = self._corners(points)
        cv2.fillPoly(self.image, [corners], self._seen(colour, points), shift=_SUBPIXEL_BITS)
        if class_id is not None:
            cv2.fillPoly(self.label, [corners], class_id, shift=_SUBPIXEL_BITS)

    def mark(self, points, class_id: int) -> None:
        """Labels the polygon with world corners ``points`` (n, 3) without changing the image."""
        cv2.fillPoly(self.label, [self._corners(points)], class_id, shift=_SUBPIXEL_BITS)

    def line(self, points, width: float, colour, class_id: int | None = None) -> None:
        """Draws a line through world ``points`` (n, 3), ``width`` metres wide, at least 1 pixel."""
        corners = self._corners(points)
        depth = sum(point[2] for point in points) / len(points)
        thickness = max(1, round(width * self.camera.focal / depth))
        options = dict(isClosed=False, thickness=thickness, shift=_SUBPIXEL_BITS)
        cv2.polylines(self.image, [corners], color=self._seen(colour, points), **options)
        if class_id is not None:
            cv2.polylines(self.label, [corners], color=class_id, **options)

    def shadow(self, points, strength: float) -> None:
        """Darkens the polygon with world corners ``points`` by ``strength``, 0 to 1."""
        mask = np.zeros(self.label.shape, np.uint8)
        cv2.fillPoly(mask, [self._corners(points)], 1, shift=_SUBPIXEL_BITS)
        columns, rows, width, height = cv2.boundingRect(mask)
        area = (slice(rows, rows + height), slice(columns, columns + width))
        darker = (self.image[area] * (1 - strength)).astype(np.uint8)
        self.image[area] = np.where(mask[area][..., None] == 1, darker, self.image[area])

    def _corners(self, points) -> np.ndarray:
        # OpenCV's fixed-point corners would overflow far outside the canvas.
        pixels = np.clip(self.camera.project(points), -20_000, 20_000)
        return np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)

    def _seen(self, colour, points) -> tuple[float, ...]:
        depth = sum(point[2] for point in points) / len(points)
        fade = 1 - math.exp(-depth / self.visibility)
        return tuple(
            min(max(own * (1 - fade) + far * fade, 0.0), 255.0)
            for own, far in zip(colour, self.haze, strict=True)
        )
