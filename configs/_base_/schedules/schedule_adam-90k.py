# Schedule of the recall paper's released code on Cityscapes.
_base_ = './schedule_adam-100k.py'
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_iters=90000)
