"""The lines that make a user's config train with the method of a trial."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.utils.run_config import type_name

from .commands import head_options
from .plan import Trial

_PIPELINE = """\
pipeline = [
    dict(step, type='ClassAwareRandomCrop', class_prob=None)
    if step['type'].rpartition('.')[2] == 'RandomCrop'
    else step
    for step in _base_.train_dataloader.dataset.pipeline
]
"""


def config_lines(base: str, cfg: Config, trial: Trial, configs: Path) -> str:
    """Returns a config that inherits from a user's and takes over loss and sampler of a trial.

    Args:
        base: The user's config, as the lines name it.
        cfg: The same, loaded.
        trial: The trial; its other settings, such as the learning rate, are not taken over.
        configs: Folder of the configs that trials name.
    """
    measured = Config.fromfile(configs / trial.config)
    measured.merge_from_dict(head_options(trial.options, measured))
    loss, sampler = measured.model.decode_head.loss_decode, measured.train_dataloader.sampler
    given = (cfg.get('custom_imports') or {}).get('imports') or []
    imports = [*([given] if isinstance(given, str) else given), 'mmseg_imbalance']
    text = f'_base_ = {base!r}\ncustom_imports = dict(imports={[*dict.fromkeys(imports)]!r})\n'
    text += f'loss = {_call(loss)}\nmodel = dict(\n'
    for key in ('decode_head', 'auxiliary_head'):
        if cfg.model.get(key):
            head = _head(f'_base_.model.{key}', cfg.model[key], isinstance(loss, list))
            text += f'    {key}={head},\n'
    text += ')\n'
    hooks = ['ClassStatisticsHook']
    if 'ClassBalanced' in sampler.type:
        hooks.append('ClassFeedbackHook')
        plain = 'pipeline' in cfg.train_dataloader.dataset  # a wrapper has it further inside
        dataset = ', dataset=dict(pipeline=pipeline)' * plain
        text += _PIPELINE * plain + f'sampler = {_call({"_delete_": True, **sampler})}\n'
        text += f'train_dataloader = dict(sampler=sampler{dataset})\n'
    given = cfg.get('custom_hooks') or []
    missing = [name for name in hooks if not any(name in str(hook['type']) for hook in given)]
    hooks = ['*_base_.custom_hooks'] * bool(given) + [f'dict(type={name!r})' for name in missing]
    return text + f'custom_hooks = [{", ".join(hooks)}]\n' * bool(missing)


def has_plain_loss(cfg: Config) -> bool:
    """Whether all heads of a config train with plain cross-entropy, the heads' own default."""
    models = (cfg.model.get(key) or [] for key in ('decode_head', 'auxiliary_head'))
    heads = [head for given in models for head in (given if isinstance(given, list) else [given])]
    losses = (head.get('loss_decode') or [] for head in heads)
    flat = [loss for given in losses for loss in (given if isinstance(given, list) else [given])]
    return all(type_name(loss['type']) == 'CrossEntropyLoss' for loss in flat)


def _call(value: object) -> str:
    """Writes nested dicts as calls of ``dict``."""
    if isinstance(value, list):
        return f'[{", ".join(map(_call, value))}]'
    if not isinstance(value, Mapping):
        return repr(value)
    return f'dict({", ".join(f"{key}={_call(inner)}" for key, inner in value.items())})'


def _head(place: str, head: Mapping | list, several: bool) -> str:
    """Writes a change of the loss, or several, of a head or each of a list; weights stay."""
    if isinstance(head, list):
        heads = (f'dict({place}[{i}], loss_decode={_loss(h, several)})' for i, h in enumerate(head))
        return f'[{", ".join(heads)}]'
    delete = ', _delete_=True' * ('loss_decode' in head)
    return f'dict(loss_decode={_loss(head, several, delete)})'


def _loss(head: Mapping, several: bool, delete: str = '') -> str:
    given = head.get('loss_decode')
    weight = given.get('loss_weight', 1.0) if isinstance(given, Mapping) else 1.0
    if several:  # a list replaces what was there
        return f'[dict(part, loss_weight={weight}) for part in loss]'
    return f'dict(loss{delete}, loss_weight={weight})'
