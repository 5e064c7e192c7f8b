"""Uses class statistics, class-balanced sampling, recall loss and scores in a PyTorch loop.

This needs only torch and numpy: python demo/without_mmseg/plain_pytorch.py
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmseg_imbalance.evaluation import Scores, confusion_matrix
from mmseg_imbalance.losses import RecallLoss
from mmseg_imbalance.sampling import ClassBalancedInfiniteSampler, class_aware_window
from mmseg_imbalance.statistics import count_label_maps

CLASSES = ('background', 'disc', 'dot')
ITERATIONS, BATCH_SIZE, WINDOW = 60, 8, (24, 24)


class Discs(Dataset):
    """Noisy images of 32 x 32 pixels, each with a disc and every eighth with a small dot."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        """Returns the number of images."""
        return self.length

    def label(self, index: int) -> np.ndarray:
        """Draws the label map (H, W) of an image."""
        random = np.random.default_rng(index)
        rows, columns = np.mgrid[:32, :32]
        label = np.zeros((32, 32), np.int64)
        for cls, radius in ((1, 6), (2, 2)):
            row, column = random.integers(6, 26, 2)
            if cls == 1 or index % 8 == 0:
                label[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = cls
        return label

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns a crop of image (3, h, w) and label (h, w) that shows the class drawn for it."""
        label = self.label(index)
        drawn_class = getattr(index, 'drawn_class', None)
        top, bottom, left, right = class_aware_window(label, WINDOW, drawn_class)
        colours = np.array([[0, 0, 0], [1, 0.2, 0], [0, 0.2, 1]])[label]
        image = colours + np.random.default_rng(index).normal(0, 0.3, colours.shape)
        window = np.s_[top:bottom, left:right]
        return torch.from_numpy(image[window]).movedim(-1, 0).float(), torch.from_numpy(
            label[window]
        )


def main() -> dict[str, float]:
    """Trains a small network and returns its mean scores over the classes in percent."""
    torch.manual_seed(0)
    np.random.seed(0)
    training, validation = Discs(64), Discs(16)
    statistics = count_label_maps(map(training.label, range(len(training))), CLASSES)
    sampler = ClassBalancedInfiniteSampler(training, seed=0, statistics=statistics, min_pixels=1)
    loader = DataLoader(training, BATCH_SIZE, sampler=sampler)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, len(CLASSES), 3, padding=1)
    )
    loss, optimizer = RecallLoss(), torch.optim.AdamW(model.parameters(), lr=0.01)
    for _, (image, label) in zip(range(ITERATIONS), loader, strict=False):
        optimizer.zero_grad()
        loss(model(image), label).backward()
        optimizer.step()

    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    with torch.no_grad():
        for image, label in DataLoader(validation, BATCH_SIZE):
            confusion += confusion_matrix(
                model(image).argmax(1).numpy(), label.numpy(), len(CLASSES)
            )
    return Scores(CLASSES, confusion, statistics.pixel_share).means()


if __name__ == '__main__':
    print(main())
