# Soft-max focal loss.
loss = dict(_delete_=True, type='SoftmaxFocalLoss', gamma=2.0)
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
