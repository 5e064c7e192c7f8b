"""Encoding of label maps and images."""

import cv2
import numpy as np


def encode_png(image: np.ndarray) -> bytes:
    """Encodes a label map (H, W), uint8 or uint16, or a uint8 BGR image (H, W, 3) as PNG."""
    return cv2.imencode('.png', image)[1].tobytes()
