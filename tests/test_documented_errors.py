"""The errors on the page of troubleshooting are those that the code gives, word for word."""

import os
import re
import runpy
import signal
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tiny_run
import torch
from batches import draw_batch
from label_files import build, config, write_labels
from pages import ROOT
from tiny_data import tiny_dataset, write_label_maps

from lab.study.run import read_run
from mmseg_imbalance import registry
from mmseg_imbalance.datasets import class_statistics
from mmseg_imbalance.datasets.convert_synthia import read_class_ids
from mmseg_imbalance.evaluation.imbalance_metric import ImbalanceMetric
from mmseg_imbalance.hooks.non_finite_loss_hook import NonFiniteLossHook
from mmseg_imbalance.losses.loss_max_pooling import LossMaxPooling
from mmseg_imbalance.losses.recall_loss import RecallLoss
from mmseg_imbalance.sampling import class_balanced_sampler
from mmseg_imbalance.sampling.class_aware_random_crop import ClassAwareRandomCrop
from mmseg_imbalance.sampling.class_balanced_sampler import ClassBalancedInfiniteSampler
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.checkpoints import read_checkpoint

PAGE = 'docs/troubleshooting.md'
HOME = '/home/you/project'  # stands for the test's folder on the page
CAMVID = 'cross_entropy/ce_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'


def shown() -> dict[str, str]:
    """The text of every error on the page, by the anchor of its heading."""
    sections = re.findall(
        r'^### (.+?)\n\n```text\n(.*?)^```$', (ROOT / PAGE).read_text(), re.M | re.S
    )
    return {heading.lower().replace(' ', '-').replace("'", ''): text for heading, text in sections}


def fails(function, *args, **kwargs) -> str:
    with pytest.raises(Exception) as error:
        function(*args, **kwargs)
    return str(error.value)


def tool_fails(case, tool, *args, code=2) -> str:
    """The one line with which a tool ends."""
    before = signal.getsignal(signal.SIGTERM)
    case.monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    signal.signal(signal.SIGTERM, before)
    assert end.value.code == code
    (line,) = [s for s in case.capsys.readouterr().err.splitlines() if 'error: ' in s]
    return line.replace(tool, tool.split('/')[-1])


def data(case, pixels=((4, 2), (3, 0), (5, 0))):
    write_label_maps(case.path / 'data', pixels)
    return tiny_dataset(case.path / 'data')


def warned(case, act) -> str:
    """What the sampler warns of."""
    said = []
    case.monkeypatch.setattr(class_balanced_sampler, 'warn', said.append)
    act()
    return said[-1]


def run_and_read_warning(cfg, start='the checkpoint ') -> str:
    tiny_run.run(cfg)
    logs = sorted((ROOT / cfg.work_dir).glob('*/*.log'))
    return re.findall(rf'WARNING - ({start}.*)', logs[-1].read_text())[-1]


class Case:
    """An empty folder that is the working directory, and what a provocation may use."""

    def __init__(self, path, monkeypatch, capsys):
        self.path, self.monkeypatch, self.capsys = path, monkeypatch, capsys


def no_stack(case):
    case.monkeypatch.setattr(registry, 'HAS_STACK', False)
    return fails(registry.need_stack, 'mmseg_imbalance.hooks')


def old_stack(case):
    versions = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmsegmentation': '0.30.0'}
    case.monkeypatch.setattr(registry, '_installed', lambda names: {names[0]: versions[names[0]]})
    return fails(registry.check_stack)


def base_of_mmseg(case):
    (case.path / 'your_config.py').write_text("_base_ = 'mmseg::fcn/fcn_r50-d8.py'\n")
    return tool_fails(case, 'train.py', 'your_config.py')


def heads_in_a_list(case):
    (case.path / 'base.py').write_text("model = dict(auxiliary_head=[dict(type='FCNHead')])\n")
    child = "_base_ = 'base.py'\nmodel = dict(auxiliary_head=dict(num_classes=4))\n"
    (case.path / 'your_config.py').write_text(child)
    return tool_fails(case, 'train.py', 'your_config.py')


def damaged_checkpoint(case):
    path = checkpoint(case, {})
    path.write_bytes(path.read_bytes()[:-100])
    return fails(read_checkpoint, path)


def checkpoint_that_runs_code(case):
    class Trap:
        def __reduce__(self):
            return os.mkdir, ('trap',)

    error = fails(read_checkpoint, checkpoint(case, Trap()))
    assert not Path('trap').exists()
    return error


