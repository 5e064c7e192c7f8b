"""Trainings and tests whose parts contradict each other are refused, and both parts are named."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from tiny_data import CLASSES, TinyDataset, tiny_dataset, write_label_maps
from tiny_run import run as run_training
from tiny_run import tiny_config
from tiny_statistics import make_statistics

from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.hooks.consistency import InconsistentConfigError, check_consistency
from mmseg_imbalance.hooks.consistency_hook import ConsistencyHook, _check_losses_by_position
from mmseg_imbalance.utils.errors import ToolError

LOVASZ = dict(type='LovaszSoftmaxLoss')
HOOK = dict(
    custom_hooks=[dict(type='ConsistencyHook')], train_dataloader__sampler__class_prob='rare'
)
HEAD, DATA = 'model__decode_head__', 'train_dataloader__dataset__'


def first_transform(cfg, name):
    return next(step for step in cfg.train_dataloader.dataset.pipeline if step['type'] == name)


def refused(cfg):
    with pytest.raises(InconsistentConfigError) as error:
        run_training(cfg)
    assert isinstance(error.value, ToolError)
    return str(error.value)


@pytest.mark.elsewhere
def test_shipped_settings_agree(tmp_path):
    assert run_training(tiny_config(tmp_path, val=True, iters=2, **HOOK)).iter == 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {HEAD + 'ignore_index': 3},
            r'disagree about the ignored label: model.decode_head.ignore_index: 3; '
            r'train_dataloader.dataset.ignore_index, val_dataloader.dataset.ignore_index, '
            r'ClassAwareRandomCrop of train_dataloader.ignore_index.*: 255; give all',
        ),
        (
            {'val_evaluator__ignore_index': 0},
            r'ignored label: .*: 255; ImbalanceMetric of val_evaluator.ignore_index: 0',
        ),
        (
            {'model__data_preprocessor__seg_pad_val': 0},
            r'ignored label: .*: 255; model.data_preprocessor.seg_pad_val: 0',
        ),
        (
            {HEAD + 'num_classes': 5},
            r'number of classes: the classes of train_dataloader.dataset, .*: 4; '
            r'model.decode_head.num_classes: 5; set num_classes of each head',
        ),
        (
            {HEAD + 'loss_decode': dict(type='RecallLoss', num_classes=5)},
            r': 4; model.decode_head.loss_decode.num_classes: 5;',
        ),
        (
            {'val_dataloader__dataset__reduce_zero_label': True},
            r'ignored label: .*: 255|meaning of label 0: train_dataloader.dataset.'
            r'reduce_zero_label: False; val_dataloader.dataset.reduce_zero_label: True',
        ),
    ],
)
def test_refused_before_the_first_iteration(tmp_path, options, message):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK, **options)
    assert re.search(message, refused(cfg), re.DOTALL)
    assert not list((tmp_path / 'run').rglob('*.pth'))


@pytest.mark.elsewhere
def test_void_that_the_head_alone_ignores(tmp_path):
    """Label 0 is void: the sampler would draw it most, and it would weigh most."""
    cfg = tiny_config(tmp_path, iters=1, **{HEAD + 'ignore_index': 0}, **HOOK)
    assert 'train_dataloader.dataset.ignore_index' in refused(cfg)
    for part in (cfg.train_dataloader.dataset, first_transform(cfg, 'ClassAwareRandomCrop')):
        part.ignore_index = 0
    cfg.model.data_preprocessor.seg_pad_val = 0
    sampler = run_training(cfg).train_dataloader.sampler
    assert sampler.class_prob['common'] == 0 < sampler.class_prob['rare']


@pytest.mark.parametrize(
    ('transform', 'place'),
    [
        (dict(type='Pad', size=(32, 32)), r"Pad of train_dataloader.pad_val\['seg'\]"),
        (dict(type='RandomRotate', prob=1.0, degree=9), 'RandomRotate of train_dataloader.seg_pad'),
        (
            dict(type='RandomApply', transforms=[dict(type='RandomRotate', prob=1.0, degree=9)]),
            'RandomRotate of train_dataloader.seg_pad_val',
        ),
    ],
)
def test_padding_with_a_label_that_is_a_class_or_none(tmp_path, transform, place):
    cfg = tiny_config(tmp_path, iters=1, augment=False, **{HEAD + 'ignore_index': -1}, **HOOK)
    cfg.train_dataloader.dataset.ignore_index = -1
    cfg.model.data_preprocessor.seg_pad_val = -1
    cfg.train_dataloader.dataset.pipeline.insert(-1, transform)
    assert re.search(f'{place}.*: 255', refused(cfg))


def test_classes_left_out_are_255(tmp_path):
    metainfo = dict(classes=CLASSES[:3])
    options = {HEAD + 'num_classes': 3, HEAD + 'ignore_index': 9, DATA + 'ignore_index': 9}
    cfg = tiny_config(tmp_path, iters=1, augment=False, **options, **HOOK)
    cfg.train_dataloader.dataset.metainfo = metainfo
    cfg.model.data_preprocessor.seg_pad_val = 9
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    assert 'which turns the classes that it leaves out into: 255' in refused(cfg)


def test_classes_in_another_order(tmp_path):
    @DATASETS.register_module(force=True)
    class OtherOrder(TinyDataset):
        METAINFO = dict(classes=CLASSES[::-1], palette=[[0, 0, 0]] * 4)

    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.val_dataloader.dataset.type = 'OtherOrder'
    message = refused(cfg)
    assert 'val_dataloader.dataset has the classes absent, rare, middle, common, but ' in message


def test_another_name_is_a_warning(tmp_path):
    @DATASETS.register_module(force=True)
    class OtherName(TinyDataset):
        METAINFO = dict(classes=('usual', *CLASSES[1:]), palette=[[0, 0, 0]] * 4)

    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.val_dataloader.dataset.type = 'OtherName'
    run_training(cfg)
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'val_dataloader.dataset name classes differently: common / usual' in log


@pytest.mark.parametrize(
    ('kind', 'settings', 'refused'),
    [
        ('OtherKind', {}, True),
        ('OtherKind', dict(data_prefix=dict(img_path='images', seg_map_path='others')), False),
        ('OtherKind', dict(seg_map_suffix='_ids.png'), False),
        ('BaseSegDataset', dict(metainfo=dict(classes=CLASSES)), True),
    ],
    ids=['same files', 'other folder', 'other suffix', 'any kind'],
)
def test_label_0_of_another_kind_of_data_set(tmp_path, monkeypatch, kind, settings, refused):
    """Label files of one folder count in one way, those of another data set may count otherwise."""
    other_kind = type('OtherKind', (TinyDataset,), {})
    DATASETS.register_module(module=other_kind, force=True)
    warned, raised = [], []
    target = 'mmseg_imbalance.hooks.consistency.warn'
    monkeypatch.setattr(target, warned.append)
    write_label_maps(tmp_path, [[1, 2, 3]])
    train = tiny_dataset(tmp_path)
    same = dict(data_root=str(tmp_path), img_suffix='.png', data_prefix=train.data_prefix)
    for reduce_zero_label in (False, True):
        assert not warned + raised
        other = {**same, **settings, 'type': kind, 'reduce_zero_label': reduce_zero_label}
        datasets = dict(train=train, val=DATASETS.build(other))
        try:
            check_consistency(torch.nn.Module(), datasets, {})
        except InconsistentConfigError as error:
            raised.append(str(error))
    (message,) = raised if refused else warned
    assert message.startswith(
        'the parts of the config disagree about the meaning of label 0: train_dataloader.dataset.'
        'reduce_zero_label: False; val_dataloader.dataset.reduce_zero_label: True; set it alike '
    )
    assert len(warned + raised) == 1


def test_crop_with_the_statistics_of_other_classes(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, **HOOK)
    path = tmp_path / 'other.npz'
    make_statistics([[1, 10, 100, 1000, 9]]).save(path)
    crop = first_transform(cfg, 'ClassAwareRandomCrop')
    crop.update(class_prob='inverse', statistics=str(path))
    message = refused(cfg)
    assert (
        'the statistics of ClassAwareRandomCrop of train_dataloader has the classes class 0,'
        in message
    )


def test_a_data_set_in_wrappers(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, **HOOK)
    plain = cfg.train_dataloader.dataset
    parts = [dict(plain), dict(type='RepeatDataset', times=2, dataset=dict(plain, ignore_index=0))]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    assert 'train_dataloader.dataset (part 1).ignore_index: 0' in refused(cfg)


def test_heads_of_edges_have_classes_of_their_own():
    from mmseg_imbalance.hooks.consistency import _heads

    stdc = dict(
        type='STDCHead', in_channels=4, channels=4, num_convs=1, num_classes=2, out_channels=1,
        boundary_threshold=0.1, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )  # fmt: skip
    fcn = dict(type='FCNHead', in_channels=4, channels=4, num_convs=1, num_classes=4)
    model = torch.nn.Module()
    model.decode_head = MODELS.build(fcn)
    model.auxiliary_head = torch.nn.ModuleList([MODELS.build(stdc), MODELS.build(fcn)])
    assert list(_heads(model)) == ['model.decode_head', 'model.auxiliary_head.1']


def test_a_test_set_is_compared_with_the_model(tmp_path):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg, cfg.test_evaluator = dict(type='TestLoop'), dict(type='ImbalanceMetric')
    runner = run_training(cfg)
    assert 'mIoU' in runner.test()
    runner.test_evaluator.metrics[0].ignore_index = 7
    with pytest.raises(InconsistentConfigError, match='ImbalanceMetric of test_evaluator'):
        runner.test()


def test_a_sampler_without_an_end_in_a_loop_by_epochs(tmp_path):
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)
    endless = dict(_delete_=True, type='InfiniteSampler')
    cfg = tiny_config(tmp_path, train_cfg=loop, train_dataloader__sampler=endless)
    cfg.custom_hooks = [dict(type='ConsistencyHook')]
    message = refused(cfg)
    assert "'DefaultSampler', or train by iterations" in message and 'never ends' in message


@pytest.mark.elsewhere
def test_running_counts_under_the_moving_average(tmp_path):
    loss = dict(type='RecallLoss', momentum=0.1)
    cfg = tiny_config(tmp_path, loss=loss, train_dataloader__sampler__class_prob='rare')
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type='ConsistencyHook')]
    runner = run_training(cfg)
    assert runner.model.decode_head.loss_decode.running_counts.sum(1)[0] > 0
    with pytest.raises(ValueError, match='needs num_classes.*ConsistencyHook'):
        ExponentialMovingAverage(MODELS.build(loss))


def test_heads_that_take_losses_by_their_position():
    """DDRNet and PIDNet: another number of losses ends in an error about their index."""
    recall = dict(type='RecallLoss')
    sizes = dict(in_channels=4, channels=4, num_classes=3, norm_cfg=dict(type='BN'))
    model = torch.nn.Module()
    for type_, fitting in (('DDRHead', 2), ('PIDHead', 4)):
        for losses in (recall, [recall] * 3, [recall] * fitting):
            model.decode_head = MODELS.build(dict(sizes, type=type_, loss_decode=losses))
            if len(losses) == fitting and losses is not recall:
                _check_losses_by_position(model)
                continue
            message = f'model.decode_head is a {type_}, which takes {fitting} losses by their posi'
            with pytest.raises(InconsistentConfigError, match=message):
                _check_losses_by_position(model)


def test_one_channel_is_left_to_the_loss():
    """Which says what to do; one class is not a setting of the user's."""
    model = torch.nn.Module()
    model.decode_head = MODELS.build(
        dict(
            type='FCNHead', in_channels=4, channels=4, num_convs=1, num_classes=2, out_channels=1,
            threshold=0.5, loss_decode=dict(type='RecallLoss', momentum=0.1),
        )
    )  # fmt: skip
    ConsistencyHook().before_run(SimpleNamespace(model=model))
    with pytest.raises(ValueError, match='seg_logits have 1 channel.*out_channels=2'):
        model.decode_head.loss_decode(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2).long())


