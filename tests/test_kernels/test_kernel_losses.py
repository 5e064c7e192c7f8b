"""Losses on the kernels are those without them; and how many kernels a step takes."""

import pytest
import torch
from kernel_device import DEVICE, ON_A_GPU, marks, use_kernels
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from mmseg_imbalance.losses import (
    LogitAdjustedLoss,
    LossMaxPooling,
    RecallLoss,
    SoftmaxFocalLoss,
    WeightedCrossEntropyLoss,
)
from mmseg_imbalance.losses.upsampled_logits import UpsampledLogits

pytestmark = marks
LOSSES = {
    'lmp': lambda: LossMaxPooling(),
    'lmp of the batch': lambda: LossMaxPooling(pool='batch', p=1.3, loss_weight=0.4),
    'lmp p = 1': lambda: LossMaxPooling(p=1),
    'lmp p = inf': lambda: LossMaxPooling(p=float('inf')),
    'recall': lambda: RecallLoss(),
    'recall with class weights': lambda: RecallLoss(class_weight=[1.0, 2, 3, 4, 5]),
    'running recall': lambda: RecallLoss(momentum=0.3, num_classes=5),
    'focal': lambda: SoftmaxFocalLoss(),
    'weighted': lambda: WeightedCrossEntropyLoss([1.0, 2, 3, 4, 5]),
    'logit adjusted': lambda: LogitAdjustedLoss(prior=[0.5, 0.2, 0.1, 0.1, 0.1]),
}
every_loss = pytest.mark.parametrize('make', LOSSES.values(), ids=LOSSES)


def draw(size=(9, 11)):
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 5, 9, 11, generator=g)
    label = torch.randint(5, (2, *size), generator=g)
    label[torch.rand(label.shape, generator=g) < 0.2] = 255
    return logits.to(DEVICE), label.to(DEVICE)


def step(make, logits, label, reduction=None):
    x = logits.clone().requires_grad_()
    seen = x
    if x.shape[2:] != label.shape[1:]:
        seen = UpsampledLogits(x, label.shape[1:], align_corners=False)
    loss = make().to(DEVICE)
    value = loss(seen, label, reduction_override=reduction)
    value.sum().backward()
    return value.detach(), x.grad


@every_loss
@pytest.mark.parametrize('size', [(9, 11), (18, 22)], ids=('as they are', 'upsampled'))
@pytest.mark.parametrize('reduction', (None, 'sum', 'none'))
def test_losses_are_those_without_kernels(make, size, reduction, monkeypatch):
    logits, label = draw(size)
    use_kernels(monkeypatch, False)
    expected, expected_grad = step(make, logits, label, reduction)
    use_kernels(monkeypatch, True)
    value, grad = step(make, logits, label, reduction)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    largest = float(expected_grad.abs().max())
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-5 * largest)


class Unusual(SoftmaxFocalLoss):
    """Weights that broadcast, and one number for all divisors."""

    def weigh(self, scores, seg_label, valid):
        weight = torch.arange(1.0, seg_label.shape[2] + 1, device=valid.device)
        return weight[None, None], valid.sum()[None].expand(len(valid))


@pytest.mark.parametrize('loss_weight', (2, torch.tensor(0.3)))
def test_what_else_a_loss_may_do(loss_weight, monkeypatch):
    logits, label = draw()

    def make():
        weight = loss_weight
        if isinstance(weight, torch.Tensor):  # learned
            weight = torch.nn.Parameter(weight.clone().to(DEVICE))
        return Unusual(loss_weight=weight)

    use_kernels(monkeypatch, False)
    expected, expected_grad = step(make, logits, label)
    use_kernels(monkeypatch, True)
    value, grad = step(make, logits, label)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-7)


@every_loss
def test_without_a_valid_pixel_the_loss_is_0(make, monkeypatch):
    logits, label = draw()
    use_kernels(monkeypatch, True)
    value, grad = step(make, logits, torch.full_like(label, 255))
    assert value == 0 and not grad.any()


@pytest.mark.filterwarnings('ignore::UserWarning')  # the profiler's
@pytest.mark.parametrize(
    ('name', 'launches'), [('lmp', 14), ('lmp p = 1', 14), ('recall', 20), ('weighted', 11)]
)
def test_kernels_of_a_step(name, launches, monkeypatch):
    use_kernels(monkeypatch, True)
    logits, label = draw()
    loss, x = LOSSES[name]().to(DEVICE), logits.requires_grad_()
    loss.check_labels = False  # as on a GPU

    def step():
        x.grad = None
        loss(x, label).backward()

    step()
    if ON_A_GPU:
        assert profiled_launches(step) <= launches + 2  # some reductions take two
    else:
        assert Launches.of(step, monkeypatch) == launches


def profiled_launches(step):
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    on_device = torch.autograd.DeviceType.CUDA
    return sum(event.device_type == on_device for event in profile.events())


class Launches(TorchDispatchMode):
    """Counts what a GPU would launch: PyTorch's operations that compute, and the kernels."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        allocates = 'empty' in operation.overloadpacket.__name__
        is_view = any(r.alias_info and not r.alias_info.is_write for r in operation._schema.returns)
        self.count += not (allocates or is_view or operation is torch.ops.aten.detach.default)
        return operation(*args, **(kwargs or {}))

    @classmethod
    def of(cls, step, monkeypatch):
        from triton.runtime.interpreter import GridExecutor

        launches, launch = cls(), GridExecutor.__call__

        def counted(self, *args, **kwargs):
            launches.count += 1
            with _disable_current_modes():
                return launch(self, *args, **kwargs)

        monkeypatch.setattr(GridExecutor, '__call__', counted)
        with launches:
            step()
        return launches.count
