# Recall loss plus Lovász-Softmax.
loss = [dict(type='RecallLoss'), dict(type='LovaszSoftmaxLoss')]
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=[dict(part, loss_weight=0.4) for part in loss]),
)