def test_a_loss_with_an_ignored_label_of_its_own(tmp_path):
    loss = dict(type='DiceLoss', ignore_index=3)
    cfg = tiny_config(tmp_path, iters=1, loss=loss, **HOOK)
    assert 'model.decode_head.loss_decode.ignore_index: 3' in refused(cfg)


def test_one_metric_that_agrees_is_enough(tmp_path):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.val_evaluator = [
        dict(type='ImbalanceMetric'), dict(type='IoUMetric', ignore_index=0, prefix='but common')
    ]  # fmt: skip
    assert run_training(cfg).iter == 1


def test_a_list_of_another_number_of_classes(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, **HOOK)
    first_transform(cfg, 'ClassAwareRandomCrop')['class_prob'] = [0.1] * 19
    assert 'ClassAwareRandomCrop of train_dataloader.class_prob: 19' in refused(cfg)


def test_a_class_named_twice(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, **HOOK)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('common', 'rare', 'rare', 'absent'))
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    assert "train_dataloader.dataset has 'rare' twice in its classes" in refused(cfg)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'ClassBalancedInfiniteSampler'])
def test_samplers_of_a_training_do_not_validate(tmp_path, sampler):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.val_dataloader.sampler = dict(type=sampler)
    assert f'{sampler} is for training' in refused(cfg)