def checkpoint(case, content):
    path = Path('work_dirs/recall/iter_800.pth')
    path.parent.mkdir(parents=True)
    torch.save(dict(state_dict=content), path)
    return path


def other_toy_streets(case):
    (case.path / 'data/toy_streets').mkdir(parents=True)
    (case.path / 'data/toy_streets/meta.json').write_text(
        '{"version": 1, "seed": 0, "size": [256, 128]}'
    )
    return tool_fails(
        case, 'dataset_converters/toy_streets.py', 'data/toy_streets', '--seed', 1, '--nproc', 1
    )


def label_of_8_bits(case):
    cv2.imwrite('0000000.png', np.zeros((4, 4, 3), np.uint8))
    return fails(read_class_ids, Path('0000000.png'))


def bad_label_map(case):
    dataset = data(case)
    path = case.path / 'data/labels/00001.png'
    assert cv2.imwrite(str(path), np.full((8, 16), 11, np.uint8))
    return fails(class_statistics, dataset, nproc=1)


def stale_statistics(case):
    class_statistics(data(case), 'data/train.npz', nproc=1)
    (case.path / 'data/images/00002.png').unlink()
    return fails(class_statistics, tiny_dataset(case.path / 'data'), 'data/train.npz')


def camvid(case):
    case.path.joinpath('data').mkdir()
    write_labels(Path('data'))
    return build(config('data', pipeline=[dict(type='LoadAnnotations')]))


def deep_label_map(case):
    dataset = camvid(case)
    cv2.imwrite('data/labels/train/frame 1.png', np.zeros((7, 9), np.uint16))
    return fails(dataset.__getitem__, 1)


def changed_label_map(case):
    class_statistics(camvid(case), 'data/train.npz', nproc=1)
    cv2.imwrite('data/labels/train/frame 1.png', np.zeros((7, 9), np.uint8))
    return fails(class_statistics, build(config('data')), 'data/train.npz')


def damaged_statistics(case):
    statistics = class_statistics(camvid(case), 'data/train.npz', nproc=1)
    Path('data/train.npz').write_bytes(statistics.to_bytes()[:-100])
    return fails(ClassStatistics.load, 'data/train.npz')


def weight_that_is_nan(case):
    (case.path / 'work_dirs').mkdir()
    Path('work_dirs/weights.json').write_text('[1.0, NaN]')
    return fails(RecallLoss, class_weight='work_dirs/weights.json')


def run_without_summary(case):
    Path('work_dirs/run').mkdir(parents=True)
    Path('work_dirs/run/last_checkpoint').write_text('iter_2.pth')
    return fails(read_run, 'work_dirs/run')


def label_out_of_range(case):
    logits, label = draw_batch()
    label[0, 0, 0] = 11
    return fails(RecallLoss(), logits, label)


def negative_loss(case):
    loss = LossMaxPooling(pixel_loss=dict(type='CrossEntropyLoss', loss_weight=-1.0))
    return fails(loss, torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.int64))


def loss_per_class(case):
    loss = LossMaxPooling(pixel_loss=dict(type='CrossEntropyLoss', use_sigmoid=True))
    return fails(loss, *draw_batch())


def never_drawn(case):
    dataset = data(case)
    return warned(case, lambda: ClassBalancedInfiniteSampler(dataset, seed=0))


def nothing_to_draw(case):
    return fails(ClassBalancedInfiniteSampler, data(case), seed=0, min_pixels=1000)


def sampling_without_feedback(case):
    dataset = data(case)

    def draw():
        sampler = ClassBalancedInfiniteSampler(
            dataset, seed=0, class_prob='performance', min_pixels=1
        )
        draws = iter(sampler)
        for _ in range(1025):
            next(draws)

    return warned(case, draw)


def head_with_a_pixel_sampler(case):
    cfg = tiny_run.tiny_config(
        case.path,
        custom_hooks=[dict(type='FusedUpsamplingHook')],
        model__decode_head__type='FCNHead',
        model__decode_head__sampler=dict(type='OHEMPixelSampler', thresh=0.7),
    )
    cfg.model.decode_head.pop('dilations')
    return fails(tiny_run.run, cfg)


def hook_at_no_module(case):
    hook = [dict(type='ClassFeedbackHook', loss='decode_head.loss')]
    return fails(tiny_run.run, tiny_run.tiny_config(case.path, custom_hooks=hook))


