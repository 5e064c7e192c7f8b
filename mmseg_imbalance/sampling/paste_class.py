"""Pastes the pixels of a class from one image into another."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ..utils.label_values import whole_numbers


def paste_class(
    image: np.ndarray,
    label: np.ndarray,
    other_image: np.ndarray,
    other_label: np.ndarray,
    pasted_class: int,
    scale: tuple[float, float] = (0.5, 1.5),
    flip_prob: float = 0.5,
    max_shift: tuple[float, float] = (0.1, 0.5),
    blend: int = 0,
    random=np.random,
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes all pixels that another image shows of a class, enlarged, mirrored and shifted.

    The idea is from G. Ghiasi et al., *Simple Copy-Paste*, CVPR 2021, arXiv 2012.07177, who paste
    instances. Label maps have none, so that the class's pixels keep their arrangement here, as in
    V. Olsson et al., *ClassMix*, WACV 2021, arXiv 2007.07936. What is pasted stays near its place:
    a car lands at the height of the other image's cars.

    Args:
        image: (H, W, 3) or (H, W), uint8 or floating-point.
        label: (H, W), whole numbers.
        other_image: Image with the class, of any size, with as many channels.
        other_label: Its label map. Without a pixel of the class nothing is pasted.
        pasted_class: The class.
        scale: Least and largest factor by which the pixels are enlarged, beside the ratio of the
            images' heights.
        flip_prob: Probability in [0, 1] of mirroring left and right.
        max_shift: Largest vertical and horizontal shift, as shares of the image's height and width.
            What then lies outside is cut off.
        blend: Width in pixels of the border that fades into the image; 0: none. The middle of
            thin objects does not fade.
        random: Generator: a ``np.random.RandomState``, or NumPy's global one, which PyTorch's data
            loader seeds in its workers.

    Returns:
        Image and label map with what was pasted, in their dtypes; the arguments are not changed.

    Raises:
        ValueError: If an image and its label map differ in size, or for other arguments out of
            range.

    Example:
        >>> image, label = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
        >>> other, mask = np.full((4, 6), 9, np.uint8), np.zeros((4, 6), np.uint8)
        >>> mask[1:3, 2] = 7
        >>> fixed = dict(scale=(1, 1), flip_prob=0, max_shift=(0, 0))
        >>> paste_class(image, label, other, mask, pasted_class=7, **fixed)[1][:, :4]
        array([[0, 0, 0, 0],
               [0, 0, 7, 0],
               [0, 0, 7, 0],
               [0, 0, 0, 0]], dtype=uint8)
    """
    check_paste(scale, flip_prob, max_shift, blend)
    for picture, classes in ((image, label), (other_image, other_label)):
        if picture.shape[:2] != classes.shape:
            raise ValueError(
                f'an image of shape {picture.shape} has a label map of shape {classes.shape}'
            )
    factor = random.uniform(*scale) * len(image) / len(other_image)
    flipped = random.uniform() < flip_prob
    shift = [random.uniform(-most, most) for most in max_shift]
    mask = whole_numbers(other_label) == pasted_class
    if not mask.any():
        return image, label
    # Made smaller, pixels are left out; with a margin, those at the sides of the box are, too.
    margin = math.ceil(1 / factor) - 1
    box = tuple(_extent(mask.any(axis), margin, random) for axis in (1, 0))
    middle = [
        ((part.start + part.stop) / 2 / old + by) * new
        for part, old, by, new in zip(box, mask.shape, shift, label.shape, strict=True)
    ]
    pasted, mask = _resized(other_image[box], mask[box], factor)
    if flipped:
        pasted, mask = pasted[:, ::-1], mask[:, ::-1]
    share = _faded(mask, blend)
    whole, part = _overlap(middle, mask.shape, label.shape)
    image, label = image.copy(), label.copy()
    label[whole][mask[part]] = pasted_class
    image[whole] = _mixed(image[whole], pasted[part], share[part])
    return image, label


def check_paste(scale, flip_prob: float, max_shift, blend: int) -> None:
    """Checks arguments of :func:`paste_class`.

    Raises:
        ValueError: If one is out of range.
    """
    if not (_is_pair(scale) and 0 < scale[0] <= scale[1]):
        raise ValueError(f'scale must be two numbers > 0, the smaller one first, got {scale}')
    if not 0 <= flip_prob <= 1:
        raise ValueError(f'flip_prob must be in [0, 1], got {flip_prob}')
    if not (_is_pair(max_shift) and min(max_shift) >= 0):
        raise ValueError(f'max_shift must be two shares ≥ 0, got {max_shift}')
    if not (isinstance(blend, int) and blend >= 0):
        raise ValueError(f'blend must be a whole number ≥ 0, got {blend}')


def _is_pair(values) -> bool:
    return isinstance(values, list | tuple) and len(values) == 2


def _extent(shown: np.ndarray, margin: int, random) -> slice:
    """Returns the part from the first to the last pixel shown, and a random margin."""
    places = np.flatnonzero(shown)
    before, after = random.randint(margin + 1, size=2)
    return slice(max(int(places[0] - before), 0), min(int(places[-1] + 1 + after), len(shown)))


def _resized(image: np.ndarray, mask: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Resizes an image, to (h, w, channels) float32, and a mask."""
    size = [max(1, round(factor * length)) for length in mask.shape]
    pixels = _tensor(image).reshape(*mask.shape, -1)
    resized = F.interpolate(pixels.permute(2, 0, 1)[None], size, mode='bilinear', antialias=True)
    # Thin objects keep their area in the mean, which with bilinear interpolation are lost.
    bits = F.interpolate(_tensor(mask)[None, None], size, mode='nearest-exact')[0, 0]
    return resized[0].permute(1, 2, 0).numpy(), bits.bool().numpy()


def _tensor(values: np.ndarray) -> torch.Tensor:
    # PyTorch refuses arrays that are mirrored without a copy.
    return torch.from_numpy(values.astype(np.float32, order='C'))


def _faded(mask: np.ndarray, blend: int) -> np.ndarray:
    """Returns the share (h, w) in [0, 1] of what is pasted, which falls off within the border."""
    if blend == 0:
        return mask.astype(np.float32)
    bits = _tensor(mask)[None]
    share = bits
    for width in ((2 * blend + 1, 1), (1, 2 * blend + 1)):
        share = F.avg_pool2d(share, width, stride=1, padding=[length // 2 for length in width])
    share = most = share * bits
    for _ in range(blend):  # within the object, not across a gap
        most = F.max_pool2d(most, 3, stride=1, padding=1) * bits
    return (share / most.clamp(min=torch.finfo(most.dtype).tiny))[0].numpy()


def _overlap(middle, size, whole_size) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Returns where a part lies in the whole, and which part of it does not lie outside."""
    whole, part = [], []
    for centre, length, limit in zip(middle, size, whole_size, strict=True):
        first = round(centre - length / 2)
        start = min(max(first, 0), limit)
        stop = max(min(first + length, limit), start)
        whole.append(slice(start, stop))
        part.append(slice(start - first, stop - first))
    return tuple(whole), tuple(part)


def _mixed(image: np.ndarray, pasted: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = share[..., None] if image.ndim == 3 else share
    mixed = image + share * (pasted.reshape(image.shape) - image.astype(np.float32))
    if image.dtype.kind in 'iu':
        limits = np.iinfo(image.dtype)
        mixed = np.clip(np.rint(mixed), limits.min, limits.max)
    return mixed.astype(image.dtype)
