_base_ = [
    './ce-cbs_deeplabv3-mobilenet-v2-d16_1xb4-1k_camvid-240x320.py',
    '../_base_/losses/recall_lovasz.py',
]
model = dict(decode_head=_base_.heads.decode_head)
