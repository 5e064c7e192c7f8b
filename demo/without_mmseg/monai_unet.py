"""Trains a MONAI U-Net with balanced soft-max, whose prior is counted from the label maps.

This needs monai: python demo/without_mmseg/monai_unet.py
"""

import torch
from monai.networks.nets import UNet

from mmseg_imbalance.losses import LogitAdjustedLoss
from mmseg_imbalance.statistics import count_label_maps


def main() -> list[float]:
    """Trains for a few steps on one batch and returns the losses, which decrease."""
    torch.manual_seed(0)
    image = torch.randn(4, 1, 32, 32)
    label = (image[:, 0] > 1.5).long()  # 7 % of the pixels
    prior = count_label_maps(label, ['tissue', 'lesion']).pixel_share.tolist()
    loss = LogitAdjustedLoss(prior=prior)
    model = UNet(2, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        value = loss(model(image), label)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


if __name__ == '__main__':
    print(main())
