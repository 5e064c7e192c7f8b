# Toy streets, trained from scratch on a CPU: docs/study.md. Only the learning rate is tuned here.
# The other hyper-parameters are those chosen on CamVid, to see whether they carry over, or those of
# the papers for losses that were not trained there.
_base_ = './methods.py'
title = 'Toy streets'
setting = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='')  # every image is a scene of its own
options = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}
__fixed = {
    'focal': {'head.loss_decode.gamma': 2.0},
    'ohem': {'head.sampler.min_kept': 5000},
    'balanced-softmax': {'head.loss_decode.tau': 0.5},
    'focal-tversky': {},
    'unified-focal': {},
    'boundary': {},
    'blv': {},
    'ce-cbs': {'train_dataloader.sampler.class_prob': 'performance'},
    'lmp': {'head.loss_decode.p': 1.7},
    'lmp-balanced': {
        'head.loss_decode.pixel_loss.type': 'LogitAdjustedLoss',
        'head.loss_decode.pixel_loss.tau': 0.25,
    },
    'lmp-cbs': {'head.loss_decode.p': 1.3, 'train_dataloader.sampler.class_prob': 'rare'},
    'recall': {'head.loss_decode.normalizer': 'weight'},
    'recall-momentum': {'head.loss_decode.momentum': 0.02},
    'recall-cbs': {'train_dataloader.sampler.class_prob': 'rare'},
}
methods = {
    'ce': {'grid': {'optim_wrapper.optimizer.lr': [5e-3, 2.5e-3, 1e-2]}},  # for all methods
    **{key: {'grid': [], 'options': options} for key, options in __fixed.items()},
}
