"""The lines that make a user's config train with the method of a trial."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import Config

from mmseg_imbalance.hooks.consistency_hook import BY_POSITION
from mmseg_imbalance.utils.settings import type_name, type_of

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
_WRAPPED = """\
# The measured trainings also cropped with dict(type='ClassAwareRandomCrop', class_prob=None). Put
# it in the place of RandomCrop in the pipeline of the wrapped data sets.
"""
_OWN_LABELS = ('STDCHead',)  # heads that are trained on labels of their own, not on the classes


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
        head = cfg.model.get(key)
        if head and type_of(head) not in _OWN_LABELS:
            changed = _head(f'_base_.model.{key}', head, isinstance(loss, list))
            text += f'    {key}={changed},\n'
    text += ')\n'
    hooks = ['ClassStatisticsHook']
    if 'ClassBalanced' in sampler.type:
        hooks.append('ClassFeedbackHook')
        plain = 'pipeline' in cfg.train_dataloader.dataset  # a wrapper has it further inside
        dataset = ', dataset=dict(pipeline=pipeline)' * plain
        text += _PIPELINE if plain else _WRAPPED
        text += f'sampler = {_call({"_delete_": True, **sampler})}\n'
        text += f'train_dataloader = dict(sampler=sampler{dataset})\n'
    given = cfg.get('custom_hooks') or []
    missing = [name for name in hooks if not any(name in str(hook['type']) for hook in given)]
    hooks = ['*_base_.custom_hooks'] * bool(given) + [f'dict(type={name!r})' for name in missing]
    return text + f'custom_hooks = [{", ".join(hooks)}]\n' * bool(missing)


def obstacle(cfg: Config) -> str:
    """Says why no lines can give a config another loss, '' if they can."""
    for place, head in _heads(cfg):
        name = type_of(head)
        if name in BY_POSITION:
            return (
                f'{place} is a {name}, which takes {BY_POSITION[name]} losses by their position; '
                'replace the cross-entropies in its loss_decode by hand, and leave the others'
            )
        if head.get('out_channels') == 1:
            return (
                f'{place} has one channel, for a sigmoid; the recommended losses are of a soft-max '
                'over classes, and need num_classes=2 and out_channels=2'
            )
    return ''


def has_plain_loss(cfg: Config) -> bool:
    """Whether all heads of a config train with plain cross-entropy, the heads' own default."""
    heads = [head for _, head in _heads(cfg)]
    losses = [loss for head in heads for loss in _listed(head.get('loss_decode'))]
    plain = all(type_name(loss['type']) == 'CrossEntropyLoss' for loss in losses)
    return plain and not any(head.get('sampler') for head in heads)


def _heads(cfg: Config) -> Iterator[tuple[str, Mapping]]:
    """Yields the heads of a config that are trained on the classes, with their place."""
    for key in ('decode_head', 'auxiliary_head'):
        for head in _listed(cfg.model.get(key)):
            if type_of(head) not in _OWN_LABELS:
                yield f'model.{key}', head


def _listed(given: Mapping | list | None) -> list:
    return given if isinstance(given, list) else [given] * bool(given)


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
        heads = (_listed_head(f'{place}[{i}]', each, several) for i, each in enumerate(head))
        return f'[{", ".join(heads)}]'
    delete = ', _delete_=True' * ('loss_decode' in head)
    return f'dict({_change(head, several, delete)})'


def _listed_head(place: str, head: Mapping, several: bool) -> str:
    own = type_of(head) in _OWN_LABELS
    return place if own else f'dict({place}, {_change(head, several)})'


def _change(head: Mapping, several: bool, delete: str = '') -> str:
    # pixels that a sampler chooses would not be those of the records
    sampler = ', sampler=None' * bool(head.get('sampler'))
    return f'loss_decode={_loss(head, several, delete)}{sampler}'


def _loss(head: Mapping, several: bool, delete: str = '') -> str:
    given = head.get('loss_decode')
    weight = given.get('loss_weight', 1.0) if isinstance(given, Mapping) else 1.0
    if several:  # a list replaces what was there
        return f'[dict(part, loss_weight={weight}) for part in loss]'
    return f'dict(loss{delete}, loss_weight={weight})'
