# Clothing Co-Parsing with a pre-trained network. Nothing is tuned on these photographs: the methods
# have the values that were chosen for them on CamVid with the same network, even their learning
# rates, to see whether these carry over. (Tempered weights were not tuned there.)
_base_ = './methods_pretrained.py'
title = 'Clothing Co-Parsing'
setting = 'deeplabv3-mobilenet-v2-d16_1xb4-1k_clothing-384x256'
hold_out = dict(listed='splits/held_out.txt')
background = 'background'
amp = False  # bfloat16 takes seven times longer on processors that have no instructions for it
augmented = False  # with 42 classes at the photographs' own size it takes longer than the training
__methods = (
    'ce',
    'wce-median',
    'wce-auto',
    'balanced-softmax',
    'lmp',
    'lmp-balanced',
    'recall',
    'recall-cbs',
    'lovasz',
    'ce-lovasz',
    'unified-focal',
    'recall-lovasz',
    'lmp-lovasz',
    'recall-lovasz-cbs',
)
__lr = {'ce': 1e-3, 'lmp-balanced': 1e-3}  # of the others: 5e-4
methods = {
    '_delete_': True,
    **{
        key: dict(
            _base_.methods[key],
            options={
                **_base_.methods[key].get('options', {}),
                'optim_wrapper.optimizer.lr': __lr.get(key, 5e-4),
            },
            grid={},
        )
        for key in __methods
    },
}
highlights = [  # a figure has eight colours
    'ce',
    'wce-auto',
    'recall',
    'recall-cbs',
    'ce-lovasz',
    'recall-lovasz',
    'lmp-lovasz',
    'recall-lovasz-cbs',
]
targets = [target for target in _base_.targets if target['method'] in __methods]
