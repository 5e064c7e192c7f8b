# Cross-entropy with tempered weights: the rarest class weighs at most ten times as much as the most
# frequent one.
loss = dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight='auto')
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
