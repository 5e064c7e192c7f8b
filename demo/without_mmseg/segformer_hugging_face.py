"""Uses loss max-pooling on a Hugging Face SegFormer, with and without fused upsampling.

This needs transformers: python demo/without_mmseg/segformer_hugging_face.py
"""

import torch
import torch.nn.functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from mmseg_imbalance.losses import LossMaxPooling, UpsampledLogits


def main() -> tuple[float, float]:
    """Computes the loss in both ways, takes a step and returns the two losses, which agree."""
    torch.manual_seed(0)
    config = SegformerConfig(  # small, with random weights
        num_labels=5, depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16
    )
    model = SegformerForSemanticSegmentation(config)
    loss, optimizer = LossMaxPooling(), torch.optim.AdamW(model.parameters(), lr=1e-4)
    image, label = torch.randn(2, 3, 64, 96), torch.randint(0, 5, (2, 64, 96))
    logits = model(image).logits  # (N, C, H / 4, W / 4)

    upsampled = F.interpolate(logits, label.shape[1:], mode='bilinear', align_corners=False)
    usual = loss(upsampled, label)
    # The same without a tensor (N, C, H, W), which takes most of the memory with many classes
    fused = loss(UpsampledLogits(logits, label.shape[1:], align_corners=False), label)
    fused.backward()
    optimizer.step()
    return usual.item(), fused.item()


if __name__ == '__main__':
    print(main())
