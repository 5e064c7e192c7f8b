_base_ = [
    '../cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py',
    '../_base_/losses/unified_focal.py',
]
model = dict(decode_head=_base_.heads.decode_head)
