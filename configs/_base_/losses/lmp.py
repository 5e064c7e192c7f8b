# Loss max-pooling of a quarter of the pixels or more.
loss = dict(_delete_=True, type='LossMaxPooling', p=1.7, ratio=0.25)
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
