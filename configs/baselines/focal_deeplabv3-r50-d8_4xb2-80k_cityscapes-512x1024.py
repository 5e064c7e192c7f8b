_base_ = '../cross_entropy/ce_deeplabv3-r50-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=2.0)),
    auxiliary_head=dict(
        loss_decode=dict(_delete_=True, type='SoftmaxFocalLoss', gamma=2.0, loss_weight=0.4)
    ),
)
