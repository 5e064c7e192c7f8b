"""Class-balanced sampling in trainings by epochs: they end, go on in the stream, and resume."""

import itertools

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmseg.registry import DATA_SAMPLERS
from tiny_data import tiny_dataset
from tiny_run import PIXELS, tiny_config
from tiny_run import run as run_training

from mmseg_imbalance.sampling import epochs

SIZE = len(PIXELS)  # 9 images, in batches of 7 and 2


class DrawsHook(Hook):
    """Keeps the images of every iteration, and ends a training before an epoch."""

    def __init__(self, stop=None):
        self.kept, self.stop = [], stop

    def before_train_epoch(self, runner):
        if runner.epoch == self.stop:
            raise KeyboardInterrupt

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        names = [sample.img_path[-9:-4] for sample in data_batch['data_samples']]
        self.kept.append((runner.epoch, [int(name) for name in names]))


def train(folder, epochs, stop=None, hooks=(), resume=False, **options):
    loop = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=epochs)
    saving = dict(_delete_=True, type='CheckpointHook', interval=1)
    cfg = tiny_config(
        folder, train_cfg=loop, default_hooks__checkpoint=saving, augment=False,
        train_dataloader__sampler__seed=5, train_dataloader__batch_size=7,
        model__decode_head__dropout_ratio=0, **options,
    )  # fmt: skip
    draws = DrawsHook(stop)
    cfg.custom_hooks += list(hooks)
    cfg.experiment_name = cfg.visualizer.name = f'{folder} {stop} {resume}'
    cfg.resume = resume
    try:
        runner = run_training(cfg, draws)
    except KeyboardInterrupt:
        assert stop is not None
        return draws.kept, None
    return draws.kept, runner


def stream(folder, count):
    """The first draws of the sampler, without a training, also after one."""
    sampler = DATA_SAMPLERS.build(
        dict(
            type='ClassBalancedInfiniteSampler', seed=5, min_pixels=4, class_prob='rare',
            dataset=tiny_dataset(folder / 'data'),
        )
    )  # fmt: skip
    return list(map(int, itertools.islice(sampler, count)))


@pytest.mark.elsewhere
@pytest.mark.parametrize('workers', [0, 2])
def test_epochs_end_and_go_on_in_the_stream(tmp_path, workers):
    rare = dict(train_dataloader__sampler__class_prob='rare')
    kept, runner = train(tmp_path, 3, workers=workers, **rare)
    assert runner.epoch == 3 and runner.iter == 3 * 2 == runner.max_iters
    assert [epoch for epoch, _ in kept] == [0, 0, 1, 1, 2, 2]
    assert [len(images) for _, images in kept] == [7, 2] * 3
    assert sum((images for _, images in kept), []) == stream(tmp_path, 3 * SIZE)
    assert {p.name for p in (tmp_path / 'run').glob('epoch_*.pth')} == {
        f'epoch_{n}.pth' for n in (1, 2, 3)
    }


@pytest.mark.elsewhere
def test_epochs_go_on_beside_another_runner(tmp_path, monkeypatch):
    """MMEngine's current message hub is that of the runner which was built last."""
    monkeypatch.setattr(epochs, '_info', lambda key: None)
    rare = dict(train_dataloader__sampler__class_prob='rare')
    kept, runner = train(tmp_path, 3, hooks=[dict(type='ConsistencyHook')], **rare)
    assert runner.epoch == 3
    monkeypatch.undo()
    assert sum((images for _, images in kept), []) == stream(tmp_path, 3 * SIZE)


@pytest.mark.parametrize('hook', [True, False], ids=['known', 'unknown to the sampler'])
def test_a_single_epoch_ends(tmp_path, hook):
    rare = dict(train_dataloader__sampler__class_prob='rare')
    hooks = [dict(type='ConsistencyHook')] * hook
    kept, runner = train(tmp_path, 1, hooks=hooks, **rare)
    assert runner.epoch == 1 and (tmp_path / 'run/epoch_1.pth').is_file()
    assert len(kept) == 2 if hook else len(kept) == 3
    draws = stream(tmp_path, 3 * SIZE)
    assert len(draws) == 3 * SIZE and draws[:7] == kept[0][1]


@pytest.mark.elsewhere
@pytest.mark.parametrize('class_prob', ['rare', 'performance'])
def test_resumed_exactly(tmp_path, class_prob):
    options = dict(train_dataloader__sampler__class_prob=class_prob)
    straight, runner = train(tmp_path / 'straight', 4, **options)
    begun, _ = train(tmp_path / 'stopped', 4, stop=2, **options)
    resumed, again = train(tmp_path / 'stopped', 4, resume=True, **options)
    assert begun + resumed == straight and len(begun) == 4
    for one, two in zip(runner.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_an_epoch_begun_anew_is_whole(tmp_path, monkeypatch):
    """MMEngine resumes such an epoch at its start, but counts iterations from where it was."""
    noted = dict(loop_stage='train', epoch=2, max_epochs=3, max_iters=6, iter=5)
    hub = MessageHub.get_current_instance()
    monkeypatch.setattr(hub, 'get_info', lambda key, default=None: noted.get(key, default))
    tiny_config(tmp_path)  # writes the images
    draws = []
    for draw in DATA_SAMPLERS.build(
        dict(
            type='ClassBalancedInfiniteSampler', seed=5, min_pixels=4, class_prob='rare',
            dataset=tiny_dataset(tmp_path / 'data'),
        )
    ):  # fmt: skip
        draws.append(int(draw))
        noted['iter'] += 1
    noted.clear()
    assert draws == stream(tmp_path, 3 * SIZE)[2 * SIZE :]


def test_length_is_that_of_a_rank(tmp_path, monkeypatch):
    target = 'mmseg_imbalance.sampling.class_balanced_sampler.get_dist_info'
    tiny_config(tmp_path)  # writes the images
    dataset = tiny_dataset(tmp_path / 'data')
    for rank, world_size, length in ((0, 1, 9), (1, 2, 5), (3, 4, 3)):
        monkeypatch.setattr(target, lambda of=(rank, world_size): of)
        cfg = dict(type='ClassBalancedInfiniteSampler', dataset=dataset, seed=0, min_pixels=4)
        assert len(DATA_SAMPLERS.build(cfg)) == length
