"""Small SYNTHIA folders, as downloaded: 16-bit labels with the class in R, the instance in G."""

import struct
import zlib

import cv2
import numpy as np

HEIGHT, WIDTH = 6, 8


def write_raw_label(path, class_ids, instances=None):
    """Writes a 16-bit RGB PNG by hand, so that reading it tests the reader's channel order."""
    class_ids = np.asarray(class_ids, np.uint16)
    height, width = class_ids.shape
    pixels = np.zeros((height, width, 3), '>u2')
    pixels[..., 0] = class_ids
    pixels[..., 1] = 0 if instances is None else instances
    rows = b''.join(b'\0' + row.tobytes() for row in pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + _chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0))
        + _chunk(b'IDAT', zlib.compress(rows))
        + _chunk(b'IEND', b'')
    )


def _chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def write_image(path, height=HEIGHT, width=WIDTH, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), image)


def write_frame(root, name, class_ids, instances=None):
    """Writes RGB/<name>.png and GT/LABELS/<name>.png below ``root``."""
    class_ids = np.asarray(class_ids)
    write_image(root / 'RGB' / f'{name}.png', *class_ids.shape, seed=len(name))
    write_raw_label(root / 'GT' / 'LABELS' / f'{name}.png', class_ids, instances)
