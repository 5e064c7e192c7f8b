# Data of the recall paper's released code: crops of 769 x 769, six scales and batches of 6.
_base_ = './cityscapes.py'
crop_size = (769, 769)
train_ratios = [0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomChoiceResize', scales=[(int(2048 * r), int(1024 * r)) for r in train_ratios]),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=6, num_workers=8, dataset=dict(pipeline=train_pipeline))
