"""How a runner's training loop counts, and the samplers of a data loader."""

from mmengine.runner import EpochBasedTrainLoop


def by_epoch(runner) -> bool:
    """Whether a training counts epochs, not iterations, which MMEngine treats as one epoch."""
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def samplers_of(dataloader) -> list:
    """Returns the samplers of images of a data loader, also the one inside a batch sampler."""
    inner = getattr(getattr(dataloader, 'batch_sampler', None), 'sampler', None)
    return [dataloader.sampler, inner]
