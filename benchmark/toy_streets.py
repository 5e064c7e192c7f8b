# Toy streets, from scratch, on a CPU: docs/benchmark.md.
_base_ = './methods.py'
title = 'Toy streets'
setting = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='')  # every image is a scene of its own
amp = True
options = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}
methods = {'ce': {'grid': {'optim_wrapper.optimizer.lr': [5e-3, 2.5e-3, 1e-2]}}}  # for all of them
