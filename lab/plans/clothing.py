# Clothing Co-Parsing with a pre-trained network. Nothing is tuned on these photographs: all methods
# have the values that were chosen on CamVid with the same network, even their learning rates, to
# see whether these carry over.
_base_ = './methods_pretrained.py'
title = 'Clothing Co-Parsing'
setting = 'deeplabv3-mobilenet-v2-d16_1xb4-1k_clothing-384x256'
hold_out = dict(listed='splits/held_out.txt')
amp = False  # bfloat16 takes seven times longer on processors that have no instructions for it
augmented = False  # with 42 classes at the photographs' own size it takes longer than the training
__lr = {
    'ce': 1e-3,
    'wce-median': 5e-4,
    'wce-auto': 5e-4,
    'balanced-softmax': 5e-4,
    'lmp': 5e-4,
    'lmp-balanced': 1e-3,
    'recall': 5e-4,
    'recall-cbs': 5e-4,
    'lovasz': 5e-4,
}
methods = {
    '_delete_': True,
    **{
        key: dict(
            _base_.methods[key],
            options={**_base_.methods[key].get('options', {}), 'optim_wrapper.optimizer.lr': lr},
            grid={},
        )
        for key, lr in __lr.items()
    },
}
targets = [
    dict(method='recall', score='mAcc', least=9.0, relative=True),
    dict(method='recall', score='mIoU', least=0.0, within_std=True),
    dict(method='lmp', score='mIoU', least=1.0),
]
