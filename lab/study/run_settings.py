"""Reads from configs the settings by which trainings are compared."""

import re
from collections.abc import Mapping

from mmseg_imbalance.utils.settings import flat_settings, type_name, type_of

# Settings that determine the weights and the scores of a run, apart from its seed ...
_SETTINGS = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'randomness',
    'default_hooks',
    'custom_hooks',
)
# ... without settings that affect only its speed, its logs and its files.
_VOLATILE = re.compile(
    r'randomness\.seed'
    r'|train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor)'
    r'|train_cfg\.(val_interval|val_begin|dynamic_intervals(\..*)?)'
    r'|default_hooks\.(timer|logger|checkpoint|visualization)(\..*)?'
)
_LOSS = re.compile(r'model\.decode_head\.(\d+\.)?loss_decode\.(\d+\.)?type')
_WATCHING = (
    'ConsistencyHook',
    'NonFiniteLossHook',
    'PixelWeightPictureHook',
    'PredictionWriterHook',
    'RunSummaryHook',
    'WeightingCurvesHook',
)


def validation_data(config: Mapping) -> dict[str, object]:
    """Returns the validation data: type of the data set and, if set, list of files and folders."""
    dataset = (config.get('val_dataloader') or {}).get('dataset', {})
    names = flat_settings({key: dataset.get(key) for key in ('type', 'ann_file', 'data_prefix')})
    unnamed = {'type': 'an unnamed data set'}
    return unnamed | {key: value for key, value in names.items() if value}


def readable_details(config: Mapping) -> dict[str, object]:
    """Returns network, optimizer, lr and batch size per process, None if the config has none."""
    model = config.get('model') or {}
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    backbone, head = model.get('backbone') or {}, model.get('decode_head') or {}
    head = head[-1] if isinstance(head, list) else head  # a cascade is named after its last head
    depth = f'-{backbone["depth"]}' if 'depth' in backbone else ''
    return {
        'network': f'{type_of(head)} on {type_of(backbone)}{depth}',
        'optimizer': type_of(optimizer),
        'lr': optimizer.get('lr'),
        'batch': (config.get('train_dataloader') or {}).get('batch_size'),
    }


def training_settings(config: Mapping, load_from: str | None = None) -> dict[str, object]:
    """Returns the config settings that determine a training, apart from its seed.

    Args:
        config: The config.
        load_from: The checkpoint that the training started with, even if it was resumed later.

    Returns:
        Values by dotted key, without settings that affect only speed, logs and files.
    """
    kept = {key: config.get(key) for key in _SETTINGS}
    kept['custom_hooks'] = _steering_hooks(config)
    kept['validated'] = (config.get('val_dataloader') or {}).get('dataset')
    kept['load_from'] = load_from
    flat = flat_settings(kept)
    return {key: value for key, value in flat.items() if not _VOLATILE.fullmatch(key)}


def loss_types(settings: Mapping[str, object]) -> set[str]:
    """Returns the types of all losses of the decode heads in :func:`training_settings`."""
    return {str(value) for key, value in settings.items() if _LOSS.fullmatch(key)}


def _steering_hooks(config: Mapping) -> list[dict]:
    """Returns the hooks that can change the training, with the arguments that can."""
    sampler = (config.get('train_dataloader') or {}).get('sampler') or {}
    kept = []
    for hook in config.get('custom_hooks') or []:
        name, hook = type_name(str(hook.get('type'))), dict(hook)
        if name == 'ClassFeedbackHook':
            if sampler.get('class_prob') != 'performance':
                continue  # nothing uses its feedback
            hook.pop('curves', None)
        elif name == 'ClassStatisticsHook':
            hook.pop('nproc', None)
            if hook.get('statistics') is None:
                continue  # losses that need this hook cannot train without it
        elif name in _WATCHING:
            continue
        kept.append(hook)
    return kept
