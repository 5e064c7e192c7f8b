"""How a runner's training loop counts, and what loops and their data loaders consist of."""

from mmengine.runner import EpochBasedTrainLoop


def by_epoch(runner) -> bool:
    """Whether a training counts epochs, not iterations, which MMEngine treats as one epoch."""
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def samplers_of(dataloader) -> list:
    """Returns the samplers of images of a data loader, also the one inside a batch sampler."""
    outer = getattr(dataloader, 'sampler', None)
    inner = getattr(getattr(dataloader, 'batch_sampler', None), 'sampler', None)
    return list(dict.fromkeys(sampler for sampler in (outer, inner) if sampler is not None))


def metrics_of(loop) -> list:
    """Returns the metrics of a loop that validates or tests; of none, or another one, nothing."""
    return getattr(getattr(loop, 'evaluator', None), 'metrics', [])
