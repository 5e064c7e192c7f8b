"""Training steps that are measured are steps of trainings."""

import torch
from mmengine.config import Config
from mmseg.utils import register_all_modules

import mmseg_imbalance
from lab.speed.tables import training_table
from lab.speed.training import Training, largest_batches, measure_training

CONFIG = 'loss_max_pooling/lmp-lovasz_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'


def test_every_step_trains_all_heads_with_its_loss(monkeypatch):
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(mmseg_imbalance.config_path(CONFIG))
    training = Training(cfg, 2, (64, 96), torch.device('cpu'), 'float32')
    head, seen = training.heads['decode_head'], []
    forward = type(head).loss
    monkeypatch.setattr(
        type(head),
        'loss',
        lambda self, *args: seen.append(self.loss_decode) or forward(self, *args),
    )
    for name, step in training.contestants().items():
        before = [p.detach().clone() for p in training.model.parameters()]
        step()
        changed = zip(before, training.model.parameters(), strict=True)
        assert not all(torch.equal(old, new) for old, new in changed), name
    kinds = [[type(loss).__name__ for loss in losses] for losses in seen]
    pair = ['LossMaxPooling', 'LovaszSoftmaxLoss']
    expected = ['CrossEntropyLoss'], ['LossMaxPooling'], ['RecallLoss'], pair
    assert kinds == [losses for losses in expected for _ in '12']
    assert 'loss_by_feat' not in vars(head)  # the fusion is undone


def test_steps_are_measured(monkeypatch):
    """What asks a GPU is replaced, which a test of the suite has not."""
    register_all_modules(init_default_scope=True)
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', lambda: None)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: 3 << 20)
    cfg = Config.fromfile(mmseg_imbalance.config_path(CONFIG))
    training = Training(cfg, 2, (64, 64), torch.device('cpu'), 'float32')
    measured = measure_training(training, repeats=1)
    assert [m.name for m in measured] == list(training.contestants())
    assert all(m.seconds > 0 and m.peak_bytes == 3 << 20 for m in measured)
    assert '| LMP, fused' in training_table(measured)


def test_largest_batch_is_the_last_that_fits(monkeypatch):
    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(mmseg_imbalance.config_path(CONFIG))
    training = Training(cfg, 2, (64, 64), torch.device('cpu'), 'float32')

    def step(self, losses, fused):
        images = len(self.batch['inputs'])
        if images > (3 if fused else 2):
            raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Training, 'step', step)
    found = largest_batches(training, tried=[2, 3, 4])
    assert found == {name: 3 if 'fused' in name else 2 for name in found} and len(found) == 8
    none = largest_batches(training, tried=[9])
    assert set(none.values()) == {0}
