# Clothing Co-Parsing with a pre-trained network, trained three times as long: cross-entropy, the
# best method of the first trainings, and the two strongest baselines.
_base_ = './clothing.py'
title = 'Clothing Co-Parsing, 3000 iterations'
options = {
    'train_cfg.max_iters': 3000,
    'param_scheduler': [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=50, by_epoch=False),
        dict(type='PolyLR', eta_min=0.0, power=0.9, begin=50, end=3000, by_epoch=False),
    ],
}
highlights = ['ce', 'wce-auto', 'ce-lovasz', 'recall-lovasz-cbs']
methods = {'_delete_': True, **{key: _base_.methods[key] for key in highlights}}
targets = []
