_base_ = '../cross_entropy/ce_deeplabv3-r101-d8_4xb4-80k_synthia-seqs-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='LogitAdjustedLoss', tau=1.0)),
    auxiliary_head=dict(
        loss_decode=dict(_delete_=True, type='LogitAdjustedLoss', tau=1.0, loss_weight=0.4)
    ),
)
