# Data of the recall paper's released code: whole frames resized to 768x384, in batches of 6. The
# split is random, so neighbouring frames leak from training to test. Void is a class in training
# and scores.
_base_ = './synthia_seqs.py'
crop_size = (384, 768)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(768, 384), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(768, 384), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(768, 384), keep_ratio=False)],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=6,
    num_workers=8,
    dataset=dict(ann_file='splits/random/train.txt', score_void=True, pipeline=train_pipeline),
)
val_dataloader = dict(
    dataset=dict(ann_file='splits/random/val.txt', score_void=True, pipeline=test_pipeline)
)
test_dataloader = dict(
    dataset=dict(ann_file='splits/random/test.txt', score_void=True, pipeline=test_pipeline)
)
