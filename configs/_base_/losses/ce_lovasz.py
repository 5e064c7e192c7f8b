# Cross-entropy plus Lovász-Softmax.
loss = [dict(type='CrossEntropyLoss', loss_weight=1.0), dict(type='LovaszSoftmaxLoss')]
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=[dict(part, loss_weight=0.4) for part in loss]),
)
