_base_ = './ce-cbs_deeplabv3-r18-d8_4xb4-80k_synthia-rand-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss')),
    auxiliary_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss', loss_weight=0.4)),
)