@pytest.mark.elsewhere
def test_classes_of_the_tested_checkpoint(tmp_path):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg, cfg.test_evaluator = dict(type='TestLoop'), dict(type='ImbalanceMetric')
    runner = run_training(cfg)
    runner._load_from, runner._has_loaded = str(tmp_path / 'run/iter_1.pth'), False
    runner.test()
    data = runner.test_dataloader.dataset
    data._metainfo = dict(data.metainfo, classes=('middle', 'common', 'rare', 'absent'))
    runner._has_loaded = False
    message = (
        'test_dataloader.dataset has the classes middle.*training of the checkpoint has common'
    )
    with pytest.raises(InconsistentConfigError, match=message):
        runner.test()


@pytest.mark.elsewhere
def test_a_training_from_weights_of_other_classes_is_tested_as_its_own(tmp_path):
    cfg = tiny_config(tmp_path, val=True, iters=1, **HOOK)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg, cfg.test_evaluator = dict(type='TestLoop'), dict(type='ImbalanceMetric')
    run_training(cfg)
    checkpoint = torch.load(tmp_path / 'run/iter_1.pth', weights_only=False)
    checkpoint['meta']['dataset_meta'] = dict(classes=('middle', 'common', 'rare', 'absent'))
    torch.save(checkpoint, tmp_path / 'other.pth')
    cfg.load_from, cfg.work_dir = str(tmp_path / 'other.pth'), str(tmp_path / 'fine')
    assert 'mIoU' in run_training(cfg).test()


