_base_ = '../cross_entropy/ce_deeplabv3-r50-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(
            _delete_=True, type='WeightedCrossEntropyLoss', class_weight='median_frequency'
        )
    ),
    auxiliary_head=dict(
        loss_decode=dict(
            _delete_=True,
            type='WeightedCrossEntropyLoss',
            class_weight='median_frequency',
            loss_weight=0.4,
        )
    ),
)
