# Schedule of the recall paper's released code on SYNTHIA: Adam with a constant learning rate and no
# weight decay; the checkpoint with the best mIoU on the validation frames is kept.
_base_ = './schedule_80k.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
param_scheduler = None
train_cfg = dict(max_iters=100000, val_interval=5000)
default_hooks = dict(checkpoint=dict(interval=5000, save_best='mIoU'))
