"""What the hooks that show a loss's weights have in common."""

from mmengine.hooks import Hook

from .record import PixelWeighting, WeightingRecorder


class WeightingHook(Hook):
    """Records how a loss weighs the batch of every ``interval``-th iteration, and shows it.

    A subclass sets ``_classes`` and ``_recorder`` before the training, and shows a weighting in
    :meth:`show`.

    Args:
        interval: Iterations ≥ 1 from one recorded batch to the next.
        loss: Path of the loss in the model, None for one of ``decode_head``.

    Raises:
        ValueError: If ``interval`` < 1; if logits and data set differ in their number of classes.
        RuntimeError: If the loss was not called in an iteration to be recorded.
    """

    _recorder: WeightingRecorder | None = None  # None: there is nothing to show
    _classes: tuple[str, ...]

    def __init__(self, interval: int = 50, loss: str | None = None) -> None:
        if not interval >= 1:
            raise ValueError(f'interval must be a number of iterations ≥ 1, got {interval}')
        self.interval = interval
        self.loss = loss

    def show(self, runner, weighting: PixelWeighting, data_batch: dict) -> None:
        """Shows the weighting of a batch; called in every process."""
        raise NotImplementedError

    def after_train(self, runner) -> None:
        """Stops recording."""
        if self._recorder:
            self._recorder.close()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Records the loss every ``interval`` iterations."""
        if self._recorder and self.every_n_train_iters(runner, self.interval):
            self._recorder.start()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Shows recorded iterations."""
        if not (self._recorder and self.every_n_train_iters(runner, self.interval)):
            return
        who = type(self).__name__
        weighting = self._recorder.take()  # in every process: a loss may communicate
        if weighting is None:
            raise RuntimeError(
                f'{who}: {self.loss or "the loss of decode_head"} took no part in the iteration; '
                'name another with its argument `loss`'
            )
        if weighting.num_classes != len(self._classes):
            raise ValueError(
                f'{who}: the loss gets logits of {weighting.num_classes} classes, the data set has '
                f'{len(self._classes)}; name another loss'
            )
        self.show(runner, weighting, data_batch)
