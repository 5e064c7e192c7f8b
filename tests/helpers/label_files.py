"""Small folders of label maps in CamVid's layout, and data sets on them."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import mmseg_imbalance  # noqa: F401

CLASSES = (
    'Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
    'Pedestrian', 'Bicyclist',
)  # fmt: skip
LOADER = dict(type='LoadAnnotations')


def write_labels(root, count=4, seed=0, folder='train', values=(0, 1, 3, 8, 10, 255)):
    """Writes random label maps of different sizes; returns them by their key."""
    rng = np.random.default_rng(seed)
    labels = {}
    for i in range(count):
        label = rng.choice(values, size=(6 + i, 9)).astype(np.uint8)
        labels[f'labels/{folder}/frame {i}.png'] = label
        for kind, array in (('labels', label), ('images', np.zeros((*label.shape, 3), np.uint8))):
            path = root / kind / folder / f'frame {i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode('.png', array)[1].tobytes())
    return labels


def config(root, folder='train', pipeline=(LOADER,), serialize_data=False, **settings):
    """A data set's config; without serialisation, which collects garbage at every building."""
    prefix = dict(img_path=f'images/{folder}', seg_map_path=f'labels/{folder}')
    return dict(
        type='CamVidDataset',
        data_root=str(root),
        data_prefix=prefix,
        pipeline=list(pipeline),
        serialize_data=serialize_data,
        **settings,
    )


def build(cfg):
    init_default_scope('mmseg')
    return DATASETS.build(cfg)


# ---- label maps as nobody should store them

BAD = {
    'empty': 'an empty file',
    'cut short': r'not a complete image file \(',
    'other bits': r'not a complete image file \(broken PNG',
    'no image': 'not an image file',
    '16 bits': 'more than 8 bits deep',
    'floats': 'more than 8 bits deep',
    '4 bits': 'less than 8 bits deep',
    '2 bits': 'less than 8 bits deep',
    'colours': '3 channels, not one',
    'grey and alpha': '2 channels, not one',
    'jpeg': 'a JPEG file',
    'another size': r'10x8 pixels, but its image .* has 9x8',
    'bomb': r'larger than Pillow reads \(.*decompression bomb',
    'folder': '.*Is a directory',
    'loop': '.*Too many levels of symbolic links',
    'dangling link': '.*No such file',
}
"""Ways to :func:`spoil` a label map, and how its error begins (a regular expression)."""

ODD = ('palette', '4-bit palette', '1 bit', 'bmp', 'interlaced')
"""Ways to :func:`store` one that are all right."""


def spoil(path, how):
    """Makes a label map of 9 x 8 pixels unusable in one of the ways of :data:`BAD`."""
    data = path.read_bytes()
    # by name, OpenCV crashes where that is no text
    label = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    path.unlink()
    if how == 'folder':
        path.mkdir()
    elif how in ('loop', 'dangling link'):
        path.symlink_to(path.name if how == 'loop' else 'nowhere.png')
    elif how == 'bomb':
        path.write_bytes(png(np.zeros((1, 1), np.uint8), size=(100_000, 100_000)))
    elif how in ('2 bits', '4 bits'):
        path.write_bytes(png(np.full(label.shape, 3), depth=int(how[0])))
    elif how in ('floats', 'jpeg'):
        kind = 'TIFF' if how == 'floats' else 'JPEG'
        Image.fromarray(label.astype(np.float32) if how == 'floats' else label).save(path, kind)
    elif how in ('16 bits', 'colours', 'grey and alpha', 'another size'):
        array = {
            '16 bits': label.astype(np.uint16) + 256,  # modulo 256 nothing has changed
            'colours': np.dstack([label] * 3),
            'grey and alpha': np.dstack([label] * 2),
            'another size': np.zeros((8, 10), np.uint8),
        }[how]
        Image.fromarray(array).save(path, 'PNG')
    else:
        path.write_bytes(
            {
                'empty': b'',
                'no image': b'not\nan image',
                'cut short': data[:-30],
                'other bits': _quietly_changed(data, label),
            }[how]
        )


def store(path, label, how):
    """Writes a label in one of the ways of :data:`ODD`; returns it, of 1 bit what is left of it."""
    if how == '1 bit':
        label = (label > 0).astype(np.uint8)
    image = Image.fromarray(label)
    if how == 'palette':
        image.putpalette(range(255, -1, -1))
    if how in ('palette', 'bmp'):
        image.save(path, 'PNG' if how == 'palette' else 'BMP')
    else:
        depth = {'4-bit palette': 4, '1 bit': 1, 'interlaced': 8}[how]
        path.write_bytes(png(label, depth, 3 if 'palette' in how else 0, how == 'interlaced'))
    return label


def png(label, depth=8, colour=0, interlaced=False, size=None):
    """A PNG file by hand: grey (colour type 0) or with a palette (3), of 1 to 8 bits."""
    height, width = label.shape
    passes = [label]
    if interlaced:
        starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                  (0, 1, 2, 2), (1, 0, 2, 1))  # fmt: skip
        passes = [label[y::dy, x::dx] for y, x, dy, dx in starts]
    rows = b''
    for part in passes:
        bits = np.unpackbits(part.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        if part.size:
            packed = np.packbits(bits.reshape(len(part), -1), axis=1)
            rows += b''.join(b'\0' + row.tobytes() for row in packed)
    header = struct.pack('>IIBBBBB', *(size or (width, height)), depth, colour, 0, 0, interlaced)
    parts = [(b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    if colour == 3:
        parts.insert(1, (b'PLTE', bytes(255 - i % 256 for i in range(3 << depth))))
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(*part) for part in parts)


def _chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def _quietly_changed(data, label):
    """Data that Pillow decodes without a word, to other pixels."""
    for i in range(len(data)):
        for bit in range(8):
            changed = data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :]
            try:
                with Image.open(BytesIO(changed)) as image:
                    found = np.asarray(image)
            except Exception:
                continue
            if found.shape == label.shape and found.dtype == np.uint8 and (found != label).any():
                return changed
    raise AssertionError('Pillow notices every change')
