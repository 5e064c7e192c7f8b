# CamVid, from scratch, small enough for a CPU: docs/benchmark.md.
_base_ = './methods.py'
title = 'CamVid'
setting = 'deeplabv3-r18-d16_1xb4-2k_camvid-240x320'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='[^_]+')  # the last fifth of every video
amp = True
options = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}
methods = {'ce': {'grid': {'optim_wrapper.optimizer.lr': [4e-3, 2e-3, 8e-3]}}}  # for all of them
