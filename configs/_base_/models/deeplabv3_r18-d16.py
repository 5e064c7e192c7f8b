# Output stride 16 and no auxiliary head: smaller and faster than output stride 8.
_base_ = './deeplabv3_r18-d8.py'
model = dict(
    backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    decode_head=dict(dilations=(1, 6, 12, 18)),
    auxiliary_head=None,
)
