"""Writes results to ``metafile.yml``, where model zoos look for them."""

import copy
import inspect
from collections.abc import Collection, Mapping
from pathlib import Path

import yaml
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_imbalance.utils.command_line import first_line
from mmseg_imbalance.utils.errors import ToolError
from mmseg_imbalance.utils.files import write_atomically
from mmseg_imbalance.utils.run_config import load_config
from mmseg_imbalance.utils.shipped import config_path

from .commands import head_options
from .pages import read_text
from .plan import Trial
from .results import Results
from .run_settings import training_settings


def update_metafile(path: Path, results: Mapping[str, Results], check: bool = False) -> bool:
    """Brings the results of the plans' configs up to date.

    Only configs that were trained unchanged have results: means over the seeds, with the command
    of the first seed.

    Args:
        path: The metafile.
        results: Results by plan.
        check: Whether to only check, without changing the file.

    Returns:
        Whether the file was out of date.

    Raises:
        ToolError: If the file is not a metafile.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
        models = {model['Name']: model for model in content['Models']}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ToolError(f'{path} is not a metafile: {first_line(error)}') from error
    before = copy.deepcopy(content)
    named = {  # several plans may have one setting
        key: {name for name in models if name.endswith(f'_{each.plan.setting}')}
        for key, each in results.items()
    }
    for name in set().union(*named.values()):
        models[name].pop('Results', None)
    for key, each in results.items():
        for name, entry in _entries(each, named[key]).items():
            models[name]['Results'] = [entry]
    if content != before and not check:
        updated = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
        write_atomically(path, updated.encode())
    return content != before


def trained_as_shipped(trial: Trial) -> bool:
    """Returns whether a trial's options change nothing in its config but seed, workers and logs."""
    path = config_path(trial.config)
    shipped = load_config(path)
    options = head_options(trial.options, shipped)
    trained = load_config(path, {k: v for k, v in options.items() if not _default(shipped, k, v)})
    return training_settings(trained) == training_settings(shipped)


def _default(cfg: Config, key: str, value: object) -> bool:
    """Returns whether an option sets a loss argument, absent in the config, to its default."""
    place, _, name = key.rpartition('.')
    if not place.endswith('loss_decode'):
        return False
    loss = cfg.model[place.split('.')[1]].loss_decode
    argument = inspect.signature(MODELS.get(loss.type)).parameters.get(name)
    return name not in loss and argument is not None and argument.default == value


def _entries(results: Results, names: Collection[str]) -> dict[str, dict]:
    """Returns the results of a plan by config name, of the named configs."""
    entries = {}
    for key, records in results.trained.items():
        name = Path(records[0].trial.config).stem
        if name not in names or not trained_as_shipped(records[0].trial):
            continue
        method = results.plan.methods[key]
        shown = [('mIoU', 'mIoU', False), ('mIoU(ms+flip)', 'mIoU', True), ('mAcc', 'mAcc', False)]
        metrics = {
            name: round(results.mean(method, score, augmented).mean, 1)
            for name, score, augmented in shown
            if results.plan.augmented or not augmented
        }
        entries[name] = {
            'Task': 'Semantic Segmentation',
            'Dataset': results.plan.title,
            'Metrics': metrics,
            'Command': records[0].command,
        }
    return entries
