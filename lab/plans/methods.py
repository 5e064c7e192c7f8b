# The methods that are compared on any data: docs/study.md. A method is a config with `options`.
# `grid` has hyper-parameters that are tuned on a held-out part of the training set. `head.` stands
# for all heads of the model. A method that, after tuning, equals one above it is not trained again.
__sampling = {'train_dataloader.sampler.class_prob': ['performance', 'rare']}
# Losses that are trained together with Lovász soft-max, with the values chosen on CamVid.
__pairs = {
    'recall': ('recall loss', 'recall_loss', {'type': 'RecallLoss', 'normalizer': 'weight'}),
    'lmp': ('LMP', 'loss_max_pooling', {'type': 'LossMaxPooling', 'p': 1.7}),
    'lmp-balanced': (
        'LMP of balanced soft-max',
        'loss_max_pooling',
        {
            'type': 'LossMaxPooling',
            'p': 1.7,
            'pixel_loss': {'type': 'LogitAdjustedLoss', 'tau': 0.25},
        },
    ),
}

methods = {
    'ce': dict(name='cross-entropy', config='cross_entropy/ce'),
    **{
        f'wce-{key}': dict(
            name=f'CE, {name} weights',
            config='baselines/wce',
            options={'head.loss_decode.class_weight': method},
        )
        for key, name, method in (
            ('inverse', 'inverse-frequency', 'inverse_frequency'),
            ('median', 'median-frequency', 'median_frequency'),
            ('auto', 'tempered', 'auto'),
            ('effective', 'effective-number', 'effective_number'),
        )
    },
    'focal': dict(
        name='focal loss',
        config='baselines/focal',
        grid={'head.loss_decode.gamma': [2.0, 1.0, 5.0]},
    ),
    'ohem': dict(
        name='OHEM',
        config='cross_entropy/ce',
        options={'head.sampler.type': 'OHEMPixelSampler', 'head.sampler.thresh': 0.7},
        grid={'head.sampler.min_kept': [20000, 5000]},
    ),
    'lovasz': dict(
        name='Lovász soft-max',
        config='cross_entropy/ce',
        options={'head.loss_decode.type': 'LovaszLoss', 'head.loss_decode.reduction': 'none'},
    ),
    'ce-lovasz': dict(
        name='CE + Lovász',
        config='cross_entropy/ce',
        options={'head.loss_decode': [{'type': 'CrossEntropyLoss'}, {'type': 'LovaszSoftmaxLoss'}]},
    ),
    'balanced-softmax': dict(
        name='balanced soft-max',
        config='baselines/balanced-softmax',
        grid={'head.loss_decode.tau': [1.0, 0.5, 0.25]},
    ),
    'focal-tversky': dict(
        name='focal Tversky',
        config='cross_entropy/ce',
        options={'head.loss_decode.type': 'FocalTverskyLoss'},
        grid={'head.loss_decode.gamma': [0.75, 1.0]},
    ),
    'unified-focal': dict(
        name='unified focal loss',
        config='cross_entropy/ce',
        options={'head.loss_decode.type': 'UnifiedFocalLoss'},
        grid={'head.loss_decode.gamma': [0.5, 0.2, 0.8]},
    ),
    'boundary': dict(
        name='boundary-weighted CE',
        config='cross_entropy/ce',
        options={'head.loss_decode.type': 'BoundaryWeightedLoss'},
        grid={'head.loss_decode.factor': [10.0, 3.0]},
    ),
    'blv': dict(
        name='BLV',
        config='cross_entropy/ce',
        options={'head.loss_decode.type': 'BLVLoss'},
        grid={'head.loss_decode.sigma': [6.0, 4.0]},
    ),
    'ce-cbs': dict(
        name='CE + sampling', config='class_balanced_sampling/ce-cbs', grid=__sampling, ours=True
    ),
    'lmp': dict(
        name='LMP',
        config='loss_max_pooling/lmp',
        grid={'head.loss_decode.p': [1.7, 1.3, 1.0]},
        ours=True,
    ),
    **{
        f'lmp-p{p}': dict(
            name=f'LMP, p = {p}',
            config='loss_max_pooling/lmp',
            options={'head.loss_decode.p': p},
            ours=True,
        )
        for p in (1.7, 1.3, 1.0)
    },
    'lmp-balanced': dict(
        name='LMP of balanced soft-max',
        config='loss_max_pooling/lmp',
        grid={
            'head.loss_decode.pixel_loss.type': ['LogitAdjustedLoss'],
            'head.loss_decode.pixel_loss.tau': [0.25, 0.5],
        },
        ours=True,
    ),
    'lmp-cbs': dict(
        name='LMP + sampling',
        config='class_balanced_sampling/lmp-cbs',
        grid={'head.loss_decode.p': [1.7, 1.3], **__sampling},
        ours=True,
    ),
    'recall': dict(
        name='recall loss',
        config='recall_loss/recall',
        grid={'head.loss_decode.normalizer': ['weight', 'valid', 'all']},
        ours=True,
    ),
    **{
        f'recall-{normalizer}': dict(
            name=f"recall loss, '{normalizer}'",
            config='recall_loss/recall',
            options={'head.loss_decode.normalizer': normalizer},
            ours=True,
        )
        for normalizer in ('weight', 'valid', 'all')
    },
    'recall-floor0': dict(
        name='recall loss, floor 0',
        config='recall_loss/recall',
        options={'head.loss_decode.floor': 0.0},
        ours=True,
    ),
    'recall-momentum': dict(
        name='recall loss, momentum',
        config='recall_loss/recall',
        grid={'head.loss_decode.momentum': [0.1, 0.02]},
        ours=True,
    ),
    'recall-cbs': dict(
        name='recall loss + sampling',
        config='class_balanced_sampling/recall-cbs',
        grid=__sampling,
        ours=True,
    ),
    **{
        f'{key}-lovasz{suffix}': dict(
            name=f'{name} + Lovász{what}',
            config=f'{folder or own_folder}/{key.removesuffix("-balanced")}{suffix}',
            options={'head.loss_decode': [loss, {'type': 'LovaszSoftmaxLoss'}], **options},
            ours=True,
        )
        for suffix, what, folder, options in (
            ('', '', None, {}),
            (
                '-cbs',
                ' + sampling',
                'class_balanced_sampling',
                {'train_dataloader.sampler.class_prob': 'rare'},
            ),
        )
        for key, (name, own_folder, loss) in __pairs.items()
    },
}

# The gains over cross-entropy that the papers and the first experiments promise.
targets = [
    dict(method='recall', score='mAcc', least=9.0, relative=True),
    dict(method='recall', score='mIoU', least=0.0, within_std=True),
    dict(method='lmp', score='mIoU', least=1.0),
    dict(method='lmp-cbs', score='mIoU_tail', least=5.0),
]
highlights = [
    'ce',
    'wce-median',
    'lovasz',
    'lmp',
    'lmp-balanced',
    'lmp-cbs',
    'recall',
    'recall-cbs',
]
