_base_ = [
    '../_base_/models/deeplabv3_r18-d16.py',
    '../_base_/datasets/synthia_seqs_384x768.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_adam-100k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=14, align_corners=True),
)
