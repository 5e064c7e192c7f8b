_base_ = [
    './ce-cbs_deeplabv3-r18-d8_4xb4-80k_synthia-rand-512x512.py',
    '../_base_/losses/recall_lovasz.py',
]
model = _base_.heads
