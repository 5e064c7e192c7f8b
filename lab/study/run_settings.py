"""What a training's config says about it, for comparing trainings."""

import re
from collections.abc import Mapping

from mmengine.config import Config

# What makes the weights and the scores of a run, apart from its seed ...
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
# ... without what makes a difference to its speed, its logs and its files alone.
_VOLATILE = re.compile(
    r'randomness\.seed'
    r'|train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor)'
    r'|train_cfg\.(val_interval|val_begin|dynamic_intervals(\..*)?)'
    r'|default_hooks\.(timer|logger|checkpoint|visualization)(\..*)?'
)
_GPU_NUMBER = re.compile(r'^ +GPU number: (\d+)$', re.MULTILINE)  # of processes, also on CPUs
_WATCHING = (
    'NonFiniteLossHook',
    'PixelWeightPictureHook',
    'PredictionWriterHook',
    'WeightingCurvesHook',
)


def validation_data(config: Config) -> dict[str, object]:
    """What a training is validated on: type of the data set, list of files and folders, if set."""
    dataset = (config.get('val_dataloader') or {}).get('dataset', {})
    names = _flatten({key: dataset.get(key) for key in ('type', 'ann_file', 'data_prefix')})
    unnamed = {'type': 'an unnamed data set'}
    return unnamed | {key: value for key, value in names.items() if value}


def readable_details(config: Config) -> dict[str, object]:
    """Network, optimizer, lr and batch size of a process, None where the config has none."""
    model = config.get('model') or {}
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    backbone, head = model.get('backbone') or {}, model.get('decode_head') or {}
    head = head[-1] if isinstance(head, list) else head  # a cascade is known by its last
    depth = f'-{backbone["depth"]}' if 'depth' in backbone else ''
    return {
        'network': f'{head.get("type")} on {backbone.get("type")}{depth}',
        'optimizer': optimizer.get('type'),
        'lr': optimizer.get('lr'),
        'batch': (config.get('train_dataloader') or {}).get('batch_size'),
    }


def processes(config: Config, log: str) -> int | None:
    """How many processes trained, by the head of the log or the launcher; None if unknown."""
    found = _GPU_NUMBER.search(log)
    if found:
        return int(found[1])
    return 1 if config.get('launcher') == 'none' else None


def training_settings(config: Config, started: Config) -> dict[str, object]:
    """What determines a training apart from its seed, as far as its config says.

    Args:
        config: The config.
        started: That of the first session, if the training was resumed; else the same.

    Returns:
        Values by dotted key, without those that change only speed, logs and files.
    """
    kept = {key: config.get(key) for key in _SETTINGS}
    kept['custom_hooks'] = _steering_hooks(config)
    kept['validated'] = (config.get('val_dataloader') or {}).get('dataset')
    # to resume is to load the run's own checkpoint: what counts is where it came from at first
    kept['load_from'] = None if started.get('resume') else started.get('load_from')
    flat = _flatten(kept)
    return {key: value for key, value in flat.items() if not _VOLATILE.fullmatch(key)}


def _steering_hooks(config: Config) -> list[dict]:
    """The hooks that can change what is trained, with the arguments that can."""
    sampler = (config.get('train_dataloader') or {}).get('sampler') or {}
    kept = []
    for hook in config.get('custom_hooks') or []:
        name, hook = str(hook.get('type')).rpartition('.')[2], dict(hook)
        if name == 'ClassFeedbackHook':
            if sampler.get('class_prob') != 'performance':
                continue  # nothing takes its feedback
            hook.pop('curves', None)
        elif name == 'ClassStatisticsHook':
            hook.pop('nproc', None)
            if hook.get('statistics') is None:
                continue  # the losses that need it cannot train without it
        elif name in _WATCHING:
            continue
        kept.append(hook)
    return kept


def _flatten(value: object, prefix: str = '') -> dict[str, object]:
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {prefix: value}
    flat = {}
    for key, inner in items:
        flat |= _flatten(inner, f'{prefix}.{key}' if prefix else str(key))
    return flat
