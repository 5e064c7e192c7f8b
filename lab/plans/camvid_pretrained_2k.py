# CamVid with a pre-trained network, trained for twice as long: cross-entropy's validation curve is
# nearly flat then. Some methods have the better of two learning rates here, too, the others the one
# that was best for most with 1000 iterations.
_base_ = './camvid_pretrained.py'
title = 'CamVid, pre-trained, 2000 iterations'
amp = False  # bfloat16 takes seven times longer on processors that have no instructions for it
options = {
    'train_cfg.max_iters': 2000,
    'param_scheduler': [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=50, by_epoch=False),
        dict(type='PolyLR', eta_min=0.0, power=0.9, begin=50, end=2000, by_epoch=False),
    ],
}
__methods = (
    'ce',
    'wce-auto',
    'focal',
    'ohem',
    'ce-lovasz',
    'balanced-softmax',
    'unified-focal',
    'boundary',
    'lmp',
    'recall',
    'recall-cbs',
    'recall-lovasz',
    'lmp-lovasz',
    'recall-lovasz-cbs',
)
__with_two_rates = ('ce', 'wce-auto', 'ce-lovasz', 'unified-focal', 'recall-lovasz', 'recall-cbs')
__lr = dict.fromkeys(__with_two_rates, [5e-4, 1e-3])
methods = {
    '_delete_': True,
    **{
        key: dict(_base_.methods[key], grid={'optim_wrapper.optimizer.lr': __lr.get(key, [5e-4])})
        for key in __methods
    },
}
highlights = [  # a figure has eight colours
    'ce',
    'ce-lovasz',
    'unified-focal',
    'boundary',
    'balanced-softmax',
    'recall',
    'recall-cbs',
    'lmp-lovasz',
]
targets = [target for target in _base_.targets if target['method'] in __methods]
