"""Two processes, half a batch each, against one process with the whole batch.

Everything runs in float64 under DistributedDataParallel, which averages the gradients, for several
steps of SGD with two images per process.
"""

from collections.abc import Sequence

import pytest
import torch
from batches import NUM_CLASSES, draw_batch
from mmseg.registry import MODELS
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_ranks import on_two_ranks

import mmseg_imbalance  # noqa: F401  (registers the losses, in the processes too)

pytestmark = pytest.mark.elsewhere
STEPS = 4
CLASS_WEIGHT = [0.5, 1.0, 2.0, 3.0, 0.1]
SYNC = dict(type='RecallLoss', sync=True)
EXACT = {
    'lmp': dict(type='LossMaxPooling'),
    'lmp-top': dict(type='LossMaxPooling', p=1, ratio=0.3),
    'lmp-mean': dict(type='LossMaxPooling', p=float('inf')),
    'lmp-weighted': dict(type='LossMaxPooling', class_weight=CLASS_WEIGHT, loss_weight=0.4),
    'lmp-focal': dict(type='LossMaxPooling', pixel_loss=dict(type='SoftmaxFocalLoss')),
    'recall': SYNC,
    'recall-valid': dict(SYNC, normalizer='valid', floor=0),
    'recall-all': dict(SYNC, normalizer='all'),
    'recall-weighted': dict(SYNC, class_weight=CLASS_WEIGHT, loss_weight=0.4),
    'recall-momentum': dict(SYNC, momentum=0.3),
    'recall-momentum-valid': dict(SYNC, momentum=0.3, normalizer='valid', num_classes=NUM_CLASSES),
}
ALIKE = {  # exact where every process has equally many valid pixels
    'focal': dict(type='SoftmaxFocalLoss'),
    'logit-adjusted': dict(type='LogitAdjustedLoss', prior=[0.5, 0.3, 0.15, 0.049, 0.001]),
    'weighted-valid': dict(
        type='WeightedCrossEntropyLoss', class_weight=CLASS_WEIGHT, normalizer='valid'
    ),
}
APART = {  # a process knows its own pixels only
    'lmp-batch': dict(type='LossMaxPooling', pool='batch'),
    'recall-apart': dict(type='RecallLoss'),
    'weighted': dict(type='WeightedCrossEntropyLoss', class_weight=CLASS_WEIGHT),
}
LOSSES = EXACT | ALIKE | APART


def unequal(step):
    """The second process has a quarter of the labels of the first, and lacks a class."""
    image, label = draw_batch(step, (4, NUM_CLASSES, 6, 8), ignored=0.1)
    label[2:, :, 2:] = 255
    label[2:][label[2:] == 1] = 0
    return image, label


def labelled(step):
    return draw_batch(step, (4, NUM_CLASSES, 6, 8), ignored=0)


def second_without_labels(step):
    """At odd steps the second process has nothing valid, at step 2 neither has."""
    image, label = draw_batch(step, (4, NUM_CLASSES, 6, 8))
    if step > 0:
        label[2 * (step % 2) :] = 255
    return image, label


def first_without_labels(step):
    image, label = second_without_labels(step)
    return image.flip(0), label.flip(0)


BATCHES = {f.__name__: f for f in (unequal, labelled, second_without_labels, first_without_labels)}


class Segmentor(nn.Module):
    def __init__(self, loss):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(NUM_CLASSES, NUM_CLASSES, 1)
        self.loss = MODELS.build(loss)

    def forward(self, image, label):
        return self.loss(self.conv(image), label)


def train(loss, batches, part=slice(None), wrap=lambda model: model):
    """Values, gradients and running counts of every step, on a part of the batch."""
    model = Segmentor(loss).double()
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    steps = []
    for step in range(STEPS):
        image, label = BATCHES[batches](step)
        optimizer.zero_grad()
        value = wrapped(image[part].double(), label[part])
        value.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        counts = getattr(model.loss, 'running_counts', torch.zeros(0)).clone()
        steps.append((value.detach(), gradient, counts))
        optimizer.step()
    return steps


def _on_rank(rank, folder):
    torch.set_num_threads(1)
    part = slice(2 * rank, 2 * rank + 2)
    results = {
        (batches, name): train(loss, batches, part, _as_mmengine_does)
        for batches in BATCHES
        for name, loss in LOSSES.items()
    }
    # The first process's buffers are sent to the others: at step 0, counts without a length.
    results['broadcast'] = train(
        EXACT['recall-momentum'], 'unequal', part, lambda m: DistributedDataParallel(m)
    )
    torch.save(results, f'{folder}/{rank}.pth')


def _as_mmengine_does(model):
    return DistributedDataParallel(model, broadcast_buffers=False)


@pytest.fixture(scope='module')
def ranks(tmp_path_factory) -> Sequence[dict]:
    folder = tmp_path_factory.mktemp('ranks')
    on_two_ranks(_on_rank, folder)
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


def compare(ranks, batches, name, key=None):
    """Whether the mean loss, the gradient and the counts of both equal those of one process."""
    first, second = (rank[key or (batches, name)] for rank in ranks)
    for one, a, b in zip(train(LOSSES[name], batches), first, second, strict=True):
        torch.testing.assert_close((a[0] + b[0]) / 2, one[0])
        for rank in (a, b):
            torch.testing.assert_close(rank[1], one[1], rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(rank[2], one[2])
        assert one[1].isfinite().all()


@pytest.mark.parametrize('batches', BATCHES)
@pytest.mark.parametrize('name', EXACT)
def test_equal_one_process_with_the_whole_batch(name, batches, ranks):
    compare(ranks, batches, name)


def test_running_counts_may_be_broadcast(ranks):
    compare(ranks, 'unequal', 'recall-momentum', 'broadcast')


@pytest.mark.parametrize('name', ALIKE)
def test_equal_one_process_where_all_have_equally_many_labels(name, ranks):
    compare(ranks, 'labelled', name)
    with pytest.raises(AssertionError):
        compare(ranks, 'unequal', name)


@pytest.mark.parametrize('name', APART)
def test_others_weigh_the_pixels_of_their_process(name, ranks):
    with pytest.raises(AssertionError):
        compare(ranks, 'labelled', name)


@pytest.mark.parametrize('name', LOSSES)
def test_a_process_without_labels_returns_zero(name, ranks):
    _, alone, neither, _ = ranks[1]['second_without_labels', name]
    assert alone[0] == neither[0] == 0
    assert ranks[0]['second_without_labels', name][1][0] > 0
    assert (neither[1] == 0).all() and not (alone[1] == 0).all()


@pytest.mark.parametrize('name', ('recall-momentum', 'recall-momentum-valid'))
def test_running_counts_of_both_move_with_the_labels_of_one(name, ranks):
    for rank in ranks:
        start, moved, kept, _ = (step[2] for step in rank['first_without_labels', name])
        assert start.shape == (2, NUM_CLASSES)
        assert not torch.equal(moved, start) and torch.equal(kept, moved)


def _evaluate(rank, folder):
    """Only the first process evaluates, as loops of one's own do."""
    loss = MODELS.build(SYNC).eval()
    if rank == 0:
        torch.save(loss(*draw_batch()), folder / 'loss.pt')


def test_an_evaluation_on_one_process_does_not_wait_for_the_other(tmp_path):
    on_two_ranks(_evaluate, tmp_path)
    alone = MODELS.build(dict(SYNC, sync=False))(*draw_batch())
    torch.testing.assert_close(torch.load(tmp_path / 'loss.pt'), alone)
