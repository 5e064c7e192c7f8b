_base_ = [
    './ce-cbs_deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/losses/recall_lovasz.py',
]
model = _base_.heads
