_base_ = './ce-cbs_deeplabv3-r50-d8_4xb4-80k_synthia-seqs-512x512.py'
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='LossMaxPooling', p=1.7, ratio=0.25)),
    auxiliary_head=dict(
        loss_decode=dict(_delete_=True, type='LossMaxPooling', p=1.7, ratio=0.25, loss_weight=0.4)
    ),
)