def test_ids_that_a_rotation_interpolates(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, augment=False, **HOOK)
    cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type='RandomRotFlip'))
    assert 'RandomRotFlip of train_dataloader interpolates' in refused(cfg)


@pytest.mark.parametrize('losses', ([LOVASZ], [dict(type='CrossEntropyLoss'), LOVASZ]))
def test_pixels_that_a_loss_of_regions_cannot_choose(losses, tmp_path):
    cfg = tiny_config(tmp_path, iters=1, augment=False, **HOOK)
    cfg.model.decode_head.loss_decode = losses
    cfg.model.decode_head.sampler = dict(type='OHEMPixelSampler', min_kept=10)
    sentence = refused(cfg)
    assert 'model.decode_head.sampler is OHEMPixelSampler' in sentence
    assert 'weight, but LovaszSoftmaxLoss has no losses of single pixels' in sentence


def test_transforms_of_others_with_names_that_mmseg_has(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, augment=False, **HOOK)
    for name in ('RandomCrop', 'Pad', 'RandomRotFlip'):
        cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type=f'Others{name}'))
        others = type(name, (), {'__call__': lambda self, results: results})
        TRANSFORMS.register_module(name=f'Others{name}', module=others, force=True)
    assert run_training(cfg).iter == 1


def warnings_of(cfg):
    """Trains; returns the warnings about settings."""
    run_training(cfg)
    log = next(Path(cfg.work_dir).rglob('*.log')).read_text()
    known = 'WARNING - (PolyLR |CheckpointHook saves|crops of|images are normalised|.*groups the)'
    return [line for line in log.splitlines() if re.search(known, line)]


