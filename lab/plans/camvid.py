# CamVid, trained from scratch and small enough for a CPU: docs/study.md.
_base_ = './methods.py'
title = 'CamVid'
setting = 'deeplabv3-r18-d16_1xb4-2k_camvid-240x320'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='[^_]+')  # the last fifth of every video
amp = True
options = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}
# Options that might lift LMP to the level of balanced soft-max, tried after both had first results.
__variants = [
    {'head.loss_decode.ratio': [0.1, 0.5]},
    {'head.loss_decode.p': [2.5]},
    {'head.loss_decode.pool': ['batch']},
    {'head.loss_decode.class_weight': ['sqrt_inverse_frequency']},
]
__rare = {'train_dataloader.sampler.class_prob': ['rare'], 'head.loss_decode.momentum': [0.02]}

methods = {
    'ce': {'grid': {'optim_wrapper.optimizer.lr': [4e-3, 2e-3, 8e-3]}},  # for all methods
    # with the values of their papers, as on toy streets
    'unified-focal': {'grid': []},
    'boundary': {'grid': []},
    'recall-cbs': {
        'grid': [{'train_dataloader.sampler.class_prob': ['performance', 'rare']}, __rare]
    },
    'lmp-variant': dict(
        name='LMP, other options', config='loss_max_pooling/lmp', grid=__variants, ours=True
    ),
}
