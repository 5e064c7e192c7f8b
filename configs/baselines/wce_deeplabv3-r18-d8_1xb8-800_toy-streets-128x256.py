_base_ = '../cross_entropy/ce_deeplabv3-r18-d8_1xb8-800_toy-streets-128x256.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(
            _delete_=True, type='WeightedCrossEntropyLoss', class_weight='median_frequency'
        )
    )
)
