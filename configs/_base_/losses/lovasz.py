# Lovász-Softmax, alone.
loss = dict(_delete_=True, type='LovaszSoftmaxLoss')
heads = dict(
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(loss, loss_weight=0.4)),
)
