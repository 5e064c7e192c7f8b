_base_ = '../cross_entropy/ce_deeplabv3-r18-d8_4xb4-80k_synthia-seqs-512x512.py'
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
