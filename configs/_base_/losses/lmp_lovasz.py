# Loss max-pooling of a quarter of the pixels or more, plus Lovász-Softmax.
loss = [dict(type='LossMaxPooling', p=1.7, ratio=0.25), dict(type='LovaszSoftmaxLoss')]
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=[dict(part, loss_weight=0.4) for part in loss]),
)
