"""Uses loss max-pooling on a Hugging Face SegFormer, with and without fused upsampling.

This needs transformers: python demo/without_mmseg/segformer_hugging_face.py
"""

import torch
import torch.nn.functional as F
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from mmseg_imbalance.losses import LossMaxPooling, UpsampledLogits

loss = LossMaxPooling()


def compute_loss(outputs, labels: torch.Tensor, num_items_in_batch=None) -> torch.Tensor:
    """Computes the loss of a model's outputs, also as ``Trainer(compute_loss_func=compute_loss)``.

    The logits are (N, C, H / 4, W / 4). They are resized to the labels' size without a tensor
    (N, C, H, W), which takes most of the memory with many classes.

    Args:
        outputs: What the model returns, with ``logits``.
        labels: (N, H, W) int64; 255 is ignored.
        num_items_in_batch: From ``Trainer``, the pixels of all batches of a step, whose losses it
            adds up; a mean has to be multiplied by its batch's share of them.
    """
    logits = UpsampledLogits(outputs.logits, labels.shape[1:], align_corners=False)
    share = 1 if num_items_in_batch is None else labels.numel() / num_items_in_batch
    return share * loss(logits, labels)


def main() -> tuple[float, float]:
    """Computes the loss in both ways, takes a step and returns the two losses, which agree."""
    torch.manual_seed(0)
    config = SegformerConfig(  # small, with random weights
        num_labels=5, depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16
    )
    model = SegformerForSemanticSegmentation(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    image, labels = torch.randn(2, 3, 64, 96), torch.randint(0, 5, (2, 64, 96))
    outputs = model(pixel_values=image)  # without labels, or it computes its own loss too

    resized = F.interpolate(outputs.logits, labels.shape[1:], mode='bilinear', align_corners=False)
    usual = loss(resized, labels)
    fused = compute_loss(outputs, labels)
    fused.backward()
    optimizer.step()
    return usual.item(), fused.item()


if __name__ == '__main__':
    print(main())
