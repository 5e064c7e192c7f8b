_base_ = '../cross_entropy/ce_deeplabv3-mobilenet-v2-d16_1xb4-1k_camvid-240x320.py'
train_pipeline = [
    # shows the class that the image was drawn for; where none was, a plain random crop
    dict(step, type='ClassAwareRandomCrop', class_prob=None)
    if step['type'] == 'RandomCrop'
    else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassBalancedInfiniteSampler', class_prob='rare'),
    dataset=dict(pipeline=train_pipeline),
)
