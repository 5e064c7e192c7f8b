# Cross-entropy weighted by median-frequency balancing.
loss = dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight='median_frequency')
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
