"""A check for labels that are neither a class nor ignored."""

import torch
from torch import Tensor


def check_labels(label: Tensor, num_classes: int, ignore_index: int) -> None:
    """Checks that every label is a class or ``ignore_index``.

    The host reads the result, so on a GPU it waits for the device.

    Args:
        label: Labels of any shape, an integer dtype.
        num_classes: Classes are 0 … ``num_classes`` - 1.
        ignore_index: The only other value that is allowed.

    Raises:
        ValueError: If not; names the first wrong value and how many pixels are out of range.

    Example:
        >>> check_labels(torch.tensor([0, 2, 255]), num_classes=3, ignore_index=255)
        >>> check_labels(torch.tensor([0, 3, 255]), num_classes=3, ignore_index=255)
        Traceback (most recent call last):
        ValueError: label 3 is neither a class (0 … 2) nor ignore_index (255); 1 pixel is out of ...
    """
    wrong = ((label < 0) | (label >= num_classes)) & (label != ignore_index)
    count = int(wrong.sum())
    if count:
        value = int(label.flatten()[torch.argmax(wrong.flatten().int())])
        raise ValueError(
            f'label {value} is neither a class (0 … {num_classes - 1}) nor ignore_index '
            f'({ignore_index}); {count} pixel{"s are" if count > 1 else " is"} out of range: map '
            'it with the label_map of the data set, or set num_classes and ignore_index of the '
            'decode head to fit the labels; without MMSegmentation, call the loss with ignore_index'
        )
