"""Trains a MONAI U-Net with balanced soft-max, whose prior is counted from the label maps.

This needs monai: python demo/without_mmseg/monai_unet.py
"""

import torch
from monai.data import ArrayDataset, DataLoader, create_test_image_2d
from monai.networks.nets import UNet
from monai.transforms import EnsureChannelFirst
from numpy.random import RandomState

from mmseg_imbalance.losses import LogitAdjustedLoss
from mmseg_imbalance.statistics import count_label_maps

CLASSES = ('tissue', 'lesion')


def draw(count: int) -> ArrayDataset:
    """Draws images and masks with a few small discs, which MONAI loads as (1, H, W) floats."""
    state = RandomState(0)
    pairs = [
        create_test_image_2d(48, 48, num_objs=2, rad_max=6, random_state=state)
        for _ in range(count)
    ]
    images, masks = zip(*pairs, strict=True)
    add_channel = EnsureChannelFirst(channel_dim='no_channel')
    return ArrayDataset(images, add_channel, [mask > 0 for mask in masks], add_channel)


def main() -> list[float]:
    """Trains for a few epochs and returns their mean losses, which decrease."""
    torch.manual_seed(0)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    dataset = draw(16)
    counted = count_label_maps((mask[0] for _, mask in dataset), CLASSES)
    loss = LogitAdjustedLoss(prior=counted.pixel_share.tolist()).to(device)
    # one channel per class: over a single one, as for a sigmoid, the soft-max is always 1
    model = UNet(2, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2))
    optimizer = torch.optim.AdamW(model.to(device).parameters(), lr=0.01)
    losses = []
    for _ in range(6):
        of_epoch = []
        for image, mask in DataLoader(dataset, batch_size=4, shuffle=True):
            optimizer.zero_grad()
            value = loss(model(image.to(device)), mask[:, 0].long().to(device))
            value.backward()
            optimizer.step()
            of_epoch.append(value.item())
        losses.append(sum(of_epoch) / len(of_epoch))
    return losses


if __name__ == '__main__':
    print(main())
