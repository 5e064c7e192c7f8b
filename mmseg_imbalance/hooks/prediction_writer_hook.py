"""A hook that saves the predicted label maps of a test run."""

import numpy as np
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ..datasets.wrappers import image_folder, plain_datasets
from ..evaluation.predictions import prediction_path
from ..utils.files import write_atomically
from ..utils.images import encode_png


@HOOKS.register_module()
class PredictionWriterHook(Hook):
    """Writes every test prediction as a PNG of class indices.

    :func:`mmseg_imbalance.evaluation.prediction_path` names the files. Unlike with
    ``IoUMetric(output_dir=…)``, images of the same base name do not overwrite one another.

    The files have one channel of 8 bits, or of 16 if an index is above 255, and the original
    image's size. For a data set with ``reduce_zero_label``, they hold the index plus one, like its
    label files.

    Args:
        out_dir: Folder to write to; created if missing.

    Example:
        >>> custom_hooks = [dict(type='PredictionWriterHook', out_dir='predictions')]
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = out_dir

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Writes the predictions of one batch."""
        dataset = runner.test_dataloader.dataset
        image_dir = image_folder(dataset)
        reduced = any(getattr(d, 'reduce_zero_label', False) for d in plain_datasets(dataset))
        for sample in outputs:
            index = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            if sample.get('reduce_zero_label', reduced):
                index = index + 1
            path = prediction_path(self.out_dir, sample.img_path, image_dir)
            # Several ranks may have the same last samples, so each file is written atomically.
            dtype = np.uint8 if index.max(initial=0) <= 255 else np.uint16
            write_atomically(path, encode_png(index.astype(dtype)))
