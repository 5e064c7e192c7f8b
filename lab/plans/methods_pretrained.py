# Methods on MobileNetV2 with ImageNet weights: docs/study.md. Each has its own learning rate; their
# other hyper-parameters are those that were chosen on CamVid from scratch.
_base_ = './methods.py'
seeds = [0, 1, 2]
amp = True
options = {
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    # weights converted from the 8-bit TFLite model, with its padding and its range of the input
    'model.backbone.init_cfg.checkpoint': 'checkpoints/mobilenet_v2_imagenet_mmseg.pth',
    'model.backbone.conv_cfg': {'type': 'Conv2dAdaptivePadding'},
    'model.data_preprocessor.mean': [127.5, 127.5, 127.5],
    'model.data_preprocessor.std': [127.5, 127.5, 127.5],
}
__loss = 'head.loss_decode'
__rare = {'train_dataloader.sampler.class_prob': 'rare'}
__balanced = {'type': 'LogitAdjustedLoss', 'tau': 0.25}
__fixed = {
    'ce': {},
    'wce-median': {},
    'wce-auto': {},
    'focal': {f'{__loss}.gamma': 2.0},
    'ohem': {'head.sampler.min_kept': 5000},
    'ce-lovasz': {},
    'balanced-softmax': {f'{__loss}.tau': 0.5},
    'unified-focal': {},
    'boundary': {},
    'lmp': {f'{__loss}.p': 1.7},
    'lmp-balanced': {f'{__loss}.pixel_loss': __balanced},
    'lmp-cbs': {f'{__loss}.p': 1.3, **__rare},
    'recall': {f'{__loss}.normalizer': 'weight'},
    'recall-cbs': __rare,
    'recall-lovasz': {},
    'lmp-lovasz': {},
    'recall-lovasz-cbs': {},
}
__grid = {'optim_wrapper.optimizer.lr': [5e-4, 1e-3]}
methods = {
    '_delete_': True,
    **{
        key: dict(method, options={**method.get('options', {}), **__fixed[key]}, grid=__grid)
        for key, method in _base_.methods.items()
        if key in __fixed
    },
    'lovasz': dict(name='Lovász soft-max', config='baselines/lovasz', grid=__grid),
}
highlights = ['ce', 'wce-median', 'lovasz', 'lmp', 'lmp-balanced', 'recall', 'recall-cbs']
