_base_ = [
    './ce-cbs_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py',
    '../_base_/losses/recall_lovasz.py',
]
model = dict(decode_head=_base_.heads.decode_head)
