_base_ = '../cross_entropy/ce_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'
load, augment = _base_.train_pipeline[:2], _base_.train_pipeline[2:]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(_base_.train_dataloader.dataset, pipeline=load),
        pipeline=[dict(type='RareClassCopyPaste'), *augment],
    )
)