def hook_at_another_module(case):
    hook = [dict(type='ClassFeedbackHook', loss='decode_head.conv_seg')]
    return fails(tiny_run.run, tiny_run.tiny_config(case.path, custom_hooks=hook))


def curves_of_another_loss(case):
    hook = [dict(type='WeightingCurvesHook', loss='decode_head.loss_decode')]
    loss = dict(type='CrossEntropyLoss')
    return fails(tiny_run.run, tiny_run.tiny_config(case.path, loss=loss, custom_hooks=hook))


def checkpoint_without_feedback(case):
    tiny_run.run(tiny_run.tiny_config(case.path, iters=1, custom_hooks=[]))
    cfg = tiny_run.tiny_config(case.path, iters=2, load_from=str(case.path / 'run/iter_1.pth'))
    cfg.resume = True
    return run_and_read_warning(cfg)


def frequent_classes_neglected(case):
    weights = dict(type='WeightedCrossEntropyLoss', class_weight=[0, 0, 1, 1])
    cfg = tiny_run.tiny_config(case.path, iters=20, augment=False, loss=weights)
    cfg.custom_hooks = [dict(type='ClassFeedbackHook', interval=20, momentum=0.9)]
    return run_and_read_warning(cfg, 'after ')


def parts_that_disagree(case):
    cfg = tiny_run.tiny_config(case.path, iters=1, model__decode_head__ignore_index=0)
    cfg.custom_hooks = [dict(type='ConsistencyHook')]
    return fails(tiny_run.run, cfg)


def no_network(case):
    cfg = tiny_run.tiny_config(case.path, iters=1)
    weights = dict(type='Pretrained', checkpoint='http://127.0.0.1:9/resnet18.pth')
    cfg.model.backbone.init_cfg = weights
    cfg.dump('your_config.py')
    case.monkeypatch.setenv('no_proxy', '127.0.0.1')
    return tool_fails(case, 'train.py', 'your_config.py')


def no_images(case):
    cfg = tiny_run.tiny_config(case.path, train_dataloader__dataset__img_suffix='.jpg')
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')  # which does not look for images
    cfg.dump('your_config.py')
    return tool_fails(case, 'train.py', 'your_config.py')


def no_memory(case):
    cfg = tiny_run.tiny_config(case.path, model__decode_head__channels=1 << 40)
    cfg.dump('your_config.py')
    line = tool_fails(case, 'train.py', 'your_config.py', code=1)
    return re.sub(r'\(.*\)', '(…)', line)  # the allocator's own words


def sampler_without_an_end(case):
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)
    endless = dict(_delete_=True, type='InfiniteSampler')
    cfg = tiny_run.tiny_config(case.path, train_cfg=loop, train_dataloader__sampler=endless)
    cfg.custom_hooks = [dict(type='ConsistencyHook')]
    return fails(tiny_run.run, cfg)


def one_channel(case):
    return fails(RecallLoss(), torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64))


def labels_that_do_not_fit(case):
    label = torch.zeros(2, 64, 64, dtype=torch.int64)
    return fails(RecallLoss(), torch.zeros(2, 5, 16, 16), label)


def statistics_of_other_classes(case):
    class_statistics(data(case), 'data/train.npz', nproc=1)
    metric = ImbalanceMetric(statistics='data/train.npz')
    return fails(setattr, metric, 'dataset_meta', dict(classes=('road', 'car')))


def weights_without_statistics(case):
    return fails(RecallLoss(class_weight='median_frequency'), *draw_batch())


def loss_not_finite(case):
    logits, label = draw_batch()
    logits[0, :, 5, 7], label[0, 5, 7] = torch.nan, 2
    loss, hook = LossMaxPooling(), NonFiniteLossHook()
    model = torch.nn.ModuleDict(dict(decode_head=torch.nn.ModuleDict(dict(loss_decode=loss))))
    dataset = SimpleNamespace(metainfo=dict(classes=('sky', 'building', 'pole', 'road', 'car')))
    loader = SimpleNamespace(dataset=dataset)
    hook.before_train(runner := SimpleNamespace(model=model, train_dataloader=loader, iter=1233))
    sample = dict(img_path='data/camvid/images/train/0001TP_006690.png')
    hook.before_train_iter(runner, 0, dict(data_samples=[sample]))
    return fails(loss, logits, label)


