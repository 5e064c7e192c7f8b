"""Fifty iterations in half precision: nothing overflows, and the losses are those of float32."""

import numpy as np
import pytest
import references
import torch
from batches import NUM_CLASSES, draw_batch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS
from tiny_run import run, tiny_config
from torch import nn

from mmseg_imbalance.utils.run_config import enable_amp

ITERATIONS = 50
LMP, RECALL = dict(type='LossMaxPooling'), dict(type='RecallLoss')
LOSSES = (
    LMP,
    dict(LMP, p=1),
    dict(LMP, pool='batch'),
    RECALL,
    dict(RECALL, floor=0, normalizer='valid'),
    dict(RECALL, momentum=0.1),
    dict(type='SoftmaxFocalLoss'),
    dict(type='WeightedCrossEntropyLoss', class_weight=[0.5, 1, 2, 3, 9]),
    dict(type='LogitAdjustedLoss', prior=[0.5, 0.3, 0.15, 0.049, 0.001]),
)
HALF = (torch.float16, torch.bfloat16)


def name(loss):
    return '-'.join(str(value) for value in loss.values())


@HOOKS.register_module(force=True)
class PrecisionHook(Hook):
    """Keeps what the loss was called with, what it returned, and the gradient of the weights.

    ``again``: what it returns without autocast for the same batch, weights and dropout.
    """

    def __init__(self, compare=False):
        self.compare = compare

    def before_train(self, runner):
        self.calls, self.again, self.finite = [], [], []
        self.loss = runner.model.decode_head.loss_decode
        self.loss.register_forward_hook(self._keep)

    def _keep(self, loss, args, output):
        self.calls.append((args[0].detach(), args[1], output.item()))

    @torch.no_grad()
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.compare:
            random_state = torch.get_rng_state()
            runner.model(**runner.model.data_preprocessor(data_batch, True), mode='loss')
            torch.set_rng_state(random_state)
            self.again.append(self.calls.pop()[2])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        gradients = [p.grad for p in runner.model.parameters() if p.grad is not None]
        self.finite.append(all(gradient.isfinite().all() for gradient in gradients))

    @property
    def values(self):
        return np.array([value for _, _, value in self.calls])


def train(folder, loss, prepare=lambda cfg: None, **hook):
    cfg = tiny_config(folder, iters=ITERATIONS, loss=loss, train_dataloader__batch_size=4)
    cfg.custom_hooks = [dict(type='PrecisionHook', **hook)]
    prepare(cfg)
    runner = run(cfg)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    return next(h for h in runner.hooks if isinstance(h, PrecisionHook))


def in_float64(loss, logits, label):
    """The loss of half-precision logits, by the references."""
    if loss['type'] == 'RecallLoss':
        return references.recall_loss(logits.float(), label, floor=1, normalizer='weight')
    total = 0.0
    for image, mask in zip(logits.double(), label.flatten(1), strict=True):
        pixels, classes = image.flatten(1).T[mask != 255], mask[mask != 255]
        losses = nn.functional.cross_entropy(pixels, classes, reduction='none').numpy()
        total += references.max_pooling_weights(losses, p=1.7, ratio=0.25) @ losses
    return total / len(label)


@pytest.fixture(scope='module', params=(LMP,), ids=name)
def on_a_cpu(request, tmp_path_factory):
    """A training as of ``tools/train.py --amp`` without a GPU."""
    folder = tmp_path_factory.mktemp('amp')
    return request.param, folder, train(folder, request.param, enable_amp, compare=True)


@pytest.mark.elsewhere
def test_fifty_iterations_on_a_cpu(on_a_cpu):
    loss, _, seen = on_a_cpu
    assert len(seen.calls) == len(seen.finite) == ITERATIONS and all(seen.finite)
    for logits, label, value in seen.calls:
        assert logits.dtype == torch.bfloat16
        # 1e-2 would let a loss pass that is computed in bfloat16
        assert value == pytest.approx(in_float64(loss, logits, label), rel=1e-4)


def test_autocast_changes_the_loss_of_the_same_weights_by_less_than_a_hundredth(on_a_cpu):
    """Unlike that of recall loss, whose weights count predictions, and these change sides."""
    _, _, seen = on_a_cpu
    np.testing.assert_allclose(seen.values, seen.again, rtol=1e-2)
    assert (seen.values != seen.again).all()


@pytest.mark.slow
def test_the_losses_of_a_float32_training_differ_by_less_than_a_hundredth(on_a_cpu):
    """One by one as long as the weights are alike; later on average, as roundings add up."""
    loss, folder, seen = on_a_cpu
    full = train(folder / 'full', loss)
    assert all(logits.dtype == torch.float32 for logits, _, _ in full.calls)
    np.testing.assert_allclose(seen.values[:10], full.values[:10], rtol=1e-2)
    assert seen.values.mean() == pytest.approx(full.values.mean(), rel=1e-2)


@pytest.mark.parametrize('dtype', HALF, ids=str)
@pytest.mark.parametrize('loss', LOSSES, ids=name)
def test_fifty_steps_on_half_precision_logits(loss, dtype):
    """The loss scaled as by AmpOptimWrapper, whose first factor is 65536."""
    torch.manual_seed(0)
    features, label = draw_batch(shape=(2, NUM_CLASSES, 16, 16))
    model, criterion = nn.Conv2d(NUM_CLASSES, NUM_CLASSES, 1), MODELS.build(loss)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    values = []
    for _ in range(ITERATIONS):
        twin = MODELS.build(loss)
        twin.load_state_dict(criterion.state_dict())
        logits = model(features).to(dtype)
        logits.retain_grad()
        value = criterion(logits, label)
        assert value.item() == pytest.approx(twin(logits.double(), label).item(), rel=1e-4)
        (65536 * value).backward()
        assert logits.grad.isfinite().all() and logits.grad.dtype == dtype
        for parameter in model.parameters():
            parameter.grad /= 65536
        optimizer.step()
        optimizer.zero_grad()
        values.append(value.item())
    assert np.isfinite(values).all() and values[-1] < values[0]


@pytest.mark.parametrize('dtype', HALF, ids=str)
@pytest.mark.parametrize('loss', LOSSES, ids=name)
def test_the_largest_logits_do_not_overflow(loss, dtype):
    logits, label = draw_batch()
    logits = (logits.sign() * min(torch.finfo(dtype).max, 1e30)).to(dtype).requires_grad_()
    value = MODELS.build(loss)(logits, label)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ('float16', 'bfloat16'))
@pytest.mark.parametrize('loss', (LMP, RECALL), ids=name)
def test_fifty_iterations_on_a_gpu(loss, dtype, tmp_path):
    def prepare(cfg):
        enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
        if dtype == 'bfloat16':
            cfg.optim_wrapper.pop('loss_scale')
            cfg.optim_wrapper.type = 'BFloat16OptimWrapper'

    seen = train(tmp_path, loss, prepare)
    # the first loss scale may be too large for some gradients: their steps are left out
    assert len(seen.calls) == ITERATIONS and all(seen.finite[ITERATIONS // 2 :])
    for logits, label, value in seen.calls:
        # PyTorch 2.11 upsamples in float32 under autocast.
        assert logits.dtype in (getattr(torch, dtype), torch.float32)
        expected = in_float64(loss, logits.cpu(), label.cpu())
        assert value == pytest.approx(expected, rel=1e-4)
