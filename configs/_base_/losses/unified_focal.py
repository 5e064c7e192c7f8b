# Unified focal loss, with the values of its paper.
loss = dict(_delete_=True, type='UnifiedFocalLoss', balance=0.5, delta=0.6, gamma=0.5)
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