PROVOKED = {
    'no-stack': no_stack,
    'a-stack-that-is-too-old': old_stack,
    'a-damaged-checkpoint': damaged_checkpoint,
    'a-checkpoint-that-could-run-code': checkpoint_that_runs_code,
    'no-config': lambda case: tool_fails(case, 'train.py', 'configs/my_config.py'),
    'a-base-of-mmsegmentation': base_of_mmseg,
    'auxiliary-heads-in-a-list': heads_in_a_list,
    'no-data': lambda case: tool_fails(case, 'train.py', ROOT / 'configs' / CAMVID),
    'no-checkpoint': lambda case: tool_fails(
        case, 'test.py', ROOT / 'configs' / CAMVID, 'work_dirs/recall/iter_800.pth'
    ),
    'slurm-without-a-gpu': lambda case: (
        (case.path / 'your_config.py').write_text('train_dataloader = dict(batch_size=1)\n')
        and tool_fails(case, 'train.py', 'your_config.py', '--launcher', 'slurm')
    ),
    'other-toy-streets-in-the-folder': other_toy_streets,
    'a-synthia-label-that-was-converted-before': label_of_8_bits,
    'label-maps-that-cannot-be-counted': bad_label_map,
    'statistics-of-other-label-maps': stale_statistics,
    'a-label-map-that-would-be-read-as-other-ids': deep_label_map,
    'label-maps-that-have-changed-since-they-were-counted': changed_label_map,
    'a-damaged-statistics-file': damaged_statistics,
    'class-weights-that-are-no-weights': weight_that_is_nan,
    'class-weights-in-a-pickle': lambda case: fails(
        RecallLoss, class_weight='work_dirs/weights.pkl'
    ),
    'a-run-without-a-record-of-itself': run_without_summary,
    'no-statistics-file': lambda case: fails(ClassStatistics.load, 'data/train.npz'),
    'statistics-of-other-classes': statistics_of_other_classes,
    'a-label-out-of-range': label_out_of_range,
    'class-weights-of-another-number-of-classes': lambda case: fails(
        RecallLoss(class_weight=[1.0] * 19), *draw_batch()
    ),
    'class-weights-by-name-without-statistics': weights_without_statistics,
    'no-file-of-class-weights': lambda case: fails(
        RecallLoss, class_weight='work_dirs/weights.json'
    ),
    'no-images': no_images,
    'no-memory': no_memory,
    'no-network': no_network,
    'parts-of-a-config-that-disagree': parts_that_disagree,
    'a-sampler-without-an-end': sampler_without_an_end,
    'one-channel': one_channel,
    'labels-that-do-not-fit': labels_that_do_not_fit,
    'a-name-that-is-not-trained': lambda case: fails(LossMaxPooling, loss_name='lmp'),
    'running-counts-of-a-copied-model': lambda case: fails(deepcopy, RecallLoss(momentum=0.1)),
    'negative-losses-cannot-be-pooled': negative_loss,
    'a-loss-per-class-cannot-be-pooled': loss_per_class,
    'the-loss-is-nan-or-infinite': loss_not_finite,
    'a-class-is-never-drawn': never_drawn,
    'no-class-can-be-drawn': nothing_to_draw,
    'sampling-without-feedback': sampling_without_feedback,
    'the-crop-needs-frequencies': lambda case: fails(
        ClassAwareRandomCrop, crop_size=(512, 1024), class_prob='rare'
    ),
    'a-head-that-cannot-be-fused': head_with_a_pixel_sampler,
    'the-hook-finds-no-loss': hook_at_no_module,
    'the-hook-listens-at-the-wrong-module': hook_at_another_module,
    'curves-of-a-loss-that-does-not-weigh': curves_of_another_loss,
    'a-checkpoint-without-feedback': checkpoint_without_feedback,
    'a-frequent-class-is-neglected': frequent_classes_neglected,
}


@pytest.mark.parametrize('anchor', PROVOKED)
def test_error_is_shown_word_for_word(anchor, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    message = PROVOKED[anchor](Case(tmp_path, monkeypatch, capsys))
    message = ' '.join(message.replace(str(tmp_path), HOME).split())
    expected = ' '.join(shown()[anchor].split())
    if expected.endswith(' …'):  # the rest depends on the release of PyTorch
        assert message.startswith(expected[:-2])
    else:
        assert message == expected


def test_every_error_on_the_page_is_provoked():
    text = (ROOT / PAGE).read_text()
    assert list(shown()) and set(shown()) == set(PROVOKED)
    assert text.count('```text') == len(PROVOKED)
