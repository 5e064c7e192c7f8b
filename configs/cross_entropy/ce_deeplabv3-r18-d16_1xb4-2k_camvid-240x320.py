_base_ = [
    '../_base_/models/deeplabv3_r18-d16.py',
    '../_base_/datasets/camvid.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_2k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    # a quarter of the channels, from scratch
    backbone=dict(stem_channels=16, base_channels=16, init_cfg=None),
    decode_head=dict(in_channels=128, channels=64, num_classes=11),
)
