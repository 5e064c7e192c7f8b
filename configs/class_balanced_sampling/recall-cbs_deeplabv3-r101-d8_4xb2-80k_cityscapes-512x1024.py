_base_ = './ce-cbs_deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss')),
    auxiliary_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss', loss_weight=0.4)),
)
