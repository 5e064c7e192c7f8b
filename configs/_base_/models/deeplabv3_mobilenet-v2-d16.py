# DeepLabV3 on MobileNetV2 from ImageNet weights, small enough for a CPU: a head of 64 channels, and
# the first stages, up to stride 8, keep their weights.
_base_ = './deeplabv3_r18-d16.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        strides=(1, 2, 2, 2, 1, 1, 1),
        dilations=(1, 1, 1, 1, 1, 1, 1),
        out_indices=(1, 2, 4, 6),
        frozen_stages=3,
        norm_cfg=_base_.norm_cfg,
        # downloaded when training starts
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2'),
    ),
    decode_head=dict(in_channels=320, channels=64),
)