def test_settings_that_are_rarely_meant_are_named(tmp_path):
    """All of them in one training."""
    cfg = tiny_config(tmp_path, iters=1, val=True, **HOOK, model__data_preprocessor__size=(64, 64))
    cfg.param_scheduler = [dict(type='PolyLR', end=1), dict(type='PolyLR', end=80, by_epoch=False)]
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    normalise = dict(type='Normalize', mean=[100] * 3, std=[50] * 3, to_rgb=True)
    cfg.train_dataloader.dataset.pipeline.insert(-1, normalise)
    file = tmp_path / 'of other images.npz'
    make_statistics([[900, 90, 9, 0]], CLASSES).save(file)
    cfg.val_evaluator.statistics = str(file)
    warned = warnings_of(cfg)
    for sentence in (
        'PolyLR changes by epoch, but the training counts iterations',
        'PolyLR ends at 80, but the training at 1',
        'CheckpointHook saves by epoch, but the training counts iterations',
        f'{file}, by which ImbalanceMetric groups the classes, is not of the training set: counted '
        'from 1 label maps, but the data set has 9',
        'crops of 32 x 32 pixels are padded to 64 x 64',
        'images are normalised twice, by Normalize of train_dataloader and data_preprocessor',
    ):
        assert sentence in warned.pop(0)
    assert not warned


def test_usual_settings_are_not_warned_about(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, val=True, **HOOK)
    cfg.param_scheduler = [dict(type='PolyLR', end=1, by_epoch=False)]
    file = tmp_path / 'train.npz'
    class_statistics(DATASETS.build(cfg.train_dataloader.dataset), file, nproc=1)
    cfg.val_evaluator.statistics = str(file)
    cfg.default_hooks.checkpoint.save_best = ['mIoU', 'mIoU_tail']
    assert not warnings_of(cfg)
    assert list((tmp_path / 'run').glob('best_mIoU_tail*.pth'))


def test_the_best_by_a_score_that_the_validation_lacks(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, val=True, **HOOK)
    cfg.default_hooks.checkpoint.save_best = 'mIoU_tail'
    message = "save_best is 'mIoU_tail', but ImbalanceMetric returns aAcc, mIoU, mAcc, mPrecision,"
    assert message in refused(cfg)


def test_an_endless_sampler_inside_a_batch_sampler(tmp_path):
    from mmengine.dataset import InfiniteSampler
    from mmengine.registry import DATA_SAMPLERS
    from torch.utils.data import BatchSampler

    if 'BatchSampler' not in DATA_SAMPLERS:
        DATA_SAMPLERS.register_module(module=BatchSampler)
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)
    cfg = tiny_config(tmp_path, train_cfg=loop)
    cfg.custom_hooks = [dict(type='ConsistencyHook')]
    cfg.train_dataloader.batch_sampler = dict(type='BatchSampler', drop_last=True)
    cfg.train_dataloader.sampler = dict(type=InfiniteSampler)
    assert 'InfiniteSampler never ends' in refused(cfg)


@pytest.mark.parametrize('hook', ['NonFiniteLoss', 'WeightingCurves', 'PixelWeightPicture'])
def test_classes_without_names(tmp_path, hook):
    cfg = tiny_config(tmp_path, iters=1, augment=False, loss=dict(type='LossMaxPooling'))
    cfg.custom_hooks = [dict(type=f'{hook}Hook')]
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.train_dataloader.dataset.type = 'BaseSegDataset'
    with pytest.raises(ValueError, match='train_dataloader.dataset has no names of classes: give'):
        run_training(cfg)


def test_a_contradiction_that_is_meant_is_a_warning(tmp_path):
    cfg = tiny_config(tmp_path, iters=1, **HOOK, val=True, val_evaluator__ignore_index=0)
    cfg.custom_hooks = [dict(type='ConsistencyHook', refuse=False)]
    assert run_training(cfg).iter == 1
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    assert 'WARNING - the parts of the config disagree about the ignored label' in log
