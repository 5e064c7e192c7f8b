"""Chooses a random window that shows a class."""

import numpy as np

from ..utils.label_values import pixels_of_values, whole_numbers

_TRIES = 11  # one and ten more, as in MMSegmentation's RandomCrop


def class_aware_window(
    label: np.ndarray,
    size: tuple[int, int],
    drawn_class: int | None = None,
    class_probability: np.ndarray | str | None = None,
    cat_max_ratio: float = 1.0,
    ignore_index: int = 255,
    random=np.random,
) -> tuple[int, int, int, int]:
    """Chooses a random window that shows a class, or any random window.

    One of the class's pixels is drawn, and one of the windows that contain it: the more pixels of
    the class a window holds, the more likely it is. Without a class, all windows are equally
    likely.

    Args:
        label: (H, W), whole numbers in any dtype, an array or a CPU tensor.
        size: Height and width of the window in pixels.
        drawn_class: The class, such as the ``drawn_class`` of a :class:`DrawnIndex`. If it is None
            or not in the label map, ``class_probability`` decides.
        class_probability: One of the classes shown is drawn by these (C,) numbers ≥ 0, or with
            ``'uniform'`` all are equally likely. None: no class.
        cat_max_ratio: Windows in which one class covers at least this share of the labelled pixels
            are redrawn, up to ten times; 1 accepts every window.
        ignore_index: Label of the pixels that belong to no class.
        random: Generator: a ``np.random.RandomState``, or NumPy's global one, which PyTorch's data
            loader seeds in its workers.

    Returns:
        First row, row after the last, first column, column after the last; the window reaches
        beyond a smaller image.

    Raises:
        ValueError: If there is no probability for a class shown, for another string, or if a label
            is no whole number.

    Example:
        >>> label = np.full((4, 6), 255)
        >>> label[3, 5] = 7
        >>> class_aware_window(label, (2, 2), drawn_class=7)
        (2, 4, 4, 6)
    """
    if isinstance(class_probability, str) and class_probability != 'uniform':
        raise ValueError(
            f"class_probability must be numbers, 'uniform' or None, got {class_probability!r}"
        )
    label = whole_numbers(np.asarray(label))
    pixels = np.flatnonzero(label == drawn_class) if drawn_class is not None else []
    if not len(pixels) and class_probability is not None:
        chosen = _choose_class(label, class_probability, ignore_index, random)
        pixels = np.flatnonzero(label == chosen) if chosen is not None else []
    for _ in range(_TRIES if cat_max_ratio < 1 else 1):
        top, left = _corner(pixels, size, label.shape, random)
        window = (top, top + size[0], left, left + size[1])
        shown = label[top : top + size[0], left : left + size[1]]
        if cat_max_ratio >= 1 or _is_mixed(shown, cat_max_ratio, ignore_index):
            break
    return window


def _choose_class(label, class_probability, ignore_index: int, random) -> int | None:
    """Draws one of the classes that a label map shows, None if there is none to draw."""
    shown = sorted(pixels_of_values(label).keys() - {ignore_index})
    if not shown:
        return None
    if isinstance(class_probability, str):  # 'uniform'
        return shown[random.randint(len(shown))]
    if shown[-1] >= len(class_probability):
        raise ValueError(
            f'the label map holds class {shown[-1]}, but there are probabilities of '
            f'{len(class_probability)} classes (class_prob, statistics)'
        )
    weight = np.asarray(class_probability)[shown]
    if not weight.any():
        return None
    return random.choice(shown, p=weight / weight.sum())


def _is_mixed(label: np.ndarray, cat_max_ratio: float, ignore_index: int) -> bool:
    """Whether no class covers too much of a window, by the rule of MMSegmentation's RandomCrop."""
    pixels = pixels_of_values(label)
    pixels.pop(ignore_index, None)
    most, total = max(pixels.values(), default=0), sum(pixels.values())
    return len(pixels) > 1 and most / total < cat_max_ratio


def _corner(pixels, size, shape, random) -> list[int]:
    """Draws first row and column of a window in the image that has one of the pixels, if any."""
    last = [max(whole - part, 0) for whole, part in zip(shape, size, strict=True)]
    if not len(pixels):
        return [random.randint(most + 1) for most in last]
    pixel = divmod(pixels[random.randint(len(pixels))], shape[1])
    return [
        random.randint(max(at - part + 1, 0), min(at, most) + 1)
        for at, part, most in zip(pixel, size, last, strict=True)
    ]
