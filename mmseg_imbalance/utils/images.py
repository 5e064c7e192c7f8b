"""Encoding of label maps and images."""

import cv2
import numpy as np


def encode_png(image: np.ndarray) -> bytes:
    """Encodes a uint8 label map (H, W) or BGR image (H, W, 3) as PNG."""
    return cv2.imencode('.png', image)[1].tobytes()
