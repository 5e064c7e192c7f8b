"""Scores every class during training, for curves and for the sampler."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ..evaluation.confusion import class_scalars, class_scores
from ..losses.upsampled_logits import UpsampledLogits
from ..ops import class_counts
from ..utils.class_names import trained_classes
from ..utils.curves import add_curves
from ..utils.find_loss import find_losses, unwrapped
from ..utils.predicted_classes import predicted_classes, threshold_of
from ..utils.training_loop import by_epoch, samplers_of
from .neglected_classes import neglected_classes

KEY = 'class_feedback'
"""Key of the hook's state in checkpoints."""


@HOOKS.register_module()
class ClassFeedbackHook(Hook):
    """Running recall and IoU of every class on the training batches, as curves and as feedback.

    It hooks into a loss of the decode head, which gets logits and labels of full size anyway, and
    counts with the arg-max prediction. The objective, the model and its weights stay unchanged. It
    works with every loss that a head calls with (logits, label)::

        custom_hooks = [dict(type='ClassFeedbackHook', interval=50)]

    One batch in ``count_interval`` iterations is counted. A few numbers are summed over all
    processes, so that any of them can save a checkpoint that is right for all. Counting does not
    block; every ``interval`` iterations the counts are read. Then

    - ``train/recall/<class>`` and ``train/iou/<class>``, and ``train/class_prob/<class>`` if the
      training set is sampled by class, go to every back end of the visualizer;
    - a :class:`ClassBalancedInfiniteSampler` with ``class_prob='performance'`` gets the scores. The
      loader's workers hold ``num_workers * prefetch_factor`` batches drawn before, so feedback
      takes effect that many iterations later; without workers, in the next iteration.

    The first reading after a fifth of the training also warns in the log of frequent classes that
    the network recognises more rarely than a guess by frequency would, as happens with class
    weights that favour rare classes too much.

    Scores are measured on the training crops while the model learns from them. They are higher than
    on validation images, and reflect the sampler's class mix. Checkpoints save and resume the
    counts and the sampler's state (under ``'class_feedback'``, which a test or a training without
    the hook ignores).

    Args:
        interval: Iterations ≥ 1 between readings.
        momentum: Share in (0, 1] of a counted batch in the running counts.
        curves: Whether to write the curves.
        loss: Path in the model of the loss to hook into. None: the first loss of ``decode_head``,
            of the last head if there are several. Set it if that loss does not get the prediction
            itself: ``'decode_head.loss_decode.1'`` for PIDNet, ``'decode_head.0.loss_decode'`` for
            PointRend, whose last head sees selected points only.
        count_interval: Iterations ≥ 1 from one counted batch to the next. On a CPU, counting every
            second batch takes 0.2 to 0.8 % of a training step of the small networks shipped.

    Raises:
        ValueError: For arguments out of range; at the start of training, if the model has no such
            module; at the first iteration, if the loss is not called with the logits of all
            classes.
    """

    def __init__(
        self,
        interval: int = 50,
        momentum: float = 0.02,
        curves: bool = True,
        loss: str | None = None,
        count_interval: int = 2,
    ) -> None:
        if not interval >= 1:
            raise ValueError(f'interval must be a number of iterations ≥ 1, got {interval}')
        if not count_interval >= 1:
            raise ValueError(f'count_interval must be iterations ≥ 1, got {count_interval}')
        if not 0 < momentum <= 1:
            raise ValueError(f'momentum must be in (0, 1], got {momentum}')
        self.interval = interval
        self.momentum = momentum
        self.curves = curves
        self.loss = loss
        self.count_interval = count_interval
        self._counting = False
        self._batch: Tensor | None = None  # counts of the iteration
        self._counts: Tensor | None = None  # running counts
        self._loaded: dict | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Stores the saved state, since only the start of training shows if it is used."""
        self._loaded = checkpoint.get(KEY)

    def before_train(self, runner) -> None:
        """Hooks into the loss; a resumed run restores its counts."""
        self._classes = trained_classes(runner)
        samplers = samplers_of(runner.train_dataloader)
        fed = (s for s in samplers if hasattr(s, 'update') and hasattr(s, 'class_prob'))
        self._sampler = next(fed, None)
        loss = find_losses(runner.model, self.loss, type(self).__name__)[0]
        self._threshold = threshold_of(unwrapped(runner.model))
        self._handle = loss.register_forward_hook(self._count, with_kwargs=True)
        self._batch = self._counts = None
        if self._sampler is not None:
            self._sampler.expect_feedback()
            adaptive = getattr(self._sampler, 'adaptive', True)
            if adaptive and self.interval > runner.max_iters:
                runner.logger.warning(
                    f'ClassFeedbackHook never reports to the sampler: its interval is '
                    f'{self.interval} iterations, the training has {runner.max_iters}',
                )
        if runner.iter > 0:
            self._resume(runner)

    def after_train(self, runner) -> None:
        """Unhooks the loss."""
        self._handle.remove()

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Decides whether a batch is counted; the first one is."""
        self._counting = self._counts is None or runner.iter % self.count_interval == 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Adds the batch to the running counts, and reads them every ``interval`` iterations."""
        if self._counting:
            self._add_batch()
        if self.every_n_train_iters(runner, self.interval):
            counts = self._counts.cpu().numpy()
            scores = class_scores(counts)
            if self._is_early_check(runner):
                self._warn(runner, neglected_classes(counts, self._classes))
            if self._sampler is not None:
                self._sampler.update(scores, self._used_draws(runner, batch_idx))
            if self.curves:
                add_curves(runner.visualizer, self._scalars(scores), runner.iter + 1)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Saves counts and the sampler's state, the same in every process."""
        if self._counts is None:
            return
        state = dict(counts=self._counts.cpu())
        if self._sampler is not None:
            state['sampler'] = self._sampler.state_dict()
        checkpoint[KEY] = state

    def _is_early_check(self, runner) -> bool:
        """Whether this reading is the first one after a fifth of the training."""
        done, early = runner.iter + 1, runner.max_iters / 5
        return done - self.interval < early <= done

    @staticmethod
    def _warn(runner, neglected: list[str]) -> None:
        if neglected:
            runner.logger.warning(
                f'after {runner.iter + 1} iterations, training recognises frequent classes more '
                f'rarely than a guess by frequency: {", ".join(neglected)}. Class weights or '
                'sampling may favour rare classes too much; weigh classes more alike',
            )

    def _used_draws(self, runner, batch_idx: int) -> int:
        """Returns how many draws of this rank training has used up."""
        loader = runner.train_dataloader
        size = loader.batch_size or loader.batch_sampler.batch_size
        if not by_epoch(runner):
            return (runner.iter + 1) * size
        epoch = len(self._sampler)  # its last batch can be smaller
        return runner.epoch * epoch + min((batch_idx + 1) * size, epoch)

    def _add_batch(self) -> None:
        if self._batch is None:
            raise RuntimeError(
                'ClassFeedbackHook heard nothing: the module it listens at '
                f'({self.loss or "the first loss of decode_head"}) took no part in the iteration; '
                'name another with its argument `loss`'
            )
        batch, self._batch = self._batch, None
        all_reduce(batch)
        if self._counts is None:
            self._counts = batch.double()
        else:
            # Old pixels fade equally in all counts, so an absent class keeps its recall.
            counts = self._counts.to(batch.device)
            self._counts = torch.lerp(counts, batch.double(), self.momentum)

    def _resume(self, runner) -> None:
        if self._loaded is None:
            runner.logger.warning(
                'the checkpoint holds no class feedback: ClassFeedbackHook starts to count anew',
            )
            return
        counts = self._loaded['counts']
        if counts.shape != (3, len(self._classes)):
            raise ValueError(
                f'the checkpoint counts {counts.shape[1]} classes, the data set has '
                f'{len(self._classes)}; train anew instead of resuming'
            )
        self._counts = counts
        if self._sampler is not None and 'sampler' in self._loaded:
            self._sampler.load_state_dict(self._loaded['sampler'])

    @torch.no_grad()
    def _count(self, module: nn.Module, args: tuple, kwargs: dict, output) -> None:
        """Counts a call of the loss in training, but not OHEM's probing of single pixels."""
        probing = kwargs.get('reduction_override') == 'none'
        if probing or not (self._counting and module.training):
            return
        if len(args) < 2:
            raise ValueError(
                f'ClassFeedbackHook needs a loss that is called with logits and labels, in this '
                f'order; {type(module).__name__} got {len(args)} arguments'
            )
        logits, label = args[:2]
        num_classes = len(self._classes)
        ignore_index = kwargs.get('ignore_index', 255)
        if isinstance(logits, UpsampledLogits) and logits.shape[1] == num_classes:
            pred = logits.predictions(label, ignore_index)
        else:
            pred = self._predict(logits, num_classes, type(module).__name__)
        counts = class_counts(pred, label, num_classes, ignore_index)
        self._batch = counts if self._batch is None else self._batch + counts

    def _predict(self, logits: Tensor, num_classes: int, loss: str) -> Tensor:
        """Predicts every pixel's class from logits (N, C, …), or (N, 1, …) for two classes."""
        channels = logits.shape[1] if logits.dim() > 1 else 0
        if channels == num_classes or (channels, num_classes) == (1, 2):
            return predicted_classes(logits, self._threshold)
        raise ValueError(
            f'ClassFeedbackHook needs a loss that is called with logits (N, {num_classes}, …) of '
            f'the {num_classes} classes; {loss} got {tuple(logits.shape)}'
        )

    def _scalars(self, scores: dict) -> dict[str, float]:
        curves = {name.lower(): values for name, values in scores.items()}
        scalars = class_scalars('train', curves, self._classes)  # without unseen classes
        if self._sampler is not None:
            for cls, probability in self._sampler.class_prob.items():
                scalars[f'train/class_prob/{cls}'] = probability
        return scalars
