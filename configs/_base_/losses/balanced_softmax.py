# Balanced soft-max.
loss = dict(_delete_=True, type='LogitAdjustedLoss', tau=1.0)
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
